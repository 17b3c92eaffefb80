"""Tables and the figure of an ablation: those of its kind, and what its statements came to."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.kind import AblationKind, StudyRows
from equiwm.claims.ablation.registry import load_kind
from equiwm.figures.panels import label_tables
from equiwm.locate import is_foreign
from equiwm.report.statements import statement_table
from equiwm.results.ablation import AblationResult, AblationRow, read_rows
from equiwm.tables.table import Table

OLD_ANSWER = "The answer is a sentence of the version that wrote it: no bound decided it."


@dataclass(frozen=True, kw_only=True)
class _AnyRow(AblationRow):
    """A row of a kind that is not known here: its common columns."""

    @property
    def label(self) -> str:
        """Arm and cell."""
        return f"{self.arm}, {self.cell}"


def _known(name: str) -> AblationKind[Any] | None:
    """The kind that a stored result names, if its code is here already: what a folder names is not imported."""
    if is_foreign(name) and name.partition(":")[0] not in sys.modules:
        return None
    return load_kind(name)


def _measured(result: AblationResult, row: type[AblationRow], name: str) -> StudyRows[Any]:
    return StudyRows(name, result.world, result.dims, read_rows(row, result.rows, f"{name}: "))


def ablation_tables(result: AblationResult, name: str) -> list[Table]:
    """Section `ablate`: the kind's tables, then the question with its statements, and what failed.

    Args:
        result: the section.
        name: the study's name.

    Raises:
        ResultError: a damaged result.
        ConfigError: a kind that is no longer there.
    """
    kind = _known(result.kind)
    if kind is None:
        note = f"The columns of {result.kind} are in rows.csv: its code was not named in this command."
        data = _measured(result, _AnyRow, name)
        tables = label_tables(data, "training", result.world, notes=(note,))
    else:
        tables = kind.tables(_measured(result, kind.row, name))
    failed = tuple(f"failed: {line}" for line in result.failed)
    title = f"{name}: {result.question}"
    if result.statements is None:
        return [*tables, Table(title, ("answer",), [(result.answer,)], (OLD_ANSWER, *failed))]
    return [*tables, statement_table(title, result.statements, failed)]


def can_be_drawn(result: AblationResult) -> bool:
    """Whether an ablation has rows, and its kind is here to draw them.

    Raises:
        ConfigError: a kind that is no longer there.
    """
    return bool(result.rows) and _known(result.kind) is not None


def ablation_figure(result: AblationResult, name: str, folder: Path) -> Path:
    """The kind's figure in `folder`, with the CSV it was drawn from; gives the path of the PNG.

    Raises:
        ResultError: a damaged result.
        ConfigError: a kind that is no longer there.
    """
    kind = load_kind(result.kind)
    return kind.figure(_measured(result, kind.row, name), folder)
