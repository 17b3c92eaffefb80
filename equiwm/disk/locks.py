"""Lock files: one owner at a time, however it dies. They name their owner, for who has to wait."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from equiwm.disk.files import reason
from equiwm.errors import RunError

_BYTES = 1000
"""Of a lock file no more is read: what stands in it only informs."""
_GLANCE = 0.1
"""Seconds to ask again: who looks whether a lock is held (`is_held`) has it himself for an instant."""
_PLAIN_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def owner_of(path: Path) -> str:
    """Who holds the lock file `path`, as it says itself: `process 12 on host (since ...)`, or `another process`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _PLAIN_OPEN)
        try:
            text = os.read(descriptor, _BYTES).decode()
        finally:
            os.close(descriptor)
        said = json.loads(text)
        process, host, since = int(said["pid"]), str(said["host"]), str(said["since"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # empty, foreign, or locked against reading
        return "another process"
    if not (host + since).isprintable():
        return "another process"
    return f"process {process} on {host} (since {since})"


@contextmanager
def hold(path: Path, what: str, *, wait: float = _GLANCE) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it however the process dies.

    While it is held the file says by whom. That text decides nothing: who holds it, the system knows.

    Args:
        path: the lock file; it stays behind, empty.
        what: what is held, for the message.
        wait: seconds to wait for another process.

    Raises:
        RunError: another process holds it, or the file cannot be made.
    """
    if not path.parent.is_dir():  # FileLock would make it
        raise RunError(f"cannot lock {path}: {path.parent} does not exist.")
    try:
        lock, held = _acquired(path, what, wait)
    except OSError as error:
        raise RunError(f"cannot lock {path}: {reason(error)}.") from None
    try:
        with _named(lock, held):
            yield
    finally:
        os.close(held)
        lock.release()


def _acquired(path: Path, what: str, wait: float) -> tuple[BaseFileLock, int]:
    """The lock, and a descriptor of its file."""
    lock = FileLock(path, timeout=wait)
    # Opened before and after it is locked: the same file, or somebody removed in between what is locked now.
    before = _opened(path)
    try:
        try:
            lock.acquire()
        except Timeout:
            raise RunError(f"{what} is in use by {owner_of(path)}; let it end first.") from None
        held = _opened(path)
        if held >= 0 and (before < 0 or os.path.samestat(os.fstat(before), os.fstat(held))):
            return lock, held
        lock.release()
        if held >= 0:
            os.close(held)
        raise RunError(f"{what} was in use by a process that has just ended; give the command again.")
    finally:
        if before >= 0:
            os.close(before)


def _opened(path: Path) -> int:
    """A descriptor of the file, which is not made; -1 where there is none."""
    try:
        return os.open(path, os.O_RDWR | _PLAIN_OPEN)
    except FileNotFoundError:
        return -1


@contextmanager
def _named(lock: BaseFileLock, descriptor: int) -> Iterator[None]:
    """Who holds a lock file stands in it meanwhile; not in one by whose text the lock itself is held."""
    if isinstance(lock, SoftFileLock):  # of file systems that know no locks
        yield
        return
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since})
    with suppress(OSError):  # a full disk: then it says nothing
        os.ftruncate(descriptor, 0)
        os.write(descriptor, text.encode())
    try:
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file `path`; a file that is not there is not made."""
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=_GLANCE)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # a folder that may only be read: nobody trains there
        return False
    lock.release()
    return False
