"""What a kind of ablation is: its cells, how one is computed, and the answer that its rows give. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from equiwm.grid import Cell, CellFunction

WorldName = Literal["field", "cloud", "pusht", "paper"]

DIMENSIONS: dict[WorldName, tuple[int, ...]] = {"field": (2, 3), "cloud": (3,), "pusht": (2,), "paper": (2, 3)}
"""Dimensions d that each world has; `paper` stands for PushT in the plane and clouds in space."""

WEDGE = {2: 90.0, 3: 0.0}
"""`FieldConfig.coverage` that trains the velocity field on the wedge [0, 90), of the plane or about z in space, as the
other worlds are.
"""

Row = Mapping[str, Any]
"""One network of one seed: a row of `rows.csv`. Missing and non-finite numbers are None."""

COLUMNS = (
    "arm",
    "cell",
    "dim",
    "seed",
    "parameters",
    "seen_relmse",
    "ood_relmse",
    "ood_factor",
    "relative_residual",
)
"""Columns of every kind; a kind's own ones (`coverage`, `width`, ...) come after them, in the order of its rows.

`arm` is the network compared (`vn`, `mlp`, `soft`), `cell` what the networks of all seeds have in common, unique
within dimension and arm (`coverage=90`).
"""


@dataclass(frozen=True)
class Scope:
    """What was asked for.

    Attributes:
        dims: dimensions, ascending.
        seeds: seeds, ascending.
        quick: a small version of the study, under a minute on two cores.
        world: the world to run on, one of the kind's.
    """

    dims: tuple[int, ...]
    seeds: tuple[int, ...]
    quick: bool
    world: WorldName


def _same(params: Mapping[str, Any]) -> float:
    return 1.0


@dataclass(frozen=True)
class Kind:
    """One stress test: `equiwm ablate NAME`.

    Its tables and its figure are made by `equiwm.report.ablation.NAME`, of which `tables(entry, name)` and
    `figure(entry, name, folder)` take the section `ablate` of metrics.json.

    Attributes:
        name: as it is called on the command line.
        question: what it asks, one sentence.
        worlds: worlds that it can run on, the default first.
        settings: scope -> everything that the result depends on (sizes, steps, sweeps), plain data for config.yaml.
        cells: scope -> the grid in canonical order, arms of one dimension together. Where seeds are trained as one
            program the stack is the cell. A key names dimension, arm, cell and seeds: `dim=2,mlp,width=64,seeds=0-4`.
        compute: importable; a cell's parameters -> `{"rows": [row, ...]}` in order of seed, and, if networks of
            a stack diverged, `"failed": ["seed 3: the loss is not finite", ...]` in place of their rows. Nothing that
            depends on the clock.
        answer: rows in canonical order -> the question's answer in one sentence with the numbers it rests on, also
            when they say otherwise. It is asked only when no cell failed; networks that diverged have no row.
        work: a cell's parameters -> how long it takes relative to the others, for the order in which cells are
            handed out and the estimate of the time left.
    """

    name: str
    question: str
    worlds: tuple[WorldName, ...]
    settings: Callable[[Scope], dict[str, Any]]
    cells: Callable[[Scope], list[Cell]]
    compute: CellFunction
    answer: Callable[[Sequence[Row]], str]
    work: Callable[[Mapping[str, Any]], float] = _same
