"""A statement beside what was measured: what a reproduction and an ablation both answer with."""

from __future__ import annotations

import re
from dataclasses import dataclass

from equiwm.results.result import Result

FAR = 3.0
"""A figure that is more times the paper's, or less than this part of it, is said to be far from it."""
_NUMBER = re.compile(r"([+-]?\d[\d.]*(?:e[+-]?\d+)?)(?: to ([+-]?\d[\d.]*(?:e[+-]?\d+)?))?")


@dataclass(frozen=True, kw_only=True)
class DecidedStatement(Result):
    """One statement, the estimate that it is about, and whether it holds.

    Attributes:
        setting: where: world, kind of model, which model.
        quantity: what is measured.
        paper: the paper's figure as text; a dash where it has none.
        median: over seeds, or the estimate over tasks; None where it cannot be formed.
        low, high: the range over seeds, or the 95% bootstrap interval.
        over: what the range or interval is over: `seeds`, `tasks`, or `seeds and tasks`.
        seeds: how many are in it.
        bound: in words; the whole of [low, high] has to lie within it.
        holds: whether it does; None where something that it needs has failed.
        ours: whether it says more than the paper does.
    """

    setting: str
    quantity: str
    paper: str
    median: float | None
    low: float | None
    high: float | None
    over: str
    seeds: int
    bound: str
    holds: bool | None
    ours: bool

    @property
    def times_paper(self) -> float | None:
        """The estimate over the paper's figure, over the nearer end where that is a range (1 within it); None where
        there is none, or either is 0. A bound may be met however far apart they are.
        """
        found = _NUMBER.match(self.paper)
        if found is None or not self.median:
            return None
        ends = sorted(float(end) for end in found.groups() if end is not None)
        if not ends[0] or not ends[-1]:
            return None
        nearest = min(max(self.median, ends[0]), ends[-1])
        return self.median / nearest

    @property
    def is_far(self) -> bool:
        """Whether it is far from the paper's figure."""
        times = self.times_paper
        return times is not None and not 1.0 / FAR <= times <= FAR
