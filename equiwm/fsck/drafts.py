"""What dead processes left beside the files that they wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from equiwm.disk.drafts import is_stale


def stale_drafts(folder: Path) -> Iterator[Path]:
    """Unfinished files and folders in a run, at any depth, whose process has ended; runs of a study are not entered."""
    for place, folders, files in os.walk(folder):
        if Path(place) != folder and "config.yaml" in files:
            folders.clear()
            continue
        for name in sorted((*folders, *files)):
            path = Path(place) / name
            if is_stale(name) and not path.is_symlink():
                yield path
        folders[:] = [name for name in folders if not is_stale(name)]
