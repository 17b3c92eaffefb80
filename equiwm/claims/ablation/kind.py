"""What a kind of ablation is: its cells, how one is computed, what is shown and what is stated. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from equiwm.grid import Cell, CellFunction
from equiwm.results.ablation import AblationRow

if TYPE_CHECKING:
    from equiwm.claims.statement import Statement
    from equiwm.tables.table import Table

DIMENSIONS: dict[str, tuple[int, ...]] = {"field": (2, 3), "cloud": (3,), "pusht": (2,), "paper": (2, 3)}
"""Dimensions d that each world has; `paper` stands for PushT in the plane and clouds in space."""

WEDGE = {2: 90.0, 3: 0.0}
"""`FieldConfig.coverage` that trains the velocity field on the wedge [0, 90), of the plane or about z in space, as the
other worlds are.
"""

HALF = {2: 180.0, 3: 90.0}
"""`FieldConfig.coverage` of the paper's stress tests: the arc [0, 180), or the ball of 90 degrees."""

R = TypeVar("R", bound=AblationRow)


@dataclass(frozen=True)
class Scope:
    """What was asked for.

    Attributes:
        dims: dimensions, ascending.
        seeds: seeds, ascending.
        quick: a small version of the study, under a minute on two cores.
        world: the world to run on, one of the kind's, or that of `preset`.
        preset: name or path of a preset that is compared with its baseline; None takes the kind's own arms.
    """

    dims: tuple[int, ...]
    seeds: tuple[int, ...]
    quick: bool
    world: str
    preset: str | None = None


@dataclass(frozen=True)
class StudyRows(Generic[R]):
    """The rows of a study, and what they are of.

    Attributes:
        name: the study's name, for titles.
        world: its world.
        dims: its dimensions.
        rows: in canonical order.
    """

    name: str
    world: str
    dims: Sequence[int]
    rows: Sequence[R]


def _same(params: Mapping[str, Any]) -> float:
    return 1.0


@dataclass(frozen=True)
class AblationKind(Generic[R]):
    """One stress test: `equiwm ablate NAME`, or `equiwm ablate MODULE:ATTRIBUTE` for one outside this package.

    A kind is one module, which imports torch in `compute` alone: the report shows a study without it.

    Attributes:
        name: as it is called on the command line.
        question: what it asks, one sentence.
        worlds: worlds that it can run on, the default first.
        row: the columns of its rows.
        settings: scope -> everything that the result depends on (sizes, steps, sweeps), plain data for config.yaml.
        cells: scope -> the grid in canonical order, arms of one dimension together. A key names dimension, arm, cell
            and seed: `dim=2,mlp,width=64,seed=0`.
        compute: importable; a cell's parameters -> `{"rows": [row.as_dict(), ...]}`, and where a network diverged
            `"failed": ["seed 3: the loss is not finite", ...]` in place of its row. Nothing that depends on the clock.
        statements: the scope -> what is stated. The answer is what their bounds decide.
        tables: what was measured -> tables.
        figure: what was measured and a folder -> the PNG, with the CSV it was drawn from beside it.
        work: a cell's parameters -> how long it takes relative to the others, for the order in which cells are
            handed out and the share of the work that is left.
        dimensions: world -> the dimensions that it has; for worlds that this package does not know.
        any_preset: whether its arms may be any preset and that one's baseline (`arms.scope_arm`).
    """

    name: str
    question: str
    worlds: tuple[str, ...]
    row: type[R]
    settings: Callable[[Scope], dict[str, Any]]
    cells: Callable[[Scope], list[Cell]]
    compute: CellFunction
    statements: Callable[[Scope], list[Statement[R]]]
    tables: Callable[[StudyRows[R]], list[Table]]
    figure: Callable[[StudyRows[R], Path], Path]
    work: Callable[[Mapping[str, Any]], float] = _same
    any_preset: bool = False
    dimensions: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: DIMENSIONS)
