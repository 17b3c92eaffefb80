"""What a reproduction has to compute, claim by claim, before anything is: cells and what they are estimated to cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from equiwm.claims.ablation.kind import Kind, Scope
from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.ablation.study import resolve_scope
from equiwm.claims.reproduce import costs
from equiwm.claims.reproduce.statement import Ablation, Claim, Measurement, Size, Statement, Training
from equiwm.grid import Cell
from equiwm.runs import run_name


@dataclass(frozen=True)
class Work:
    """Independent cells and what each is estimated to cost, CPU seconds."""

    cells: list[Cell]
    seconds: list[float]

    def wall(self, jobs: int) -> float:
        """Seconds on so many cores that have nothing else to do."""
        return max(sum(self.seconds) / jobs, *self.seconds) + costs.START if self.cells else 0.0

    @property
    def longest_first(self) -> list[Cell]:
        """Else the last cell is computed alone while the other processes have nothing left to do."""
        order = sorted(range(len(self.cells)), key=lambda index: -self.seconds[index])
        return [self.cells[index] for index in order]


@dataclass(frozen=True)
class Part:
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

    claim: Claim
    statements: list[Statement]
    measurements: list[Measurement]
    train: Work
    measure: Work
    ablate: Work
    kind: tuple[Kind, Scope] | None

    @property
    def works(self) -> tuple[Work, Work, Work]:
        """In the order in which they are done, each after the one before."""
        return self.train, self.measure, self.ablate

    @property
    def cells(self) -> int:
        """Number of cells."""
        return sum(len(work.cells) for work in self.works)

    @property
    def seconds(self) -> float:
        """Estimated CPU seconds."""
        return sum(sum(work.seconds) for work in self.works)

    def wall(self, jobs: int) -> float:
        """Estimated seconds on so many cores; -1 is every one."""
        return sum(work.wall((os.cpu_count() or 1) if jobs == -1 else jobs) for work in self.works)


def train_cell_of(training: Training, seed: int) -> Cell:
    """The cell of a training (`cells.train_cell`)."""
    name = run_name(training.preset, seed)
    line = [*training.arguments, *(["--seed", str(seed)] if seed else [])]
    params = {"config": training.config.as_dict(), "name": name, "seed": seed, "line": line}
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


def plan(claims: Sequence[Claim], size: Size, kinds: Callable[[str], Kind] = load_kind) -> list[Part]:
    """What each claim needs, in order; what several need belongs to the first.

    Args:
        claims: the claims.
        size: how large.
        kinds: gives an ablation by its name.
    """
    trained: set[Training] = set()
    measured: set[Measurement] = set()
    parts = []
    for claim in claims:
        statements = claim.statements(size)
        sources = list(dict.fromkeys(line.source for line in statements))
        measurements = [each for each in sources if isinstance(each, Measurement) and each not in measured]
        trainings = [each for each in dict.fromkeys(each.training for each in measurements) if each not in trained]
        measured.update(measurements)
        trained.update(trainings)
        seeds = range(size.seeds)
        train = Work(
            [train_cell_of(each, seed) for each in trainings for seed in seeds],
            [costs.training_seconds(each) for each in trainings for _ in seeds],
        )
        measure = Work(
            [measure_cell_of(each, seed) for each in measurements for seed in seeds],
            [costs.measurement_seconds(each) for each in measurements for _ in seeds],
        )
        ablate, kind = Work([], []), None
        for source in sources:
            if isinstance(source, Ablation):
                chosen = kinds(source.kind)
                scope = resolve_scope(chosen, world=None, dim=None, seeds=size.seeds, quick=size.quick)
                cells = chosen.cells(scope)
                ablate = Work(cells, [costs.ablation_seconds(chosen, cell) for cell in cells])
                kind = chosen, scope
        parts.append(Part(claim, statements, measurements, train, measure, ablate, kind))
    return parts


def study_config(parts: Sequence[Part], size: Size) -> dict[str, Any]:
    """What the study depends on, as its config.yaml holds it."""
    trainings = {
        line.source.training for part in parts for line in part.statements if isinstance(line.source, Measurement)
    }
    return {
        "study": {
            "claim": "reproduction",
            "claims": [part.claim.name for part in parts],
            "seeds": list(range(size.seeds)),
            "quick": size.quick,
            "settings": {each.preset: list(each.settings) for each in sorted(trainings, key=lambda each: each.preset)},
            "options": {command: dict(options) for command, options in size.options.items()},
        }
    }
