"""`equiwm fsck`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equiwm.cli.options import JsonOption, QuietOption, TrustOption


def fsck(
    places: Annotated[list[Path], typer.Argument(metavar="RUNS", help="runs, and folders that hold runs at any depth")],
    mend: Annotated[
        bool, typer.Option("--repair", help="remove what interrupted commands left and nothing needs; nothing else")
    ] = False,
    trust: TrustOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Check that runs are whole and belong together: configuration, weights, history and results.

    A line for each thing that is wrong, with how to mend it; exit status 1 if there is any. Nothing is changed without
    --repair.

    Examples: equiwm fsck runs/vn-2d ;
    equiwm fsck runs --repair
    """
    import torch

    from equiwm.claims.registry import claims_of
    from equiwm.cli.output import print_json, print_text, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.fsck.check import check_run
    from equiwm.fsck.places import runs_in
    from equiwm.fsck.repair import repair

    torch.set_num_threads(1)
    claims, paths = claims_of(), list(runs_in(places))
    findings = []
    with ProgressBars(quiet=quiet) as progress:
        for index, path in enumerate(paths):
            progress.count("runs", index, len(paths))
            findings += check_run(path, claims, trust or ())
        progress.count("runs", len(paths), len(paths))
    removed: list[Path] = []
    if mend:
        removed, findings = repair(findings)
    if json:
        print_json(
            {
                "runs": [str(path) for path in paths],
                "findings": [
                    {"run": str(each.run), "said": each.said, "stale": each.stale and str(each.stale)}
                    for each in findings
                ],
                "removed": [str(path) for path in removed],
            }
        )
    else:
        print_text("".join(f"{each.said}\n" for each in findings))
        for path in removed:
            say(f"removed: {path}")
        say(f"{len(paths)} runs, {len(findings)} findings.")
    if findings:
        raise typer.Exit(1)
