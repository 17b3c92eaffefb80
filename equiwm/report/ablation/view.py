"""What the tables of all ablations share, and where each kind's own are found.

A kind's module beside this one has `tables(entry, name) -> list[Table]` and `figure(entry, name, folder) -> Path`,
with `entry` the section `ablate` of metrics.json: `kind`, `world`, `question`, `answer`, `rows`, `failed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.rows import over_seeds, select
from equiwm.tables.table import Table, interval

QUANTITIES = {
    "seen_relmse": "relMSE seen",
    "ood_relmse": "relMSE OOD",
    "ood_factor": "OOD / seen",
    "relative_residual": "relative residual",
    "float32_rounding": "float32 rounding",
}
"""What every kind measures, as tables and figures call it."""


def cell_table(
    title: str, heading: str, rows: Sequence[Mapping[str, Any]], dim: int, *, notes: tuple[str, ...] = ()
) -> Table:
    """One row for each `label` of the rows of a dimension: parameters, and `QUANTITIES` over seeds."""
    here = select(rows, dim=dim)
    cells = []
    for label in dict.fromkeys(row["label"] for row in here):
        members = select(here, label=label)
        figures = (interval(over_seeds(members, quantity)) for quantity in QUANTITIES)
        cells.append((label, f"{members[0]['parameters']:,}", *figures))
    return Table(title, (heading, "parameters", *QUANTITIES.values()), cells, notes)


def grid_table(
    title: str, rows: Sequence[Mapping[str, Any]], quantity: str, dim: int, *, down: str, across: str
) -> Table:
    """A quantity over seeds, one row for each value of the column `down`, one column for each of `across`."""
    here = select(rows, dim=dim)
    downs, acrosses = (list(dict.fromkeys(row[key] for row in here)) for key in (down, across))
    cells = [
        (str(value), *(interval(over_seeds(here, quantity, **{down: value, across: other})) for other in acrosses))
        for value in downs
    ]
    return Table(title, (down, *(str(other) for other in acrosses)), cells)


def ablation_tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """Section `ablate`: the kind's tables, then question, answer and what failed."""
    tables: list[Table] = list(import_module(f"equiwm.report.ablation.{entry['kind']}").tables(entry, name))
    notes = tuple(f"failed: {line}" for line in entry["failed"])
    return [*tables, Table(f"{name}: {entry['question']}", ("answer",), [(entry["answer"],)], notes)]


def ablation_figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """The kind's figure in `folder`, with the CSV it was drawn from; gives the path of the PNG."""
    path: Path = import_module(f"equiwm.report.ablation.{entry['kind']}").figure(entry, name, folder)
    return path
