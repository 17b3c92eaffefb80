"""Arrays that may be larger than memory: they lie in a file of the temporary folder that has no name.

The system writes what is not used to disk and takes it back when it is needed; the file is gone with the last array
that looks at it, however the process ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from equiwm.boundary import machine_error
from equiwm.errors import DataError
from equiwm.logs.raw import Array

IN_MEMORY = 2**25
"""Bytes of an array that is simply kept."""
BLOCK = 2**16
"""Rows that are copied at once."""


def blocks(rows: int, size: int | None = None) -> Iterator[slice]:
    """The rows in slices of at most `size`; None is `BLOCK`."""
    size = size or BLOCK
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def allocate(shape: Sequence[int], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """An array to be filled: in memory where it is small, else in a nameless file.

    Raises:
        DataError: the disk of the temporary folder is full.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.empty(shape, dtype)
    with _room(), tempfile.TemporaryFile() as file:
        # Written over before it is mapped: a disk that is full then would kill the process.
        _fill(file, size)
        return np.memmap(file, dtype, "r+", shape=tuple(shape))


def _fill(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for part in blocks(size, 2**20):
        file.write(bytes(part.stop - part.start))
    file.flush()


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"cannot lay out a log in {tempfile.gettempdir()}, where TMPDIR may name another folder"
        raise machine_error(error, where) or DataError(f"{where}: {error.strerror}.") from None


class Growing:
    """An array that grows at its end: kept in pieces while it is small, then in a nameless file as float64."""

    def __init__(self) -> None:
        self._pieces: list[Array] = []
        self._file: IO[bytes] | None = None
        self._rows = self._bytes = 0
        self.row: tuple[int, ...] | None = None
        """Shape of a row; None before there is any."""
        self.known = False
        """Whether it holds anything but gaps, for readers that find out what a column is as they go."""

    def add(self, part: Array) -> None:
        """Rows at its end, of the shape of those before.

        Raises:
            DataError: the disk of the temporary folder is full.
        """
        self.row = part.shape[1:] if self.row is None else self.row
        self._pieces.append(part)
        self._rows += len(part)
        self._bytes += part.nbytes
        if self._file is not None or self._bytes > IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        with _room():
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 (closed with the object)
            for piece in self._pieces:
                self._file.write(np.ascontiguousarray(piece, dtype=np.float64).data)
        self._pieces = []

    def __len__(self) -> int:
        return self._rows

    def array(self) -> Array:
        """All rows."""
        if self._file is None:
            return np.concatenate(self._pieces) if self._pieces else np.empty(0)
        with _room():
            self._file.flush()
            return np.memmap(self._file, np.float64, "r+", shape=(self._rows, *(self.row or ())))
