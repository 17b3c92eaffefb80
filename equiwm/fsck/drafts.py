"""What dead processes left beside the files that they wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from equiwm.disk.drafts import is_stale


def stale_drafts(folder: Path) -> Iterator[Path]:
    """Unfinished files in a run, at whatever depth, whose process has ended; runs of a study are not entered."""
    for place, folders, files in os.walk(folder):
        if Path(place) != folder and "config.yaml" in files:
            folders.clear()
            continue
        for name in sorted(files):
            path = Path(place) / name
            if is_stale(name) and not path.is_symlink():
                yield path
