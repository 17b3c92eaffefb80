"""Tables of numbers that need not fit into memory: a file a column, raw numbers row by row, and the hash of each."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from equiwm.disk.files import reason
from equiwm.disk.inside import require_component
from equiwm.errors import RunError

Column = NDArray[Any]
DTYPES = ("float64", "int64")
"""Of a column."""
MOST_AXES = 8
_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BLOCK = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ColumnFiles:
    """Columns of known length that are written part by part; what does not fit on the disk is known at once.

    Args:
        folder: an empty one of ours.
        rows: how many there will be.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self._rows = folder, rows
        self.filled = 0
        """Rows that are written of every column."""
        self._files: dict[str, BinaryIO] = {}
        self._hashes: dict[str, Any] = {}
        self._kinds: dict[str, tuple[str, tuple[int, ...]]] = {}

    def add(self, part: Mapping[str, Column]) -> None:
        """Rows at the end of every column, of the names, dtypes and shapes of those before.

        Raises:
            OSError: they cannot be written (a full disk); `filled` is what was written before.
        """
        for name, column in part.items():
            if name not in self._files:
                path = self._folder / require_component(name)
                self._files[name] = path.open("x+b", buffering=0)
                self._hashes[name] = hashlib.sha256()
                self._kinds[name] = (column.dtype.name, column.shape[1:])
            content = _bytes(np.ascontiguousarray(column))
            self._hashes[name].update(content)
            while content:
                content = content[self._files[name].write(content) :]
        self.filled += len(next(iter(part.values())))

    def taken_back(self) -> dict[str, Column]:
        """A copy in memory of the rows that are written, in columns of the whole length."""
        found = {}
        for name, (dtype, shape) in self._kinds.items():
            column = np.empty((self._rows, *shape), dtype)
            into, file = _bytes(column[: self.filled]), self._files[name]
            file.seek(0)
            while into:
                count = file.readinto(into)  # type: ignore[attr-defined]
                if not count:
                    raise RunError(f"{file.name} is shorter than what was written: somebody else has changed it.")
                into = into[count:]
            found[name] = column
        return found

    def finished(self) -> dict[str, Any]:
        """What `read_columns` needs to find them again, once the system has written them down.

        Raises:
            OSError: it cannot.
        """
        for file in self._files.values():
            os.fsync(file.fileno())
        return {
            name: {"dtype": dtype, "shape": [self._rows, *shape], "sha256": self._hashes[name].hexdigest()}
            for name, (dtype, shape) in self._kinds.items()
        }

    def close(self) -> None:
        """No more rows."""
        for file in self._files.values():
            file.close()


def read_columns(folder: Path, layout: object) -> dict[str, Column]:
    """The columns, mapped into memory: what is written into them stays in this process.

    Args:
        folder: where they are.
        layout: what `ColumnFiles.finished` gave.

    Raises:
        RunError: a file is not there, or is not what was written: another length, or another hash.
    """
    if sys.byteorder != "little" or not isinstance(layout, dict):
        raise RunError(f"{folder} does not say which columns it has.")
    return {str(name): _read(folder, str(name), said) for name, said in layout.items()}


def _bytes(column: Column) -> memoryview:
    """The memory of an array whose rows follow each other."""
    return memoryview(column.reshape(-1).view(np.uint8).data)


def _read(folder: Path, name: str, said: object) -> Column:
    path = folder / require_component(name)
    dtype, shape, sha256 = _layout(said, path)
    try:
        number = os.open(path, os.O_RDONLY | _OPEN)
        with os.fdopen(number, "rb") as file:
            found = os.fstat(number)
            size = prod(shape) * np.dtype(dtype).itemsize
            if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                raise RunError(f"{path} is damaged: it has {found.st_size:,} bytes, expected {size:,}.")
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
            if digest.hexdigest() != sha256:
                raise RunError(f"{path} is damaged: its numbers are not those that were written.")
            if not size:
                return np.empty(shape, dtype)
            return np.memmap(file, np.dtype(dtype), "c", shape=shape)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {reason(error)}.") from None


def _layout(said: object, path: Path) -> tuple[str, tuple[int, ...], str]:
    entry = said if isinstance(said, dict) else {}
    dtype, shape, sha256 = entry.get("dtype"), entry.get("shape"), entry.get("sha256")
    if (
        isinstance(dtype, str)
        and dtype in DTYPES
        and isinstance(shape, list)
        and 1 <= len(shape) <= MOST_AXES
        and all(type(size) is int and size >= 0 for size in shape)
        and isinstance(sha256, str)
        and _SHA256.fullmatch(sha256)
    ):
        return dtype, tuple(shape), sha256
    raise RunError(f"{path.parent} does not say what the column '{path.name}' holds.")
