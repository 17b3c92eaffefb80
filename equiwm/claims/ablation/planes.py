"""Who wins in each cell of a plane of strength x data. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from equiwm.claims.ablation.kind import Row
from equiwm.claims.ablation.rows import select
from equiwm.stats import median_and_range


@dataclass(frozen=True)
class PlaneCell:
    """One cell of the plane.

    Attributes:
        breaking: strength g.
        transitions: number of transitions N.
        arm, mlp: medians of the error over seeds, of an arm and of the MLP.
        log_ratio: median over seeds of log10(mlp / arm), paired by seed; positive where the arm wins.
        clear: whether every seed says so.
    """

    breaking: float
    transitions: int
    arm: float
    mlp: float
    log_ratio: float
    clear: bool


def winners(rows: Sequence[Row], arm: str, column: str) -> list[PlaneCell]:
    """Every cell of the plane in order of strength, then data, an arm against the MLP, paired by seed."""
    found = []
    for g in sorted({row["breaking"] for row in rows}):
        for n in sorted({row["transitions"] for row in rows}):
            part = select(rows, breaking=g, transitions=n)
            own, mlp = ({row["seed"]: row[column] for row in select(part, arm=name)} for name in (arm, "mlp"))
            seeds = sorted(own.keys() & mlp.keys())
            if not seeds:
                continue
            ratio = median_and_range([math.log10(mlp[seed] / own[seed]) for seed in seeds])
            medians = [median_and_range([errors[seed] for seed in seeds]).median for errors in (own, mlp)]
            found.append(PlaneCell(g, n, medians[0], medians[1], ratio.median, ratio.low > 0 or ratio.high < 0))
    return found
