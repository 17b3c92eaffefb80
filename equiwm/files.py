"""Files that are whole or not there: atomic writing, strict JSON, lock files."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from equiwm.errors import RunError


def reason(error: OSError) -> str:
    """What the system says is wrong, in its words."""
    return error.strerror or str(error)


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Args:
        path: the file to write; its folder must exist.

    Yields:
        A file object open for writing (`torch.save(state, file)`).

    Raises:
        RunError: the file cannot be written (permissions, full disk). What was there is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        # Not tempfile: its files are private to the user (0600), a run is as readable as any other file.
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise RunError(f"cannot write {path}: {reason(error)}.") from error
        raise


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file (text as UTF-8) so that a reader sees the old content or the new one.

    Raises:
        RunError: the file cannot be written.
    """
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def plain(value: Any) -> Any:
    """`value` as strict JSON data: arrays and numpy scalars unpacked, keys as text, non-finite numbers null.

    Raises:
        TypeError: something that JSON has no form for.
    """
    if hasattr(value, "tolist"):  # numpy arrays and scalars, tensors
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}: {value!r}")


def canonical_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON with sorted keys: equal data gives equal text."""
    return json.dumps(plain(value), sort_keys=True, indent=indent, allow_nan=False, ensure_ascii=False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a strict JSON file.

    Raises:
        RunError: the file cannot be read, is not strict JSON, or holds no object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise RunError(f"cannot read {path}: {reason(error)}.") from None
    except ValueError as error:  # also UnicodeDecodeError, JSONDecodeError
        raise RunError(f"{path} is damaged ({error}); move it away and run the command again.") from None
    if not isinstance(data, dict):
        raise RunError(f"{path} is damaged (expected a JSON object); move it away and run the command again.")
    return data


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
