"""From what was measured to a verdict on every channel, every output and the whole probe.

| verdict | of a channel |
|---|---|
| exact | within tolerance, or within 8 times its rounding and exact in float64 |
| precision-limited | above tolerance, explained by rounding |
| approximate | not explained by rounding, at most 0.05 |
| broken | more; or a share of the pairs (sample, element) breaks while most are exact: a branch |
| vacuous | the output does not depend on the input |
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from equiwm.audit.measure import Measured
from equiwm.audit.verdict import TOLERANCES, Verdict
from equiwm.symmetry.sets import is_mask

EXPLAINED = 8.0
"""A residual of at most so many times the rounding is explained by it: exactly equivariant networks reach 3."""
APPROXIMATE = 0.05
"""The largest residual that is still called approximate."""
ROUNDED_CONSTANTS = 4 * torch.finfo(torch.float32).eps
"""In float64 constants that were rounded to float32 leave at most this."""
INSIDE = torch.finfo(torch.float32).eps / 12
"""A float64 noise above this, 1e-8, is that of a function that computes in less inside. One rounding to float32 is an
RMS error of eps / 4 of the values, and a third of that is left where they are averaged over ten terms. Over the zoo the
noise of networks that compute in float64 is at most 1.1e-9, of those with float32 inside at least 5.8e-8."""
FOLLOWS = 1e-3
"""Noise that is of arithmetic shrinks by at least this from float32 to float64: by 2e-9 as a rule, by its root where a
root amplifies it. A staircase (values on a grid, counts, look-ups) is as coarse in both."""
NO_ROUNDING = 0.05
"""A noise above this is none of rounding: the inputs stand on a branch, where one rounding changes everything."""
BRANCH = {torch.float64: 2 * ROUNDED_CONSTANTS}
"""A pair above this, 9.5e-7, is a jump where half of the pairs are within tolerance: twice what is left by constants
that were rounded to float32, the most that float64 is off by without a break. The zoo's exact networks reach 1e-11."""
LOW_BRANCH = 1e-3
"""The same in float32 and in what is shorter: a hundred times the tolerance. The zoo's exact networks whose inputs lie
near the origin reach 1.9e-4 in float32; where they lie far away, their rounding is the larger bound."""
MOST_LIMITED = EXPLAINED * torch.finfo(torch.bfloat16).eps / 4
"""0.016: what bfloat16, the shortest format that networks compute in, explains by itself, its rounding being eps / 4 of
a value as in `Measured.rounding`. A coarser staircase of the values is a break and no arithmetic, and so is a finer one
that every operation in float64 leaves as it is. Of the zoo, values rounded to tenths leave 0.018."""
FAR = 64.0
"""What exceeds this many times the rounding is none of rounding, however roughly that was measured."""
_AT_ONCE = 2**18
"""Pairs that are copied at a time: some channels of all pairs, of which the median is taken."""
LEVELS = (Verdict.EXACT, Verdict.LIMITED, Verdict.VACUOUS, Verdict.APPROXIMATE, Verdict.BROKEN)
"""Verdicts on a channel, from the best to the worst."""
EXACT, LIMITED, VACUOUS, APPROX, BROKEN = range(5)


def tolerance(dtype: torch.dtype) -> float:
    """The bound on a residual: 1e-5 in float32 and in what is shorter, where nothing is exact; 1e-10 in float64."""
    return TOLERANCES.get(str(dtype).removeprefix("torch."), TOLERANCES["float32"])


@dataclass(frozen=True, eq=False)
class Judged:
    """One quantity, judged.

    Attributes:
        low: what was measured in the dtype of the inputs (float32 for float64 inputs).
        high: the same in float64; None where it cannot run.
        level: (M, C) of `LEVELS`, by place.
        branches: (M, C) whether a share of the pairs breaks while most are exact.
        inside: (M, C) whether it computes in less than float64 inside.
    """

    low: Measured
    high: Measured | None
    level: Tensor
    branches: Tensor
    inside: Tensor

    @property
    def best(self) -> Measured:
        """The measurement that decides: float64 where there is one."""
        return self.low if self.high is None else self.high

    @property
    def worst(self) -> tuple[int, int]:
        """Place and channel that decide: the worst level, and of these the largest residual."""
        residual = self.best.residual.nan_to_num(posinf=torch.finfo(torch.float64).max)
        rank = self.level.double() * 2.0 + residual / (1.0 + residual)
        alive = rank if bool((self.level == VACUOUS).all()) else torch.where(self.level == VACUOUS, -1.0, rank)
        place, channel = divmod(int(alive.argmax()), rank.shape[1])
        return place, channel

    @property
    def verdict(self) -> int:
        """The worst channel's level; vacuous where every channel of a term of the rep is."""
        there = self.level[self.level != VACUOUS]
        worst = int(there.max()) if len(there) else VACUOUS
        return max(worst, VACUOUS) if self.silent_terms else worst

    @property
    def limited(self) -> Judged:
        """The same, and no channel that is off in `low` is exact: an experiment has shown that it computes in less."""
        off = (self.level == EXACT) & (self.low.residual > tolerance(self.low.dtype))
        return replace(self, level=torch.where(off, LIMITED, self.level))

    @property
    def silent_terms(self) -> list[str]:
        """Names of the copies of terms of the rep that do not depend on the input at all, but for masks of sets: they
        pass as they are, and in samples that all have the same items they are the same.
        """
        found: dict[str, list[int]] = {}
        for k, channel in enumerate(self.best.quantity.channels):
            found.setdefault(channel.term.partition(",")[0], []).append(k)
        return [
            str(self.best.quantity.channels[places[0]].kind)
            for places in found.values()
            if bool((self.level[:, places] == VACUOUS).all())
            and not is_mask(self.best.quantity.channels[places[0]].kind)
        ]


