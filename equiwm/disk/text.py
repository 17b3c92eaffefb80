"""The one door for small files that somebody else may have written: regular, of bounded size, text in UTF-8.

Nothing here waits: a pipe, a socket, a device or a folder in the place of a file is refused by name.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from equiwm.disk.files import reason
from equiwm.errors import EquiwmError, RunError

MOST_TEXT = 16 * 2**20
"""Bytes of a JSON or CSV file: the largest of our own has less than 1 MB, and JSON takes up to 30 times its size."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_bytes(
    path: Path, *, most: int = MOST_TEXT, inside: Path | None = None, error: type[EquiwmError] = RunError
) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        most: bytes that it may have.
        inside: a folder that symbolic links must not lead out of; None follows them anywhere, as for a file that the
            user names.
        error: what is raised.

    Raises:
        EquiwmError: of the type `error`: there is no such file, it is no regular one, too large, or not readable.
    """
    with open_regular(path, most=most, inside=inside, error=error) as file:
        try:
            content = file.read(most + 1)
        except OSError as failed:
            raise error(f"cannot read {path}: {reason(failed)}.") from None
    if len(content) > most:
        raise error(f"cannot read {path}: it grows beyond {most:,} bytes.")
    return content


def open_regular(path: Path, *, most: int, inside: Path | None = None, error: type[EquiwmError] = RunError) -> BinaryIO:
    """A regular file, open for reading; the caller closes it.

    Args:
        path, most, inside, error: as of `read_bytes`.

    Raises:
        EquiwmError: of the type `error`: as `read_bytes`.
    """
    path = Path(path)
    try:
        if inside is not None and not _leads_inside(path, inside):
            raise error(f"cannot read {path}: it is a link that leads out of {inside}; put the file itself there.")
        # Asked before it is opened, for to open a device may do something; and after it, for then nobody can change it.
        _require_regular(path, os.stat(path), most, error)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        file = os.fdopen(descriptor, "rb")
    except FileNotFoundError:
        raise error(f"no such file: {path}.") from None
    except OSError as failed:
        raise error(f"cannot read {path}: {reason(failed)}.") from None
    try:
        _require_regular(path, os.fstat(file.fileno()), most, error)
    except BaseException:
        file.close()
        raise
    return file


def read_text(
    path: Path, *, most: int = MOST_TEXT, inside: Path | None = None, error: type[EquiwmError] = RunError
) -> str:
    """The text of a regular file, line ends as they are.

    Args:
        path, most, inside, error: as of `read_bytes`.

    Raises:
        EquiwmError: of the type `error`: as `read_bytes`, or it is not UTF-8.
    """
    content = read_bytes(path, most=most, inside=inside, error=error)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as failed:
        raise error(f"cannot read {path}: byte {failed.start} is not UTF-8; it is damaged, or no text.") from None


def _leads_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _require_regular(path: Path, found: os.stat_result, most: int, error: type[EquiwmError]) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = next((name for test, name in _KINDS if test(found.st_mode)), "no regular file")
        raise error(f"cannot read {path}: it is {what}, expected a file.")
    if found.st_size > most:
        raise error(f"cannot read {path}: it has {found.st_size:,} bytes, expected at most {most:,}.")
