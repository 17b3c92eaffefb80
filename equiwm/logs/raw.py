"""What any reader gives: columns of numbers by name, and what the layout itself says about episodes.

A log is a stranger's input: files are regular ones of bounded size, sizes are asked before anything is unpacked, and
nothing in them is run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equiwm.errors import DataError, MissingExtraError, nearest
from equiwm.printable import quoted

MOST_FILE = 4 * 2**30
"""Bytes of one file of a log."""
MOST_NUMBERS = 2**27
"""Numbers that are read of a log, 1 GB in float64: 100 million are 1,000 hours of 30 columns at 1 Hz."""
MOST_COLUMNS = 10_000

Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Raw:
    """The columns of a log, as they lie on disk.

    Attributes:
        path: what the user named.
        columns: name -> array, rows along the first axis; they may have different lengths still.
        lengths: rows of each episode, where the layout itself says it; None where a column does.
        short: columns that have no entry in the last row of an episode: an observation more than actions.
        entries: name -> what its entries are called, where the layout says it.
        rate: rows a second, where the layout says it.
        files: (file, its first row) for layouts of several files.
        skipped: what was wrong with files or episodes that were left out, as was asked for.
        origin: which row on disk each row is, where some were left out.
    """

    path: Path
    columns: Mapping[str, Array]
    lengths: Sequence[int] | None = None
    short: frozenset[str] = frozenset()
    entries: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rate: float | None = None
    files: Sequence[tuple[Path, int]] = ()
    skipped: tuple[str, ...] = ()
    origin: NDArray[np.int64] | None = None

    def of_rows(self, kept: NDArray[np.bool_]) -> Raw:
        """Some of the rows; messages go on to name them as they lie on disk."""
        columns = {name: values[kept] if len(values) == len(kept) else values for name, values in self.columns.items()}
        return replace(self, columns=columns, lengths=None, origin=np.flatnonzero(kept))

    def resolved(self, name: str) -> str:
        """The full name of a column; the last part of it is enough where it is the only one (`state`, `data/state`).

        Raises:
            DataError: there is no such column, or there are several.
        """
        if name in self.columns:
            return name
        ends = [full for full in self.columns if full.rpartition("/")[2] == name]
        if len(ends) > 1:
            raise DataError(f"{self.path}: column {quoted(name)} could be {' or '.join(ends)}; give the full name.")
        if not ends:
            raise DataError(f"{self.path}: no column {quoted(name)}; {nearest(name, self.columns)}")
        return ends[0]

    def place(self, row: int) -> str:
        """Where a row lies, for messages: `row 17`, or with its file where the log has several."""
        row = row if self.origin is None else int(self.origin[row])
        for path, first in reversed(self.files):
            if row >= first:
                return f"{path}, row {row - first}"
        return f"row {row}"


class Budget:
    """How many numbers may still be read of a log."""

    def __init__(self, path: Path) -> None:
        self.path, self.left = path, MOST_NUMBERS

    def take(self, shape: Iterable[int], what: str) -> None:
        """Count an array before it is read.

        Raises:
            DataError: the log would be larger than any that is read.
        """
        sizes = list(shape)
        if any(size < 0 for size in sizes):
            raise DataError(f"{self.path}: {what} has the shape {tuple(sizes)}; the file is damaged.")
        self.left -= math.prod(sizes)
        if self.left < 0:
            raise DataError(
                f"{self.path}: with {what} of shape {tuple(sizes)} it holds more than {MOST_NUMBERS:,} numbers; it is "
                "not read. Give a part of the log."
            )


def is_numeric(dtype: np.dtype[np.generic]) -> bool:
    """Whether a column of this type holds real numbers or truth values."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def extra_missing(package: str, what: str) -> MissingExtraError:
    """The error of a reader whose library is not there."""
    return MissingExtraError(f"{what} are read with {package}: pip install 'equiwm[logs]'.")
