"""Where the runs are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from equiwm.disk.files import reason
from equiwm.errors import RunError
from equiwm.runs import STUDY_RUNS

_MARKS = ("config.yaml", "checkpoint.pt", "resume.pt", "metrics.json")
"""A folder with one of them is a run, or was meant to be one."""


def runs_in(places: Sequence[Path]) -> Iterator[Path]:
    """Every run that some places are or hold, at whatever depth, each once; those of a study after it.

    Links to folders are not followed, and hidden folders are not entered.

    Args:
        places: runs, studies and folders.

    Raises:
        RunError: a place is no folder, holds no run, or may not be read.
    """
    seen: set[Path] = set()
    for place in places:
        if not os.path.isdir(place):
            what = "is a file" if os.path.isfile(place) else "does not exist"
            raise RunError(f"{place}: expected a run, or a folder that holds runs; it {what}.")
        found = 0
        for path in _below(place):
            found += 1
            if path.absolute() not in seen:
                seen.add(path.absolute())
                yield path
        if not found:
            raise RunError(f"{place} holds no run: expected directories with a config.yaml, as `equiwm train` makes.")


def _below(place: Path) -> Iterator[Path]:
    # A folder is read when it is reached: a deep tree of folders takes no more memory than its widest branch.
    waiting = [place]
    while waiting:
        folder = waiting.pop()
        if any(os.path.lexists(folder / mark) for mark in _MARKS):
            yield folder
            folder = folder / STUDY_RUNS
            if not os.path.isdir(folder):
                continue
        try:
            inner = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
        except OSError as error:
            raise RunError(f"cannot read {folder}: {reason(error)}.") from None
        waiting += [folder / name for name in reversed(inner) if not name.startswith(".")]
