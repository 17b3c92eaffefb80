"""Lock files: one owner at a time, however it dies. They name their owner, for who has to wait."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from equiwm.disk.files import reason
from equiwm.errors import RunError

_BYTES = 1000
"""Of a lock file no more is read: what stands in it only informs."""
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
def hold(path: Path, what: str, *, wait: float = 0.0) -> Iterator[None]:
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
    lock = FileLock(path, timeout=wait)
    busy = f"{what} is in use by {{}}; let it end first."
    try:
        # Opened before it is locked: if it is still there afterwards, then nobody has removed what was locked.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _PLAIN_OPEN, 0o666)
    except OSError as error:
        raise RunError(f"cannot lock {path}: {reason(error)}.") from None
    try:
        try:
            lock.acquire()
        except Timeout:
            raise RunError(busy.format(owner_of(path))) from None
        except OSError as error:
            raise RunError(f"cannot lock {path}: {reason(error)}.") from None
        try:
            if not _is_at(path, descriptor):
                raise RunError(busy.format("a process that has just ended"))
            _say(descriptor)
            yield
        finally:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            lock.release()
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except OSError:
        return False


def _say(descriptor: int) -> None:
    """Write into a lock file who holds it."""
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since})
    with suppress(OSError):  # a full disk: then it says nothing
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, text.encode())
