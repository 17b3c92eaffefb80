"""What is ours on disk: every folder that equiwm makes carries a marker, and only such a folder is ever removed.

The marker is the file `.equiwm`, strict JSON: the kind of folder and the schema of the marker. Runs that were made
before there were markers, and `runs/reference`, are known by their `config.yaml`; they are written into, and nothing
unknown in them is removed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from equiwm.disk.drafts import MARKER, discard, draft_of, remove_marked, remove_stale
from equiwm.disk.files import sync_folder, write_atomic
from equiwm.disk.inside import read_inside
from equiwm.disk.strict_json import canonical_json
from equiwm.errors import RunError

SCHEMA = 1
"""Version of the marker."""

FolderKind = Literal["run", "study", "stores", "store", "episodes", "export", "cache", "data"]
"""A run, a study, the folder of a claim's stores in either, one store (what one command has finished so far), collected
episodes, an exported model, the cache, and one entry of it (data of a world)."""

_REMOVABLE: Mapping[FolderKind, frozenset[str] | None] = {
    "run": frozenset({"config.yaml", ".train.lock", ".metrics.lock"}),
    "study": frozenset({"config.yaml", ".train.lock", ".metrics.lock"}),
    "stores": frozenset(),
    "store": None,
    "episodes": frozenset(),
    "export": frozenset(),
    "cache": frozenset(),
    "data": None,
}
"""What a folder may hold besides its marker to be removed as a whole; None is anything, for it is all the store's."""

_CONFIG_KIND = re.compile(r"^kind: (train|study|policy)$", re.MULTILINE)
_CONFIG_SCHEMA = re.compile(r"^schema: \d+$", re.MULTILINE)
_CONFIG_BYTES = 2**16
_MARKER_BYTES = 1000


def marker_of(folder: Path) -> FolderKind | None:
    """The kind of folder that the marker in `folder` says; None where there is none that is ours."""
    try:
        said: object = json.loads(read_inside(folder, MARKER, limit=_MARKER_BYTES))
    except (OSError, RunError, ValueError, RecursionError):
        return None
    return next((kind for kind in _REMOVABLE if said == {"kind": kind, "schema": SCHEMA}), None)


def is_run(folder: Path) -> bool:
    """Whether `folder` is a run or a study: by its marker, or by a `config.yaml` of ours."""
    if marker_of(folder) in ("run", "study"):
        return True
    path = folder / "config.yaml"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(_CONFIG_BYTES).decode("utf-8", "replace")
    except OSError:
        return False
    return bool(_CONFIG_KIND.search(head) and _CONFIG_SCHEMA.search(head))


def link_inside(path: Path) -> Path | None:
    """The link by which `path` leaves the run that it is in; None where there is none. The run itself may be one."""
    in_run = False
    for place in reversed((path, *path.parents)):
        if in_run and place.is_symlink():
            return place
        in_run = in_run or is_run(place)
    return None


def require_text(given: Path | str) -> None:
    """Refuse a path or an argument whose bytes are no UTF-8: no file of ours could name it.

    Raises:
        RunError: such a one.
    """
    try:
        str(given).encode()
    except UnicodeEncodeError:
        shown = str(given).encode("utf-8", "backslashreplace").decode()
        raise RunError(f"{shown} is not valid UTF-8, which every name in a run has to be; give another.") from None


def mark(folder: Path, kind: FolderKind) -> None:
    """Write the marker into a folder that equiwm has made.

    Raises:
        RunError: it cannot be written.
    """
    write_atomic(folder / MARKER, canonical_json({"kind": kind, "schema": SCHEMA}) + "\n")


def make_folder(
    path: Path, kind: FolderKind, contents: Mapping[str, str] | None = None, *, parents: bool = True
) -> list[Path]:
    """Make a folder with its marker and some files, or nothing at all.

    It is filled under another name and renamed: of two processes one wins, and no reader ever finds it half.

    Args:
        path: the folder; there may be an empty one in its place.
        kind: what it is.
        contents: names and texts of its first files.
        parents: make the folders above it too; else they have to be there.

    Returns:
        The folders above it that had to be made, the innermost first.

    Raises:
        RunError: the path is no text, or a file cannot be written.
        OSError: the folder cannot be made, or there is one that is not empty (`EEXIST`, `ENOTEMPTY`).
    """
    with drafted_folder(path, kind, parents=parents) as (draft, above):
        for name, text in (contents or {}).items():
            write_atomic(draft / name, text)
    return above


@contextmanager
def drafted_folder(path: Path, kind: FolderKind, *, parents: bool = True) -> Iterator[tuple[Path, list[Path]]]:
    """A folder with its marker that takes the place of `path` when the block ends well, and vanishes when it does not.

    Args:
        path, kind, parents: as of `make_folder`.

    Yields:
        The folder under another name, to be filled; and the folders above it that had to be made, the innermost first.

    Raises:
        RunError, OSError: as `make_folder`.
    """
    require_text(path)
    above: list[Path] = []
    draft = draft_of(path)
    try:
        above = [parent for parent in path.parents if not parent.exists()] if parents else []
        draft.mkdir(parents=parents)
        remove_stale(path.parent)
        mark(draft, kind)
        yield draft, above
        if path.is_dir() and not path.is_symlink():
            with suppress(FileNotFoundError):  # another process has removed it since
                path.rmdir()
        os.rename(draft, path)
        sync_folder(path.parent)
    except BaseException:
        discard(draft)
        remove_empty(above)
        raise


def remove_empty(folders: list[Path]) -> None:
    """Remove folders that this process has made, the innermost first, as far as nobody has put anything there."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def remove_folder(folder: Path, kind: FolderKind) -> Path | None:
    """Remove a folder of ours; it vanishes at once, under whatever name its contents are removed then.

    Args:
        folder: what carries the marker; no link is followed.
        kind: what the marker has to say.

    Returns:
        Where it still is, or what is left of it; None where it was removed. It stays as it is where it carries no such
        marker, or holds what its kind does not.
    """
    if folder.is_symlink() or marker_of(folder) != kind:
        return folder
    left = folder
    removable = _REMOVABLE[kind]
    remove_stale(folder)
    try:
        if removable is None:
            gone = draft_of(folder)
            os.rename(folder, gone)
            left = gone
            remove_marked(gone)
            return None
        held = set(os.listdir(folder))
        if not held <= removable | {MARKER}:
            return folder
        for name in sorted(held - {MARKER}):
            os.unlink(folder / name)
        os.unlink(folder / MARKER)
        try:
            folder.rmdir()
        except OSError as error:  # somebody has put something there this moment: it stays ours
            with suppress(RunError):
                mark(folder, kind)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # and may have gone again, and left it to us
                return remove_folder(folder, kind)
            return folder
    except OSError:
        return left
    return None


def remove_file(path: Path) -> None:
    """Remove a plain file of ours, if it is there.

    Raises:
        RunError: it is no plain file.
        OSError: it cannot be removed.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise RunError(f"{path} is not a plain file; equiwm did not write it and leaves it alone.")
        path.unlink()
