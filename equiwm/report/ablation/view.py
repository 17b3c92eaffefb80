"""What the tables of all ablations share, and where each kind's own are found.

A kind's module beside this one has `tables(entry, name) -> list[Table]` and `figure(entry, name, folder) -> Path`,
with `entry` the section `ablate` of metrics.json: `kind`, `world`, `question`, `answer`, `rows`, `failed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from equiwm.report.table import Table, number
from equiwm.stats import MedianRange


def interval(summary: MedianRange | None, digits: int = 3) -> str:
    """`median [smallest, largest]` over seeds; the median alone of one seed, a dash of none."""
    if summary is None:
        return "–"
    if summary.n == 1:
        return number(summary.median, digits)
    return f"{number(summary.median, digits)} [{number(summary.low, digits)}, {number(summary.high, digits)}]"


def ablation_tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """Section `ablate`: the kind's tables, then question, answer and what failed."""
    tables: list[Table] = list(import_module(f"equiwm.report.ablation.{entry['kind']}").tables(entry, name))
    notes = tuple(f"failed: {line}" for line in entry["failed"])
    return [*tables, Table(f"{name}: {entry['question']}", ("answer",), [(entry["answer"],)], notes)]


def ablation_figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """The kind's figure in `folder`, with the CSV it was drawn from; gives the path of the PNG."""
    path: Path = import_module(f"equiwm.report.ablation.{entry['kind']}").figure(entry, name, folder)
    return path
