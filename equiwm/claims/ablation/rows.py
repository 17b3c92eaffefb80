"""Medians over seeds of an ablation's rows. No torch here: the report uses it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from equiwm.stats import MedianRange, median_and_range


def select(rows: Sequence[Mapping[str, Any]], **where: Any) -> list[Mapping[str, Any]]:
    """The rows that have the given values: `select(rows, dim=2, arm="vn")`."""
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def values(rows: Sequence[Mapping[str, Any]], column: str) -> list[float]:
    """A column's numbers; missing ones (a network that diverged) are left out."""
    return [row[column] for row in rows if row.get(column) is not None]


def over_seeds(rows: Sequence[Mapping[str, Any]], column: str, **where: Any) -> MedianRange | None:
    """Median, smallest and largest of a column over the selected rows; None where there is none."""
    found = values(select(rows, **where), column)
    return median_and_range(found) if found else None
