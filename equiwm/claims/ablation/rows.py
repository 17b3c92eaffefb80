"""The rows of an ablation: their CSV, and medians over seeds. No torch here: the report uses it too."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.kind import COLUMNS, Row
from equiwm.files import write_atomic
from equiwm.stats import MedianRange, median_and_range


def select(rows: Sequence[Row], **where: Any) -> list[Row]:
    """The rows that have the given values: `select(rows, dim=2, arm="vn")`."""
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def values(rows: Sequence[Row], column: str) -> list[float]:
    """A column's numbers, without those that are missing."""
    return [row[column] for row in rows if row.get(column) is not None]


def summary(rows: Sequence[Row], column: str, **where: Any) -> MedianRange:
    """Median, smallest and largest of a column over the selected rows.

    Raises:
        ValueError: there is no such row, or none has the number.
    """
    return median_and_range(values(select(rows, **where), column))


def over_seeds(rows: Sequence[Row], column: str, **where: Any) -> MedianRange | None:
    """`summary`, or None where there is nothing to summarise."""
    return summary(rows, column, **where) if values(select(rows, **where), column) else None


def above_rounding(rows: Sequence[Row]) -> str:
    """The VN's largest residual, and how far it is above what rounding does to the same network, as a clause."""
    vn = select(rows, arm="vn")
    times = max(row["relative_residual"] / row["float32_rounding"] for row in vn)
    return (
        f"the VN's residual is {max(values(vn, 'relative_residual')):.1e} at most, no more than {times:.2g} times what "
        "rounding alone moves the same network"
    )


def ladder(rows: Sequence[Row], column: str, dim: int, breaking: float) -> list[float]:
    """Medians over seeds of a column of `ablate soft` from hard to free: VN, beta descending, MLP.

    The free MLP is an end to compare with and not the limit of small beta: that still has its equivariant path.
    """
    here = select(rows, dim=dim, breaking=breaking)
    steps = dict.fromkeys((row["arm"], row["cell"]) for row in here)
    return [summary(here, column, arm=arm, cell=cell).median for arm, cell in steps]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows.csv`: `COLUMNS`, then the kind's own in the order of the rows; a missing number is empty.

    Raises:
        RunError: the file cannot be written.
    """
    names = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, buffer.getvalue())
