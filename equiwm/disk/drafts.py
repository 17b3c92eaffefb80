"""Drafts: what is written beside its place before it is renamed into it, and what dead processes left of that.

A draft is called `.NAME.PID-HOSTRAND.tmp`: eight hexadecimal digits say on which machine the process `PID` writes it,
eight are random. By that name alone it is known for ours, and whether anybody still writes it.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import stat
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

MARKER = ".equiwm"
"""The file that says of a folder that equiwm has made it (`equiwm.disk.ownership`)."""

_DRAFT = re.compile(r"\..+\.([0-9]{1,10})-([0-9a-f]{8})[0-9a-f]{8}\.tmp", re.DOTALL)


@cache
def _host() -> str:
    """This machine in eight hexadecimal digits; a container that counts its processes itself is one of its own."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        numbering = ""
    return sha256(f"{platform.node()} {numbering}".encode()).hexdigest()[:8]


def draft_of(path: Path) -> Path:
    """A new name beside `path`, which nothing has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{_host()}{secrets.token_hex(4)}.tmp")


def is_alive(process: int) -> bool:
    """Whether a process of this machine is there; True where that cannot be asked without ending it (Windows).

    One that has ended and that nobody has waited for yet (a zombie) writes nothing any more.
    """
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # there, and another user's
        return True
    try:
        stat_line = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:  # no Linux, or it has gone in between
        return True
    return stat_line.rpartition(")")[2].split()[:1] not in (["Z"], ["X"])


def is_stale(name: str) -> bool:
    """Whether `name` is that of a draft that a process of this machine wrote which has ended since."""
    found = _DRAFT.fullmatch(name)
    return found is not None and found[2] == _host() and not is_alive(int(found[1]))


def remove_stale(folder: Path) -> None:
    """Remove the drafts that dead processes of this machine left in `folder`; everything else stays.

    Of a folder only what carries the marker is removed, or what is empty. What cannot be removed stays.
    """
    try:
        stale = [entry for entry in os.scandir(folder) if is_stale(entry.name)]
    except OSError:  # nothing there, or nothing that may be looked at
        return
    for entry in stale:
        with suppress(OSError):
            if entry.is_symlink():
                continue
            if entry.is_file():
                os.unlink(entry.path)
            elif entry.is_dir() and os.path.lexists(os.path.join(entry.path, MARKER)):
                remove_marked(Path(entry.path))
            elif entry.is_dir():  # ended before its marker stood
                remove_stale(Path(entry.path))
                os.rmdir(entry.path)


def remove_marked(folder: Path) -> None:
    """Remove a folder of ours, its marker last: what an interruption leaves of it is still known for ours.

    Raises:
        OSError: something in it cannot be removed.
    """
    with os.scandir(folder) as entries:
        inside = [entry for entry in entries if entry.name != MARKER]
    for entry in inside:
        shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
    with suppress(FileNotFoundError):
        os.unlink(folder / MARKER)
    os.rmdir(folder)


def discard(draft: Path) -> None:
    """Remove a draft of this process, a file or a folder, if it is there; what cannot be removed stays behind."""
    with suppress(OSError):
        if stat.S_ISDIR(os.lstat(draft).st_mode):
            remove_marked(draft)
        else:
            os.unlink(draft)
