"""Finite motions: what holds to first order at some points has to hold after a finite motion, at every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equiwm.evidence.algebra.family import Block, Family
from equiwm.evidence.algebra.maps import Map, Refused, Values
from equiwm.evidence.algebra.problem import Scales
from equiwm.evidence.algebra.recognise import Generator

_TURN = 1.9
"""Radians of a rotation."""
_MOVE = 0.7
"""Size of any other motion, in units of the spread of what it moves."""
_HALVINGS = 5
"""How often a motion is halved that leads to inputs which the map does not take."""
_GROWTH = 1e3
"""A residual of at most so many times what one rounding of the inputs does to the outputs is rounding."""
_ROUNDINGS = 4.0
"""Roundings by which the inputs are off when that is asked."""

Affine = tuple[Tensor, Tensor]
"""x -> A x + b: (D, D), (D,)."""


@dataclass(frozen=True, eq=False)
class Held:
    """Whether f(g x) = g f(x).

    Attributes:
        residual: RMS over the samples, relative to the outputs' variation; NaN where the map takes no g x.
        share: of the samples at which it does not hold.
        moved: RMS size of g x - x, over what the map looks at, in units of its spread.
    """

    residual: float
    share: float
    moved: float

    @property
    def judged(self) -> bool:
        """Whether anything could be compared."""
        return not np.isnan(self.residual)

    @property
    def holds(self) -> bool:
        """Whether it holds at every sample."""
        return self.judged and self.share == 0.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """A map at its points, ready to be compared with moved copies.

    Attributes:
        built: the map.
        scales: its units.
        blocks: of the outputs.
        answers: f(x).
        bounds: for each point the residual of every row that is rounding.
    """

    built: Map
    scales: Scales
    blocks: list[list[Block]]
    answers: list[Values]
    bounds: list[Tensor]

    def held(self, inputs: list[Affine], outputs: list[Affine]) -> Held:
        """Whether g on the inputs is g on the outputs."""
        return self._compared(lambda point: applied(inputs, point), lambda answer: applied(outputs, answer))

    def back(self, flip: Affine) -> Held:
        """Whether f(R f(s, a), a) = R s: reversal of time."""
        total, rows, wrong = 0.0, 0, 0
        for index, (point, answer, bound) in enumerate(zip(self.built.points, self.answers, self.bounds, strict=True)):
            reversed_ = (applied([flip], answer)[0], *point[1:])
            try:
                returned, taken = self._rows(index, reversed_)
            except Refused:
                continue
            off = self._off(returned[:1], applied([flip], point[:1]))[taken]
            total, rows, wrong = (
                total + float(off.square().sum()),
                rows + len(off),
                wrong + int((off > bound[taken]).sum()),
            )
        return Held(float(np.sqrt(total / rows)), wrong / rows, 1.0) if rows else Held(float("nan"), 0.0, 1.0)

    def _compared(self, ahead: Callable[[Values], Values], behind: Callable[[Values], Values]) -> Held:
        total, rows, wrong, moved = 0.0, 0, 0, 0.0
        for index, (point, answer, bound) in enumerate(zip(self.built.points, self.answers, self.bounds, strict=True)):
            there = ahead(point)
            moved = max(moved, self._moved(point, there))
            try:
                found, taken = self._rows(index, there)
            except Refused:
                continue
            off = self._off(found, behind(answer))[taken]
            total, rows, wrong = (
                total + float(off.square().sum()),
                rows + len(off),
                wrong + int((off > bound[taken]).sum()),
            )
        return Held(float(np.sqrt(total / rows)), wrong / rows, moved) if rows else Held(float("nan"), 0.0, moved)

    def _rows(self, index: int, values: Values) -> tuple[Values, Tensor]:
        if self.built.separate:
            return self.built.rows(index, values)
        return self.built(index, values), torch.ones(1, dtype=torch.bool)

    def _off(self, found: Values, expected: Values) -> Tensor:
        return row_residual(found, expected, self.scales.judged, self.blocks, self.built.separate)

    def _moved(self, point: Values, there: Values) -> float:
        parts = [
            float((((b - a) / unit * seen).square().mean(tuple(range(a.dim() - 1)))).mean())
            for a, b, unit, seen in zip(point, there, self.scales.inputs, self.scales.seen, strict=True)
        ]
        return float(np.sqrt(sum(parts)))


def applied(parts: list[Affine], values: Values) -> Values:
    """A x + b of every leaf."""
    return tuple(value @ a.T + b for (a, b), value in zip(parts, values, strict=True))


def row_residual(
    found: Values, expected: Values, units: list[Tensor], blocks: list[list[Block]], separate: bool
) -> Tensor:
    """For every row the largest over blocks of the RMS difference, in the outputs' units: (n,)."""
    count = len(found[0]) if separate else 1
    worst = torch.zeros(count, dtype=torch.float64)
    for one, other, unit, cuts in zip(found, expected, units, blocks, strict=True):
        one, other = (side.reshape(count, -1, side.shape[-1]) for side in (one, other))
        for block in cuts:
            off = block.difference(one, other) / unit[block.entries]
            worst = torch.maximum(worst, off.square().mean((1, 2)).sqrt())
    return worst


