"""Lock files: one owner at a time, however it dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from equiwm.disk.files import reason
from equiwm.errors import RunError


@contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`, without waiting; the system releases it however the process dies.

    Args:
        path: the lock file; it stays behind, empty.
        what: what is held, for the message.

    Raises:
        RunError: another process holds it, or the file cannot be made.
    """
    if not path.parent.is_dir():  # FileLock would make it
        raise RunError(f"cannot lock {path}: {path.parent} does not exist.")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunError(f"{what} is in use by another process; let it end first.") from None
    except OSError as error:
        raise RunError(f"cannot lock {path}: {reason(error)}.") from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file `path`; a file that is not there is not made."""
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # a folder that may only be read: nobody trains there
        return False
    lock.release()
    return False
