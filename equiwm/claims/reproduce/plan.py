"""What a reproduction has to compute, claim by claim, before anything is: cells and what cells like them have cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from equiwm.claims.ablation.kind import AblationKind, Scope
from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.ablation.study import resolve_scope
from equiwm.claims.reproduce.costs import CellCosts
from equiwm.claims.reproduce.sources import Ablation, Measurement, PaperClaim, Size, SourcedStatement, Training
from equiwm.grid import Cell
from equiwm.runs import run_name


@dataclass(frozen=True)
class Batch:
    """Independent cells, and what each is estimated to cost.

    Attributes:
        cells: in canonical order.
        seconds: CPU seconds of each; None where no cell like it was ever measured.
    """

    cells: list[Cell] = field(default_factory=list)
    seconds: list[float | None] = field(default_factory=list)

    @property
    def known(self) -> list[float]:
        """The estimates that there are."""
        return [each for each in self.seconds if each is not None]

    def weight(self, cell: Cell) -> float:
        """How long a cell takes relative to the others: one that is not known, as long as the mean of the known."""
        return self._weights[cell.key]

    @cached_property
    def work(self) -> float:
        """All weights."""
        return sum(self._weights.values())

    @cached_property
    def _weights(self) -> dict[str, float]:
        mean = sum(self.known) / len(self.known) if self.known else 1.0
        return {
            cell.key: mean if seconds is None else seconds
            for cell, seconds in zip(self.cells, self.seconds, strict=True)
        }

    def wall(self, jobs: int) -> float | None:
        """Seconds on so many cores that have nothing else to do; None where a cell is not known."""
        if len(self.known) < len(self.cells):
            return None
        return max(sum(self.known) / jobs, *self.known) if self.cells else 0.0


@dataclass(frozen=True)
class ClaimWork:
    """A claim, and what it needs that no claim before it has.

    Attributes:
        claim: the claim.
        statements: its lines.
        measurements: what is measured.
        train: trainings, a cell a preset and seed.
        measure: measurements, a cell a measurement and seed.
        ablate: cells of its ablation.
        kind: of its ablation, with the scope; None if it has none.
    """

    claim: PaperClaim
    statements: list[SourcedStatement[Any]]
    measurements: list[Measurement]
    train: Batch
    measure: Batch
    ablate: Batch
    kind: tuple[AblationKind[Any], Scope] | None

    @property
    def batches(self) -> tuple[Batch, Batch, Batch]:
        """In the order in which they are done, each after the one before."""
        return self.train, self.measure, self.ablate

    @property
    def cells(self) -> int:
        """Number of cells."""
        return sum(len(batch.cells) for batch in self.batches)

    @property
    def unknown(self) -> int:
        """Number of cells whose cost is not known."""
        return sum(len(batch.cells) - len(batch.known) for batch in self.batches)

    @property
    def seconds(self) -> float | None:
        """Estimated CPU seconds; None where a cell is not known."""
        return None if self.unknown else sum(sum(batch.known) for batch in self.batches)

    def wall(self, jobs: int) -> float | None:
        """Estimated seconds on so many cores; -1 is every one."""
        walls = [batch.wall((os.cpu_count() or 1) if jobs == -1 else jobs) for batch in self.batches]
        return None if None in walls else sum(each for each in walls if each is not None)


def train_cell_of(training: Training, seed: int) -> Cell:
    """The cell of a training (`cells.train_cell`)."""
    name = run_name(training.preset, seed)
    line = [*training.arguments, *(["--seed", str(seed)] if seed else [])]
    params = {"config": training.config.as_params(), "name": name, "seed": seed, "line": line}
    return Cell(f"{training.preset},seed={seed}", params)


def measure_cell_of(measurement: Measurement, seed: int) -> Cell:
    """The cell of a measurement (`cells.measure_cell`)."""
    preset = measurement.training.preset
    params = {
        "run": run_name(preset, seed),
        "command": measurement.command,
        "options": dict(measurement.options),
    }
    return Cell(f"{preset},seed={seed}: {measurement.key}", params)


def plan(
    claims: Sequence[PaperClaim],
    size: Size,
    kinds: Callable[[str], AblationKind[Any]] = load_kind,
    costs: CellCosts | None = None,
) -> list[ClaimWork]:
    """What each claim needs, in order; what several need belongs to the first.

    Args:
        claims: the claims.
        size: how large.
        kinds: gives an ablation by its name.
        costs: what cells have cost; None knows nothing.
    """
    known = costs or CellCosts()

    def batch(cells: list[Cell]) -> Batch:
        return Batch(cells, [known.of(cell) for cell in cells])

    trained: set[Training] = set()
    measured: set[Measurement] = set()
    work = []
    for claim in claims:
        statements = claim.statements(size)
        sources = list(dict.fromkeys(line.source for line in statements))
        measurements = [each for each in sources if isinstance(each, Measurement) and each not in measured]
        trainings = [each for each in dict.fromkeys(each.training for each in measurements) if each not in trained]
        measured.update(measurements)
        trained.update(trainings)
        seeds = range(size.seeds)
        train = batch([train_cell_of(each, seed) for each in trainings for seed in seeds])
        measure = batch([measure_cell_of(each, seed) for each in measurements for seed in seeds])
        ablate, kind = Batch(), None
        for source in sources:
            if isinstance(source, Ablation):
                chosen = kinds(source.kind)
                scope = resolve_scope(chosen, world=None, dim=None, seeds=size.seeds, quick=size.quick)
                ablate, kind = batch(chosen.cells(scope)), (chosen, scope)
        work.append(ClaimWork(claim, statements, measurements, train, measure, ablate, kind))
    return work


def study_config(work: Sequence[ClaimWork], size: Size) -> dict[str, Any]:
    """What the study depends on, as its config.yaml holds it."""
    trainings = {
        line.source.training for each in work for line in each.statements if isinstance(line.source, Measurement)
    }
    return {
        "study": {
            "claim": "reproduction",
            "claims": [each.claim.name for each in work],
            "seeds": list(range(size.seeds)),
            "quick": size.quick,
            "settings": {each.preset: list(each.settings) for each in sorted(trainings, key=lambda each: each.preset)},
            "options": {command: dict(options) for command, options in size.options.items()},
        }
    }
