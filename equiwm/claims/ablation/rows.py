"""Reading the rows of an ablation: which, which numbers, what each seed says. No torch here: the report uses it too."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from equiwm.claims.statement import Estimate
from equiwm.disk.files import write_atomic
from equiwm.results.ablation import AblationRow

R = TypeVar("R", bound=AblationRow)


def select(rows: Iterable[R], **where: Any) -> list[R]:
    """The rows that have the given values: `select(rows, dim=2, arm="vn")`."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in where.items())]


def column(rows: Sequence[AblationRow], name: str) -> np.ndarray:
    """A column's numbers; NaN, which minimum and maximum pass on, where one is missing."""
    return np.array([getattr(row, name) for row in rows], dtype=float)


def of_each_seed(dim: int, value: Callable[[Sequence[R]], float]) -> Callable[[Sequence[R]], Estimate]:
    """Reads one value from the rows of each seed in a dimension; a seed that lacks rows leaves the estimate missing.

    Args:
        dim: the dimension.
        value: the rows of one seed -> a number. It may raise ValueError or IndexError where rows are missing.
    """

    def read(rows: Sequence[R]) -> Estimate:
        by_seed: dict[int, list[R]] = {}
        for row in select(rows, dim=dim):
            by_seed.setdefault(row.seed, []).append(row)
        found = []
        for _, here in sorted(by_seed.items()):
            try:
                found.append(float(value(here)))
            except (ValueError, IndexError):  # an arm that diverged: the minimum of nothing
                return Estimate.missing()
        return Estimate.of_seeds(found)

    return read


def largest_off_one(rows: Sequence[AblationRow], arm: str = "vn") -> float:
    """max |OOD/seen - 1| of an arm."""
    return float(np.abs(column(select(rows, arm=arm), "ood_factor") - 1.0).max())


def residual_over(rows: Sequence[AblationRow], arm: str, base: str = "vn") -> float:
    """The least residual of an arm over the largest of another."""
    floor = column(select(rows, arm=base), "relative_residual").max()
    return float(column(select(rows, arm=arm), "relative_residual").min() / floor)


def mlp_apart(rows: Sequence[AblationRow]) -> float:
    """The MLP's least residual over the VN's largest."""
    return residual_over(rows, "mlp")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows.csv`, the columns in the order of the rows; a missing number is empty.

    Raises:
        RunError: the file cannot be written.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, buffer.getvalue())
