"""The one thing that is mended without asking: files of ours that nothing needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from equiwm.boundary import machine_error
from equiwm.disk.drafts import remove_stale
from equiwm.disk.ownership import remove_file
from equiwm.errors import RunError
from equiwm.fsck.finding import Finding
from equiwm.runs import Run


def repair(findings: Sequence[Finding]) -> tuple[list[Path], list[Finding]]:
    """Remove the stale files among some findings, each while its run is held against a training.

    Returns:
        What was removed; and the findings that stay.

    Raises:
        MachineError: a full disk or a failing one; what was removed before stays so.
    """
    removed: list[Path] = []
    left: list[Finding] = []
    for finding in findings:
        if finding.stale is None:
            left.append(finding)
            continue
        try:
            with Run(finding.run).lock():
                if finding.stale.is_dir():
                    remove_stale(finding.stale.parent)
                else:
                    remove_file(finding.stale)
        except (RunError, OSError) as error:
            refused = machine_error(error)
            if refused is not None:  # a full disk, which would refuse the next one as well
                raise refused from None
            left.append(finding)
        else:
            if finding.stale.exists():  # a folder that does not say whose it is
                left.append(finding)
            else:
                removed.append(finding.stale)
    return removed, left
