"""Logs of several files: their columns one below the other, and files that cannot be read named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from equiwm.errors import DataError
from equiwm.logs.raw import Array
from equiwm.logs.spool import Growing
from equiwm.printable import quoted

Columns = Mapping[str, Array]


def stacked(
    path: Path, files: Sequence[Path], read: Callable[[Path], Columns], *, skip_bad: bool
) -> tuple[dict[str, Array], list[tuple[Path, int]], int, tuple[str, ...]]:
    """The columns that all files have, one file at a time.

    Args:
        path: what the user named.
        files: in order.
        read: reads one.
        skip_bad: leave out those that cannot be read.

    Returns:
        The columns, the first row of each file, how many rows there are, and what was wrong with files left out.

    Raises:
        DataError: one cannot be read, or does not fit the first, and `skip_bad` is not set; or none can.
    """
    growing: dict[str, Growing] = {}
    starts: list[tuple[Path, int]] = []
    skipped: list[str] = []
    rows = 0
    for file in files:
        try:
            part = read(file)
            count = _length(file, part, growing, starts)
        except DataError as error:
            if not skip_bad:
                raise _of_several(error, len(files)) from None
            skipped.append(str(error))
            continue
        growing = {name: growing.get(name, Growing()) for name in part if not starts or name in growing}
        for name, column in growing.items():
            column.add(part[name])
        starts.append((file, rows))
        rows += count
    if not starts:
        raise DataError(f"{path}: none of its {len(files):,} files can be read; the first: {skipped[0]}")
    return {name: column.array() for name, column in growing.items()}, starts, rows, tuple(skipped)


def _of_several(error: DataError, count: int) -> DataError:
    if count == 1:
        return error
    return DataError(f"{error} It is one of {count:,} files; equiwm train --skip-bad leaves it out.")


def _length(file: Path, part: Columns, growing: Mapping[str, Growing], starts: Sequence[tuple[Path, int]]) -> int:
    """The rows of a file whose columns fit those before.

    Raises:
        DataError: a column that is wider than in the first file, or columns that are not equally long.
    """
    shared = [name for name in part if not starts or name in growing]
    lengths = {len(part[name]) for name in shared}
    if len(lengths) > 1:
        raise DataError(
            f"{file}: its columns have {', '.join(map(str, sorted(lengths)))} rows; expected as many in each."
        )
    for name in shared:
        row = growing[name].row if name in growing else None
        if row is not None and part[name].shape[1:] != row:
            raise DataError(
                f"{file}: column {quoted(name)} has {part[name].shape[1:]} entries a row, {starts[0][0]} {row}."
            )
    return max(lengths, default=0)
