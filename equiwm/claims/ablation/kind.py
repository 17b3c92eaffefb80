"""What a kind of ablation is: its cells, how one is computed, what is shown and what is stated. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from equiwm.config import WorldConfig, load, world_settings
from equiwm.errors import ConfigError
from equiwm.grid import Cell, CellFunction, Stacks
from equiwm.locate import BUILT_IN
from equiwm.results.ablation import AblationRow

if TYPE_CHECKING:
    from equiwm.claims.statement import Statement
    from equiwm.tables.table import Table

HALF = {2: 180.0, 3: 90.0}
"""Degrees that training covers in the paper's stress tests, by dimension: the arc [0, 180), or the ball of 90."""

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
        presets: dimension -> the kind's own preset on this world; empty for a kind that names worlds alone.
    """

    dims: tuple[int, ...]
    seeds: tuple[int, ...]
    quick: bool
    world: str
    preset: str | None = None
    presets: Mapping[int, str] = field(default_factory=dict)


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
        presets: equivariant presets that its arms are made of, those on the default world first: each with its
            baseline, on the world that it says.
        together: what all presets together are called as a world, where they are one choice; empty where each world
            of theirs is.
        worlds: in place of presets, worlds that it can run on, the default first.
        stacks: which cells are computed by one call, and how, where several are cheaper so (`seeds.seeds_together`);
            None computes each alone.
        dimensions: world -> the dimensions that it has, for such worlds that do not say it themselves.
        any_preset: whether its arms may be any preset and that one's baseline (`arms.scope_arm`).
    """

    name: str
    question: str
    row: type[R]
    settings: Callable[[Scope], dict[str, Any]]
    cells: Callable[[Scope], list[Cell]]
    compute: CellFunction
    statements: Callable[[Scope], list[Statement[R]]]
    tables: Callable[[StudyRows[R]], list[Table]]
    figure: Callable[[StudyRows[R], Path], Path]
    work: Callable[[Mapping[str, Any]], float] = _same
    presets: tuple[str, ...] = ()
    together: str = ""
    worlds: tuple[str, ...] = ()
    stacks: Stacks | None = None
    dimensions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    any_preset: bool = False

    def runs_on(self) -> dict[str, dict[int, str]]:
        """Every world that it can run on, the default first: dimension -> preset, none where it names worlds alone."""
        found: dict[str, dict[int, str]] = {name: {} for name in self.worlds}
        for preset in self.presets:
            world = load(preset).world
            found.setdefault(self.together or world.name, {})[_dimension(world)] = preset
        return found

    def dimensions_on(self, world: str) -> tuple[int, ...]:
        """The dimensions of one of its worlds, ascending.

        Raises:
            ConfigError: a world that does not say them, and of which the kind does not say them either.
        """
        dims = self.dimensions.get(world) or tuple(sorted(self.runs_on()[world]))
        if not dims and world in BUILT_IN["world"]:
            dims = world_settings(world).dimensions
        if not dims:
            raise ConfigError(f"ablation '{self.name}': its field dimensions lacks the world '{world}'.")
        return dims


def _dimension(world: WorldConfig) -> int:
    if world.space_dimension is not None:
        return world.space_dimension
    from equiwm.worlds.factory import build_world

    return build_world(world).dimension
