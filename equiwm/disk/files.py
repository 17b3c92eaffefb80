"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from equiwm.boundary import machine_error


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
        MachineError: the file cannot be written (permissions, full disk). What was there is untouched.
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
