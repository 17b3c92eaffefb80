"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from equiwm.boundary import machine_error
from equiwm.disk.drafts import discard, draft_of
from equiwm.errors import RunError


def reason(error: OSError) -> str:
    """What the system says is wrong, in its words."""
    return error.strerror or str(error)


def sync_folder(folder: Path) -> None:
    """Have the system write down which files a folder holds: a rename that it keeps in memory is lost with the power.

    Raises:
        OSError: the folder cannot be opened or written.
    """
    if os.name != "posix":  # elsewhere folders cannot be opened
        return
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # one may write into it, and not look
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that has nothing to write down
            raise
    finally:
        os.close(number)


_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require_replaceable(path: Path) -> None:
    """Refuse to put a file in the place of anything but a plain file.

    Raises:
        RunError: a link, folder, device, FIFO or socket is there.
    """
    try:
        kind = stat.S_IFMT(path.lstat().st_mode)
    except OSError:  # nothing there; what else is wrong, writing says
        return
    if kind != stat.S_IFREG:
        raise RunError(f"cannot write {path}: it is {_KINDS.get(kind, 'no plain file')}, which is never replaced.")


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Args:
        path: the file to write; its folder must exist.

    Yields:
        A file object open for writing (`torch.save(state, file)`).

    Raises:
        MachineError: the file cannot be written (permissions, full disk). What was there is untouched, unless the
            system cannot write the folder down: then the new file stands there, whole, and may be lost with the power.
        RunError: what is there is no plain file.
    """
    path = Path(path)
    require_replaceable(path)
    temporary = draft_of(path)
    try:
        # Not tempfile: its files are private to the user (0600), a run is as readable as any other file.
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        discard(temporary)
        refused = machine_error(error, f"cannot write {path}")  # torch's writer hides it in a RuntimeError
        if refused is not None:
            raise refused from error
        raise


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file (text as UTF-8) so that a reader sees the old content or the new one.

    Raises:
        MachineError: the file cannot be written.
    """
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
