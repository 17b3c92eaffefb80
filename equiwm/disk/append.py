"""A plain file that grows at its end."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from equiwm.boundary import machine_error
from equiwm.errors import RunError


def append_whole(path: Path, content: bytes, *, size: int) -> None:
    """Append to a plain file and have the system write it down; the cost does not depend on how long the file is.

    A process that dies meanwhile, or a machine that does, may leave a beginning of `content`, and nothing else: whoever
    reads the file has to know where a whole entry ends.

    Args:
        path: the file.
        content: what is appended.
        size: bytes that it has to have.

    Raises:
        MachineError: it cannot be written (permissions, full disk); it is as it was then, if it can be cut to that.
        RunError: it is gone, no plain file, or has another size: somebody else has written it.
    """
    try:
        # Asked before it is opened, for to open a device may do something; and after it, for then nobody can change it.
        _require(path, os.lstat(path), size)
        number = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            _require(path, os.fstat(number), size)
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(number, left) :]
                os.fsync(number)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(number, size)
                raise
        finally:
            os.close(number)
    except FileNotFoundError:
        raise RunError(f"{path} is gone: somebody has removed it; restore it, and resume.") from None
    except OSError as error:
        refused = machine_error(error, f"cannot write {path}")
        if refused is None:
            raise
        raise refused from error


def _require(path: Path, found: os.stat_result, size: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise RunError(f"cannot write {path}: it is no plain file, which is never replaced.")
    if found.st_size != size:
        raise RunError(
            f"{path} has {found.st_size:,} bytes, expected {size:,}: somebody else has written it; restore it, and "
            "resume."
        )
