"""A claim as a user writes one: measure, result, columns, figure and bounds in one file outside the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from equiwm.claims.claim import Claim, Option
from equiwm.claims.view import Drawing, Factor, Shown, View
from equiwm.figures.canvas import canvas, save
from equiwm.results.result import Real, Result
from equiwm.subject import Subject
from equiwm.tables.columns import Column


@dataclass(frozen=True)
class Drift(Result):
    dtype: str
    worst: float
    each: dict[str, Real]


def measure(subject: Subject, *, samples: int, seed: int) -> Drift:
    data = subject.world.transitions(samples, seed=seed).to(subject.dtype, subject.device)
    now, then = subject.model.encode(data.observation), subject.model(data.observation, data.action)
    moved = (then - now).detach().norm(dim=-1)
    return Drift(str(subject.dtype), float(moved.max()), {"first": float(moved[0]), "mean": float(moved.mean())})


def drawings(shown: Shown[Drift]) -> Iterator[Drawing]:
    def draw(folder: Path) -> Path:
        import pandas as pd

        frame = pd.DataFrame({"model": shown.sides.keys(), "worst": [side.worst for side in shown.sides.values()]})
        with canvas(4, 3) as figure:
            figure.subplots().bar(frame["model"], frame["worst"])
            return save(figure, frame, folder, "drift")

    yield Drawing("drift", draw)


WORST: Column[Drift] = Column("worst", "worst drift", lambda result: result.worst)
VIEW: View[Drift] = View(
    "How far a step goes",
    columns=(WORST, Column("each", "drift")),
    drawings=drawings,
    factor=Factor(WORST, lambda result: "a step"),
)
CLAIM: Claim[Drift] = Claim(
    "drift",
    Drift,
    VIEW,
    measure=measure,
    options=(Option("samples", int, 8, "how many transitions", low=2),),
    bounds=lambda result: None if result.worst <= 1e3 else f"drifts by {result.worst:.2g}.",
    expectation="exit with 1 unless a step goes no farther than 1000",
)
