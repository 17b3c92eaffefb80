"""CSV and Parquet files: a row a step, vectors as list cells or as several columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equiwm.disk.text import open_regular
from equiwm.errors import DataError
from equiwm.logs.raw import MOST_COLUMNS, MOST_FILE, Array, Budget, Raw, extra_missing
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

    budget = Budget(path)
    parts: list[pd.DataFrame] = []
    with open_regular(path, most=MOST_FILE, error=DataError) as file:
        try:
            with pd.read_csv(file, chunksize=_BATCH, dtype=object, encoding="utf-8", skipinitialspace=True) as chunks:
                for chunk in chunks:
                    budget.take(chunk.shape, f"rows {chunk.index[0]} to {chunk.index[-1]}")
                    parts.append(chunk)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: no CSV ({cut(' '.join(str(error).split()), 120)}).") from None
    if not parts:
        raise DataError(f"{path}: it has a line of names and no rows.")
    table = pd.concat(parts, ignore_index=True)
    columns = {str(name): _numbers(path, str(name), table[name]) for name in table.columns}
    return Raw(path, {name: values for name, values in columns.items() if values is not None})


def _numbers(path: Path, name: str, cells: pd.Series[Any]) -> Array | None:
    """A column of numbers (an empty cell is NaN), or None where it is text from its first cell on."""
    import pandas as pd

    words = {"true": 1.0, "false": 0.0}
    given = cells.map(lambda cell: words.get(cell.strip().lower(), cell) if isinstance(cell, str) else cell)
    values = pd.to_numeric(given, errors="coerce")
    wrong = np.flatnonzero((values.isna() & cells.notna()).to_numpy())
    # Text that pandas reads as missing ("nan") comes as NaN already.
    if len(wrong) and wrong[0] == int(cells.notna().to_numpy().argmax()):
        return None
    if len(wrong):
        raise DataError(f"{path}: column {quoted(name)}, row {wrong[0]}: {quoted(cells[int(wrong[0])])} is no number.")
    return values.to_numpy(dtype=np.float64)


def read_parquet(path: Path) -> Raw:
    """The columns of one Parquet file.

    Raises:
        DataError: a file that is damaged, cut off or too large, or vectors of unequal lengths in one column.
        MissingExtraError: pyarrow is not installed.
    """
    return Raw(path, parquet_columns([path], Budget(path)))


def parquet_columns(
    paths: Sequence[Path], budget: Budget, *, inside: Path | None = None, leave_out: frozenset[str] = frozenset()
) -> dict[str, Array]:
    """The columns of numbers of Parquet files, one after another.

    Args:
        paths: the files; all have the same columns.
        budget: counts what is read.
        inside: a folder that links must not lead out of.
        leave_out: columns that are not read.

    Raises:
        DataError, MissingExtraError: as `read_parquet`; a column that one file has and another has not.
    """
    parts = [_parquet(path, budget, inside, leave_out) for path in paths]
    names = list(parts[0])
    for path, part in zip(paths, parts, strict=True):
        if list(part) != names:
            odd = sorted(set(part) ^ set(names))
            raise DataError(f"{path}: its columns are not those of {paths[0]} ({cut(', '.join(odd), 80)}).")
        for name in names:
            if part[name].shape[1:] != parts[0][name].shape[1:]:
                raise DataError(
                    f"{path}: column {quoted(name)} has {part[name].shape[1:]} entries a row, {paths[0]} "
                    f"{parts[0][name].shape[1:]}."
                )
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _parquet(path: Path, budget: Budget, inside: Path | None, leave_out: frozenset[str]) -> dict[str, Array]:
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
                found: dict[str, list[Array]] = {name: [] for name in names}
                first = 0
                for batch in source.iter_batches(_BATCH, columns=names, use_threads=False):
                    for name in names:
                        found[name].append(
                            _cells(path, name, first, batch.column(batch.schema.get_field_index(name)), budget)
                        )
                    first += batch.num_rows
        except (pyarrow.ArrowException, OSError, ValueError, EOFError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{path}: damaged, cut off, or no Parquet file ({cut(' '.join(str(error).split()), 120)})."
            ) from None
    columns = {}
    for name, pieces in found.items():
        widths = {piece.shape[1:] for piece in pieces}
        if len(widths) > 1:
            raise DataError(f"{path}: column {quoted(name)} has vectors of unequal lengths: {sorted(widths)}.")
        columns[name] = np.concatenate(pieces) if pieces else np.empty(0)
    return columns


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
