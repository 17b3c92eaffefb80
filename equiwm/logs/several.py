"""Logs of several files: their columns one below the other, and files that cannot be read named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from equiwm.errors import DataError
from equiwm.logs.raw import Array
from equiwm.printable import quoted

Columns = Mapping[str, Array]


def each_file(
    path: Path, files: Sequence[Path], read: Callable[[Path], Columns], *, skip_bad: bool
) -> tuple[list[tuple[Path, Columns]], tuple[str, ...]]:
    """The columns of each file, and what was wrong with those that were left out.

    Args:
        path: what the user named.
        files: in order.
        read: reads one.
        skip_bad: leave out those that cannot be read.

    Raises:
        DataError: one cannot be read and `skip_bad` is not set, or none can.
    """
    parts, skipped = [], []
    for file in files:
        try:
            parts.append((file, read(file)))
        except DataError as error:
            if not skip_bad:
                if len(files) == 1:
                    raise
                raise DataError(
                    f"{error} It is one of {len(files):,} files; world.skip_bad=true leaves out those that cannot be "
                    "read."
                ) from None
            skipped.append(str(error))
    if not parts:
        raise DataError(f"{path}: none of its {len(files):,} files can be read; the first: {skipped[0]}")
    return parts, tuple(skipped)


def joined(parts: Sequence[tuple[Path, Columns]]) -> tuple[dict[str, Array], list[tuple[Path, int]], int]:
    """The columns that all files have, the first row of each file, and how many rows there are.

    Raises:
        DataError: a column that is wider in one file than in another, or columns of one file that are not equally long.
    """
    first_file, first = parts[0]
    shared = [name for name in first if all(name in part for _, part in parts)]
    files, rows = [], 0
    for file, part in parts:
        lengths = {len(part[name]) for name in shared}
        if len(lengths) > 1:
            raise DataError(
                f"{file}: its columns have different lengths ({', '.join(map(str, sorted(lengths)))} rows)."
            )
        for name in shared:
            if part[name].shape[1:] != first[name].shape[1:]:
                raise DataError(
                    f"{file}: column {quoted(name)} has {part[name].shape[1:]} entries a row, {first_file} "
                    f"{first[name].shape[1:]}."
                )
        files.append((file, rows))
        rows += max(lengths, default=0)
    return {name: np.concatenate([part[name] for _, part in parts]) for name in shared}, files, rows