def judge_quantity(low: Measured, high: Measured | None, pure: Measured | None = None) -> Judged:
    """The verdict on every channel of one quantity.

    Args:
        low: measured in the dtype of the inputs.
        high: in float64, where it runs.
        pure: with every operation in float64, where that was tried and it can be: by it is judged what computes in less
            inside; `high` itself where it runs in float64 in no other way.
    """
    best = low if high is None else high
    dead = best.dead
    residual = left = _of_the_dead(best, dead)
    inside = torch.zeros_like(dead)
    short = torch.finfo(low.dtype).eps > torch.finfo(torch.float32).eps
    bound_low = torch.maximum(EXPLAINED * low.rounding, torch.full_like(low.rounding, tolerance(low.dtype)))
    if high is None:
        explained = (low.residual <= EXPLAINED * low.rounding) & (low.residual <= MOST_LIMITED)
        within = low.residual <= tolerance(low.dtype)
        level = torch.where(explained & within, EXACT, torch.where(explained, LIMITED, _by_size(residual)))
    else:
        rounding = high.rounding
        inside = (rounding > INSIDE) | _coarse(low, high)
        exact = residual <= (EXPLAINED * rounding).clamp(tolerance(high.dtype), BRANCH[torch.float64])
        fits_low = _of_the_dead(low, low.dead) <= bound_low
        far_off = ~fits_low & (low.residual > FAR * low.rounding) & (low.residual > 0.01) & ~low.dead
        by_noise = inside & (residual <= EXPLAINED * rounding) & (residual <= MOST_LIMITED)
        if pure is not None and bool(inside.any()):
            by_noise = inside & _of_arithmetic(pure, low)
            dead = torch.where(inside, pure.dead, dead)
            left = torch.where(inside, _of_the_dead(pure, dead), residual)
            best = pure
        at_best = torch.full_like(inside, LIMITED if short else EXACT, dtype=torch.long)
        if pure is high:  # it has no float64 of its own: what it gives is what it gives in its dtype
            at_best = torch.where(low.residual <= tolerance(low.dtype), at_best, LIMITED)
        by_constants = (left <= ROUNDED_CONSTANTS) & fits_low
        level = torch.where(
            exact & (~inside | (residual <= tolerance(high.dtype))),
            torch.where(far_off, _by_size(low.residual), torch.where(fits_low | low.dead, at_best, LIMITED)),
            torch.where(by_noise | by_constants, LIMITED, _by_size(left)),
        )
    branches = _branches(best) & ~dead & (level > LIMITED)
    level = torch.where(branches, BROKEN, level)
    level = torch.where(dead & (left <= 64 * torch.finfo(best.dtype).eps), VACUOUS, level)
    level = torch.where(best.nothing & (best.size < best.held), VACUOUS, level)
    shown = best if bool((inside & (level > VACUOUS)).any()) else high  # the figures that decide
    return Judged(low, shown, level, branches, inside)


def _coarse(low: Measured, high: Measured) -> Tensor:
    """(M, C): rounding explains the residual in float32, and not in float64, whose small steps it hides from.

    Of a vector in half precision times a length in full precision, a small step sees the length alone.
    """
    open_ = high.residual > (EXPLAINED * high.rounding).clamp(min=tolerance(high.dtype))
    explained = (low.residual <= EXPLAINED * low.rounding) & (low.rounding <= MOST_LIMITED)
    return open_ & explained & ~high.dead & ~low.dead


def does_otherwise(low: Measured, high: Measured, pure: Measured) -> bool:
    """Whether a network does something else with every operation in float64: more is gone than rounding explains.

    A network that asks for the dtype of what it holds may take another way, and what it does then says nothing.
    """
    rounding = torch.maximum(low.rounding, high.rounding)
    return bool((high.residual > pure.residual + FAR * rounding).any())


def _of_arithmetic(pure: Measured, low: Measured) -> Tensor:
    """(M, C): what is left of the residual with every operation in float64 is within float64's own rounding."""
    exact = pure.residual <= tolerance(pure.dtype)
    noise = (pure.residual <= EXPLAINED * pure.rounding) & (pure.residual <= MOST_LIMITED)
    return exact | (noise & (low.dead | (pure.rounding <= FOLLOWS * low.rounding)))


def _of_the_dead(measured: Measured, dead: Tensor) -> Tensor:
    """The residual, of channels that do not vary relative to their size: a constant vector has no scale."""
    off = measured.off.amax(0)
    return torch.where(dead, torch.where(off > 0, off / measured.size, off), measured.residual)


def _by_size(residual: Tensor) -> Tensor:
    return torch.where(residual <= APPROXIMATE, APPROX, BROKEN)


def _branches(measured: Measured) -> Tensor:
    """(M, C): of one kind of motion half of the pairs or more are within tolerance, and some are far beyond it."""
    bound = torch.maximum(EXPLAINED * measured.rounding, torch.full_like(measured.scale, tolerance(measured.dtype)))
    far = (4 * bound).clamp(min=BRANCH.get(measured.dtype, LOW_BRANCH)).flatten()
    found = torch.zeros_like(far, dtype=torch.bool)
    every, scale, bound = measured.pairs.flatten(2), measured.scale.flatten(), bound.flatten()
    step = max(1, _AT_ONCE // every[..., 0].numel())
    for motion in measured.motions.unique():
        chosen = measured.motions == motion
        for start in range(0, len(scale), step):
            part = slice(start, start + step)
            pairs = (every[..., part][chosen] / scale[part]).flatten(0, 1)
            found[part] |= (pairs.median(0).values <= bound[part]) & (pairs.amax(0) > far[part])
    return found.view_as(measured.scale)
