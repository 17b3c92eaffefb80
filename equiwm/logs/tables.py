"""CSV and Parquet files: a row a step, vectors as list cells or as several columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equiwm.disk.text import open_regular
from equiwm.errors import DataError
from equiwm.logs.raw import MOST_COLUMNS, MOST_FILE, Array, Budget, Raw, extra_missing
from equiwm.logs.spool import Growing
from equiwm.printable import cut, quoted

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 2**16


def read_csv(path: Path) -> Raw:
    """The columns of a CSV with one line of names; columns of text are left out.

    Raises:
        DataError: no CSV, too many numbers, or a column of numbers with a cell that is none.
    """
    import pandas as pd

    budget, first = Budget(path), 0
    columns: dict[str, Growing | None] = {}
    with open_regular(path, most=MOST_FILE, error=DataError) as file:
        try:
            with pd.read_csv(file, chunksize=_BATCH, dtype=object, encoding="utf-8", skipinitialspace=True) as chunks:
                for chunk in chunks:
                    budget.take(chunk.shape, f"rows {first} to {first + len(chunk) - 1}")
                    for name in chunk.columns:
                        column = columns.setdefault(str(name), Growing())
                        if column is not None:
                            columns[str(name)] = _with_numbers(path, str(name), column, chunk[name], first)
                    first += len(chunk)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: no CSV ({cut(' '.join(str(error).split()), 120)}).") from None
    if not first:
        raise DataError(f"{path}: it has a line of names and no rows.")
    return Raw(path, {name: column.array() for name, column in columns.items() if column is not None})


def _with_numbers(path: Path, name: str, column: Growing, cells: pd.Series[Any], first: int) -> Growing | None:
    """A column of numbers with some more (an empty cell is NaN), or None where it is text from its first cell on.

    Raises:
        DataError: a cell that is no number, after some that are.
    """
    import pandas as pd

    words = {"true": 1.0, "false": 0.0}
    given = cells.map(lambda cell: words.get(cell.strip().lower(), cell) if isinstance(cell, str) else cell)
    values = pd.to_numeric(given, errors="coerce")
    wrong = np.flatnonzero((values.isna() & cells.notna()).to_numpy())
    # Text that pandas reads as missing ("nan") comes as NaN already.
    if len(wrong) and not column.known and wrong[0] == int(cells.notna().to_numpy().argmax()):
        return None
    if len(wrong):
        cell = cells.iloc[int(wrong[0])]
        raise DataError(f"{path}: column {quoted(name)}, row {first + wrong[0]}: {quoted(cell)} is no number.")
    column.add(values.to_numpy(dtype=np.float64))
    column.known = column.known or bool(values.notna().any())
    return column


def read_parquet(path: Path) -> Raw:
    """The columns of one Parquet file.

    Raises:
        DataError: a file that is damaged, cut off or too large, or vectors of unequal lengths in one column.
        MissingExtraError: pyarrow is not installed.
    """
    return Raw(path, parquet_columns(path, Budget(path)))


def parquet_columns(
    path: Path, budget: Budget, *, inside: Path | None = None, leave_out: frozenset[str] = frozenset()
) -> dict[str, Array]:
    """The columns of numbers of a Parquet file.

    Args:
        path: the file.
        budget: counts what is read.
        inside: a folder that links must not lead out of.
        leave_out: columns that are not read.

    Raises:
        DataError, MissingExtraError: as `read_parquet`.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise extra_missing("pyarrow", "Parquet files") from None
    with open_regular(path, most=MOST_FILE, inside=inside, error=DataError) as file:
        try:
            with parquet.ParquetFile(file) as source:
                schema = source.schema_arrow
                if len(schema) > MOST_COLUMNS:
                    raise DataError(f"{path}: {len(schema):,} columns, expected at most {MOST_COLUMNS:,}.")
                names = [entry.name for entry in schema if _holds_numbers(entry.type) and entry.name not in leave_out]
                budget.take((source.metadata.num_rows, len(names)), "its rows")
                found = {name: Growing() for name in names}
                first = 0
                for batch in source.iter_batches(_BATCH, columns=names, use_threads=False):
                    for name in names:
                        cells = _cells(path, name, first, batch.column(batch.schema.get_field_index(name)), budget)
                        before = found[name].row
                        if before is not None and before != cells.shape[1:]:
                            both = f"{before} and {cells.shape[1:]}"
                            raise DataError(f"{path}: column {quoted(name)} has vectors of unequal lengths: {both}.")
                        found[name].add(cells)
                    first += batch.num_rows
        except (pyarrow.ArrowException, OSError, ValueError, EOFError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{path}: damaged, cut off, or no Parquet file ({cut(' '.join(str(error).split()), 120)})."
            ) from None
    return {name: column.array() for name, column in found.items()}


def _holds_numbers(kind: Any) -> bool:
    from pyarrow import types

    while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _cells(path: Path, name: str, first: int, column: Any, budget: Budget) -> Array:
    """A column of a batch: (rows,) or, of lists, (rows, width, ...). A missing cell is NaN."""
    from pyarrow import types

    shape = [len(column)]
    while not (types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)):
        lengths = np.array([-1 if size is None else size for size in _lengths(column)])
        if len(lengths) and (lengths != lengths[0]).any():
            row = int((lengths != lengths[0]).argmax())
            where = f"row {first + row // max(1, len(lengths) // max(1, shape[0]))}"
            raise DataError(
                f"{path}: column {quoted(name)}, {where}: a vector of {max(int(lengths[row]), 0)} entries, in the rows "
                f"before it {max(int(lengths[0]), 0)}."
            )
        width = max(int(lengths[0]), 0) if len(lengths) else 0
        shape.append(width)
        budget.take((shape[0], max(width - 1, 0)), f"column {quoted(name)}")
        column = column.flatten()
    values = column.cast("float64") if column.null_count or types.is_boolean(column.type) else column
    numbers: Array = values.to_numpy(zero_copy_only=False)
    return np.asarray(numbers, dtype=np.float64).reshape(shape)


def _lengths(column: Any) -> list[int | None]:
    from pyarrow import compute

    return list(compute.list_value_length(column).to_pylist())
