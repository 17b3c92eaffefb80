"""What dead processes left beside the files that they wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_DRAFT = re.compile(r"\..+\.([0-9]{1,9})-(?:[0-9a-f]{8}){1,2}\.tmp", re.DOTALL)
"""`.NAME.PID-HEX.tmp`, as `equiwm.disk.files.atomic_writer` calls what it has not finished."""


def stale_drafts(folder: Path) -> Iterator[Path]:
    """Unfinished files in a run, at whatever depth, whose process has ended; runs of a study are not entered."""
    for place, folders, files in os.walk(folder):
        if Path(place) != folder and "config.yaml" in files:
            folders.clear()
            continue
        for name in sorted(files):
            match = _DRAFT.fullmatch(name)
            path = Path(place) / name
            if match and not path.is_symlink() and not _alive(int(match[1])):
                yield path


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # there, and another user's
        return True
    return True
