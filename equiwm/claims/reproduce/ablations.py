"""Claims augmentation, scale and soft: nothing replaces the architecture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from equiwm.claims.ablation.rows import ladder, select
from equiwm.claims.reproduce.orbit import FLAT, GAP
from equiwm.claims.reproduce.statement import (
    Bound,
    Claim,
    Entry,
    Figure,
    Size,
    Statement,
    at_least,
    at_most,
    below,
)

APART = 1e4
"""Times the VN's largest residual that every other network's residual is at least."""

Rows = Sequence[Entry]
Value = Callable[[list[Entry]], float]


def _of(dim: int, value: Value) -> Callable[[Rows], Figure]:
    """Reads one value from the rows of each seed in a dimension."""

    def read(rows: Rows) -> Figure:
        here = select(rows, dim=dim)
        seeds = sorted({row["seed"] for row in here})
        return Figure.of_seeds([value(select(here, seed=seed)) for seed in seeds])

    return read


def _ladder(rows: Rows, column: str) -> np.ndarray:
    """A column of one seed at one g from hard to softest: VN, then beta descending."""
    soft = sorted(select(rows, arm="soft"), key=lambda row: -row["beta"])
    return _column([*select(rows, arm="vn"), *soft], column)


def _column(rows: Rows, column: str) -> np.ndarray:
    """A column's numbers; NaN, which minimum and maximum pass on, where one is missing."""
    return np.array([row[column] for row in rows], dtype=float)


def _vn_off(rows: list[Entry]) -> float:
    return float(np.abs(_column(select(rows, arm="vn"), "ood_factor") - 1.0).max())


def _apart(rows: list[Entry], arm: str) -> float:
    """The least residual of an arm over the VN's largest."""
    floor = _column(select(rows, arm="vn"), "relative_residual").max()
    return float(_column(select(rows, arm=arm), "relative_residual").min() / floor)


def _mlp_apart(rows: list[Entry]) -> float:
    return _apart(rows, "mlp")


def _mlp(index: int, column: str) -> Value:
    """A column of the first or last MLP."""
    return lambda rows: float(_column(select(rows, arm="mlp"), column)[index])


def _least(column: str) -> Value:
    """The smallest of all MLPs."""
    return lambda rows: float(_column(select(rows, arm="mlp"), column).min())


def augmentation(size: Size) -> list[Statement]:
    """From no augmentation to the whole group, beside the VN without any."""
    lines = []
    for dim, without, full, left in ((2, "67", "1.06", "7.8e-2"), (3, "951", "1.46", "5.1e-2")):
        table: list[tuple[str, str, str, Value, Bound]] = [
            ("VN, no augmentation", "|OOD / seen - 1|", "0.00", _vn_off, at_most(FLAT)),
            ("MLP, no augmentation", "OOD / seen", without, _mlp(0, "ood_factor"), at_least(GAP)),
            ("MLP, full coverage", "OOD / seen", full, _mlp(-1, "ood_factor"), at_most(GAP)),
            (
                "MLP, full coverage",
                "relative residual",
                left,
                _mlp(-1, "relative_residual"),
                at_least(1e-3),
            ),
            ("MLP, best coverage", "residual over the VN's", "3e5", _mlp_apart, at_least(APART)),
        ]
        lines += _lines(size, "augmentation", dim, table)
    return lines


def scale(size: Size) -> list[Statement]:
    """The best width and number of scenes, by each measure."""
    lines = []
    for dim, ratio, residual in ((2, "29.8", "0.34"), (3, "41", "0.36")):
        table: list[tuple[str, str, str, Value, Bound]] = [
            ("VN, on the wedge", "|OOD / seen - 1|", "0.00", _vn_off, at_most(FLAT)),
            ("MLP, best cell", "OOD / seen", ratio, _least("ood_factor"), at_least(GAP)),
            (
                "MLP, best cell",
                "relative residual",
                residual,
                _least("relative_residual"),
                at_least(0.01),
            ),
            ("MLP, best cell", "residual over the VN's", "1e6", _mlp_apart, at_least(APART)),
        ]
        lines += _lines(size, "scale", dim, table)
    return lines


def _strongest(rows: list[Entry]) -> list[Entry]:
    return select(rows, breaking=max(row["breaking"] for row in rows))


def _fit(rows: list[Entry]) -> float:
    fit = _ladder(_strongest(rows), "seen_relmse")
    return float(fit[1:].min() / fit[0])


def _worlds(rows: Rows) -> list[float]:
    return sorted({row["breaking"] for row in rows})


def _rise(rows: list[Entry]) -> float:
    """OOD/seen of the softest network over the hard one's, the least of all worlds."""
    ladders = [_ladder(select(rows, breaking=g), "ood_factor") for g in _worlds(rows)]
    return float(min(ladder[-1] / ladder[0] for ladder in ladders))


def _rising(dim: int) -> Callable[[Rows], Figure]:
    """Reads the share of the worlds in which the median of OOD/seen rises at every step of softness, as in the paper.

    Between two networks that are as good as free, a single seed rises or falls by chance.
    """

    def read(rows: Rows) -> Figure:
        ladders = [ladder(rows, "ood_factor", dim, g)[:-1] for g in _worlds(select(rows, dim=dim))]
        return Figure.of_seeds([float(np.mean([bool((np.diff(each) > 0.0).all()) for each in ladders]))])

    return read


def _left_floor(rows: list[Entry]) -> float:
    return _apart(select(rows, breaking=0.0), "soft")


def soft(size: Size) -> list[Statement]:
    """What softness buys in fit and costs in generalisation and exactness."""
    table: list[tuple[str, str, str, Value, Bound]] = [
        ("strongest break", "seen relMSE, best soft / hard", "below 1", _fit, below(1.0)),
        ("all worlds", "OOD / seen, softest / hard, least world", "above 1", _rise, at_least(GAP)),
        ("unbroken world", "least soft residual over the VN's", "1e5", _left_floor, at_least(APART)),
    ]
    lines = []
    for dim in (2, 3):
        lines += _lines(size, "soft", dim, table)
        what = "share in which median OOD / seen rises at every step"
        lines.append(Statement(f"all worlds, {dim}D", what, "1", size.ablate("soft"), _rising(dim), at_least(1.0)))
    return lines


def _lines(size: Size, kind: str, dim: int, table: Sequence[tuple[str, str, str, Value, Bound]]) -> list[Statement]:
    source = size.ablate(kind)
    return [
        Statement(f"{where}, {dim}D", what, paper, source, _of(dim, value), bound)
        for where, what, paper, value, bound in table
    ]


AUGMENTATION = Claim("augmentation", "Augmentation closes the gap in error, not in exactness.", augmentation)
SCALE = Claim("scale", "Width and data close neither gap.", scale)
SOFT = Claim("soft", "A soft symmetry trades exactness and generalisation for fit.", soft)
