"""What lies in a folder that somebody else may have made: plain files of bounded size, and no link out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from equiwm.disk.files import reason
from equiwm.errors import RunError

_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def require_component(name: str) -> str:
    """`name`, if it is one component of a path that can be shown: neither empty, nor a way out, nor unprintable.

    Raises:
        RunError: anything else.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise RunError(f"{name[:80]!a} is no name of a file: expected one printable component of a path.")
    return name


def read_inside(folder: Path, *parts: str, limit: int) -> bytes:
    """The content of `folder`/`parts`, a plain file that is reached through no link below `folder`.

    Args:
        folder: which may be a link itself: the user named it.
        parts: folders below it, and the file.
        limit: bytes that it may have.

    Raises:
        FileNotFoundError: it is not there.
        RunError: it is no plain file, too large, behind a link, or cannot be read.
    """
    path = folder.joinpath(*map(require_component, parts))
    at = -1
    try:
        at = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        for part in parts:
            inner = os.open(part, os.O_RDONLY | _OPEN, dir_fd=at)
            os.close(at)
            at = inner
        found = os.fstat(at)
        if not stat.S_ISREG(found.st_mode):
            raise RunError(f"{path} is not a plain file; it is not read.")
        if found.st_size > limit:
            raise RunError(f"{path} has {found.st_size} bytes, expected at most {limit}; it is not read.")
        os.set_blocking(at, True)
        with os.fdopen(at, "rb") as file:
            at = -1
            return file.read(limit)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(f"{path} is not read: {reason(error)} (links out of a folder are not followed).") from None
    finally:
        if at >= 0:
            os.close(at)
