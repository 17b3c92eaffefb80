"""Documents that a user asks for by a path of their own: where they are written, and what they never replace."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from equiwm.disk.drafts import MARKER, remove_stale
from equiwm.disk.files import reason, require_replaceable, write_atomic
from equiwm.disk.ownership import is_run, marker_of
from equiwm.errors import RunError

_ALWAYS = frozenset({MARKER, "config.yaml", "metrics.json", "checkpoint.pt", "resume.pt", "data.pt"})
"""Names that only a run's files have: of one that is there no document takes the place, wherever it is."""

_IN_A_RUN = _ALWAYS | {"history.csv", "summary.txt", "summary.svg", "rows.csv"}
_FIGURES = (".csv", ".png", ".svg", ".gif")

_STREAM = re.compile(r"/dev/(?:(stdout)|(stderr)|fd/(\d{1,4}))|/proc/self/fd/(\d{1,4})")


def write_document(path: Path, text: str) -> None:
    """Write a document to where the user said.

    A plain file is replaced as a whole, or made. An open stream (`/dev/stdout`, `/dev/fd/63`), a device such as
    `/dev/null` and a FIFO are written through and stay what they are. Nothing else is written to.

    Args:
        path: as the user gave it.
        text: written as UTF-8.

    Raises:
        RunError: a folder, link, disk or socket; a file of a run; or it cannot be written.
    """
    stream = _STREAM.fullmatch(str(path))
    try:
        if stream is not None:
            out, error, *numbers = stream.groups()
            number = 1 if out else 2 if error else int(next(filter(None, numbers)))
            _write_whole(os.dup(number), text)
            return
        if _is_written_through(path):
            _write_whole(os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0)), text)
            return
    except BrokenPipeError:  # nobody reads it to its end
        return
    except OSError as error:
        raise RunError(f"cannot write {path}: {reason(error)}.") from None
    require_document(path)
    remove_stale(path.parent)
    write_atomic(path, text)


def open_document_folder(folder: Path) -> None:
    """Make the folder of a document that is several files, where there is none.

    Raises:
        RunError: it is a run's or a store's, or would be; it is no folder; there is no folder above it, or it cannot be
            made.
    """
    owner = str(folder) if is_run(folder) else _run_of(folder / "index.html")
    if owner is not None:
        raise RunError(f"cannot write a report into {folder}: it belongs to {owner}; name another folder.")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make {folder}: {reason(error)}.") from None


def require_document(path: Path) -> None:
    """Refuse a path that `write_document` would not write to, before the work that makes the document.

    Raises:
        RunError: as there; and a folder that does not exist.
    """
    if _STREAM.fullmatch(str(path)) or _is_written_through(path):
        return
    require_replaceable(path)
    if not path.parent.is_dir():
        raise RunError(f"cannot write {path}: there is no folder {path.parent}.")
    owner = _run_of(path)
    if owner is not None:
        raise RunError(f"cannot write {path}: it belongs to {owner}, whose files no document replaces; name another.")


def _is_written_through(path: Path) -> bool:
    try:
        kind = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(kind) or stat.S_ISFIFO(kind)


def _write_whole(descriptor: int, text: str) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())


def _run_of(path: Path) -> str | None:
    """What a file belongs to, or would: a run, a study or a store; None where it may be a document."""
    folder = path.parent.resolve()
    if path.name in _ALWAYS and path.exists():
        return f"the files of a run in {folder}"
    for above in (folder, *folder.parents):
        if marker_of(above) in ("store", "stores"):
            return str(above)
        if is_run(above):
            inside = folder.relative_to(above).parts
            if not inside:
                ours = path.name in _IN_A_RUN or path.name.startswith(".")
            elif inside[0] == "figures":
                ours = path.suffix in _FIGURES
            else:
                ours = inside[0] == "cells"
            return f"the run {above}" if ours else None
    return None