def comparison(built: Map, scales: Scales, family: Family, floor: float, seed: int) -> Comparison:
    """A map ready to be compared; what one rounding of the inputs does to a row bounds what it has to hold to.

    Args:
        built: the map.
        scales: its units.
        family: for the blocks of the outputs.
        floor: a residual that is rounding everywhere.
        seed: of the roundings.
    """
    rng = np.random.default_rng(seed)
    answers, bounds = [], []
    for index, point in enumerate(built.points):
        answer = built(index, point)
        count = len(point[0]) if built.separate else 1
        growth = torch.zeros(count, dtype=torch.float64)
        for _ in range(2):
            nudged = tuple(
                x
                + _ROUNDINGS
                * built.rounding
                * leaf.free
                * scale_like(x, unit)
                * torch.from_numpy(rng.choice([-1.0, 1.0], size=tuple(x.shape)))
                for x, unit, leaf in zip(point, scales.inputs, built.inputs, strict=True)
            )
            try:
                if built.separate:
                    found, taken = built.rows(index, nudged)
                else:
                    found, taken = built(index, nudged), torch.ones(1, dtype=torch.bool)
            except Refused:
                continue
            off = row_residual(found, answer, scales.judged, family.output_blocks, built.separate)
            growth = torch.maximum(growth, torch.where(taken, off, torch.zeros_like(off)))
        answers.append(answer)
        bounds.append((_GROWTH * growth).clamp(min=floor, max=_MOST_BOUND))
    return Comparison(built, scales, family.output_blocks, answers, bounds)


_MOST_BOUND = 1e-2
"""However much a map amplifies roundings, a residual above this is none."""


def scale_like(x: Tensor, unit: Tensor) -> Tensor:
    """The size of every entry: its own, or the spread where it is near zero."""
    return torch.maximum(x.abs(), unit.expand_as(x))


def flow(generator: Tensor, time: float) -> Affine:
    """exp(t X) of a homogeneous matrix, as A and b."""
    moved = torch.linalg.matrix_exp(time * generator)
    return moved[:-1, :-1], moved[:-1, -1]


def verified(family: Family, generator: Generator, size: float, compare: Comparison) -> tuple[Held, list[Affine]]:
    """Finite motions along a generator, forwards and backwards: the worse of the two, and the forward motion.

    Args:
        family: the columns.
        generator: what is tried.
        size: motion of its theta in units of the spread.
        compare: the map at its points.
    """
    inputs, outputs = family.generator(generator.theta)
    fastest = max(float(torch.linalg.eigvals(part).abs().max()) for part in (*inputs, *outputs))
    time = _TURN / fastest if generator.compact and fastest > 0 else _MOVE / size
    for _ in range(_HALVINGS):
        both = []
        for sign in (1.0, -0.8):
            ahead = [flow(part, sign * time) for part in inputs]
            both.append((compare.held(ahead, [flow(part, sign * time) for part in outputs]), ahead))
        if all(held.judged for held, _ in both):
            return max(both, key=lambda pair: (pair[0].share, pair[0].residual))[0], both[0][1]
        time /= 2
    return both[0]
