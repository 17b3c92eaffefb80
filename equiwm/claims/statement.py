"""Statements that bounds decide: what every answer of `reproduce` and of `ablate` is made of. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from equiwm.results.statement import DecidedStatement
from equiwm.stats import Interval, bootstrap_interval, crossed_interval, median_and_range

FLAT = 1e-4
"""|OOD factor - 1| in float32: twice the relative residual over the root of the relMSE, which may be 1e-4."""
NOT_FLAT = 2.0
"""Where the paper's claim is only that an ordinary model is not flat, its unseen error is at least so many times the
seen one.
"""

R = TypeVar("R", contravariant=True)
"""What a statement is read from: the result of each seed, or the rows of an ablation."""


@dataclass(frozen=True)
class Estimate:
    """What was measured: a median with the range over seeds, or an estimate with its interval over seeds and tasks.

    Attributes:
        median: the median, or the estimate; None where a value is missing or not finite.
        low, high: of the range, or of the 95% interval.
        over: what they are over.
    """

    median: float | None
    low: float | None
    high: float | None
    over: Literal["seeds", "tasks", "seeds and tasks"]

    @staticmethod
    def missing() -> Estimate:
        """Nothing can be said."""
        return Estimate(None, None, None, "seeds")

    @staticmethod
    def of_seeds(values: Sequence[float | None]) -> Estimate:
        """From one value a seed."""
        numbers = np.asarray(values, dtype=float)  # None becomes NaN
        if not numbers.size or not np.isfinite(numbers).all():
            return Estimate.missing()
        found = median_and_range(numbers)
        return Estimate(found.median, found.low, found.high, "seeds")

    @staticmethod
    def of_tasks(found: Interval, *, seeds: int = 1) -> Estimate:
        """From an interval over tasks, or over tasks and several seeds."""
        return Estimate(found.estimate, found.low, found.high, "seeds and tasks" if seeds > 1 else "tasks")


@dataclass(frozen=True)
class Bound:
    """What decides a statement: the whole range or interval has to lie within it.

    Attributes:
        low, high: the bound, inclusive; None is none.
        text: the same in words.
    """

    low: float | None
    high: float | None
    text: str

    def holds(self, estimate: Estimate) -> bool:
        """Whether the estimate lies within; one that is not finite does not."""
        if estimate.low is None or estimate.high is None:
            return False
        return (self.low is None or estimate.low >= self.low) and (self.high is None or estimate.high <= self.high)


def at_most(value: float) -> Bound:
    """No larger than `value`."""
    return Bound(None, value, f"at most {value:g}")


def at_least(value: float) -> Bound:
    """No smaller than `value`."""
    return Bound(value, None, f"at least {value:g}")


def above(value: float) -> Bound:
    """Larger than `value`."""
    return Bound(math.nextafter(value, math.inf), None, f"above {value:g}")


def below(value: float) -> Bound:
    """Smaller than `value`."""
    return Bound(None, math.nextafter(value, -math.inf), f"below {value:g}")


def near(value: float, off: float) -> Bound:
    """`value`, give or take `off`."""
    return Bound(value - off, value + off, f"within {off:g} of {value:g}")


@dataclass(frozen=True)
class Statement(Generic[R]):
    """One thing that is said, and the bound that decides it.

    Attributes:
        setting: where: world, kind of model, which model.
        quantity: what is measured.
        paper: the paper's figure as text; a dash where it has none.
        read: the results of all seeds, or the rows of an ablation -> the estimate; None where what it is about was not
            measured at all, so that nothing is decided.
        bound: decides whether it holds.
        ours: whether it says more than the paper does.
    """

    setting: str
    quantity: str
    paper: str
    read: Callable[[Sequence[R]], Estimate | None]
    bound: Bound
    ours: bool = False

    def decide(self, results: Sequence[R], *, seeds: int, whole: bool) -> DecidedStatement:
        """The statement beside what was measured.

        Args:
            results: what it is read from; without any it stays open.
            seeds: how many are in them.
            whole: whether nothing is missing; else the estimate is shown and not judged.
        """
        read = self.read(results) if results else Estimate.missing()
        estimate = Estimate.missing() if read is None else read
        return DecidedStatement(
            setting=self.setting,
            quantity=self.quantity,
            paper=self.paper,
            median=estimate.median,
            low=estimate.low,
            high=estimate.high,
            over=estimate.over,
            seeds=seeds,
            bound=self.bound.text,
            holds=self.bound.holds(estimate) if whole and read is not None else None,
            ours=self.ours,
        )


T = TypeVar("T")


def ours(setting: str, quantity: str, read: Callable[[Sequence[T]], Estimate | None], bound: Bound) -> Statement[T]:
    """A statement that is not in the paper."""
    return Statement(setting, quantity, "–", read, bound, ours=True)


def over_seeds_and_tasks(values: ArrayLike, over: ArrayLike | None = None) -> Estimate:
    """The mean of (S, K) values, a row a seed, a column a task, or its ratio to that of `over`, with its 95% interval.

    Both are resampled (`equiwm.stats.crossed_interval`); of one seed tasks alone are (`bootstrap_interval`).
    """
    x = np.asarray(values, dtype=float)
    statistic: Literal["mean", "ratio"] = "mean" if over is None else "ratio"
    if len(x) == 1:
        beside = None if over is None else np.asarray(over, dtype=float)[0]
        return Estimate.of_tasks(bootstrap_interval(x[0], beside, statistic=statistic))
    return Estimate.of_tasks(crossed_interval(x, over, statistic=statistic), seeds=len(x))


def each_seed(value: Callable[[T], float | None]) -> Callable[[Sequence[T]], Estimate]:
    """Reads one value from the result of each seed."""
    return lambda results: Estimate.of_seeds([value(result) for result in results])


def answer(statements: Sequence[DecidedStatement]) -> str:
    """How many statements hold, and each with its estimate, interval and bound."""
    if not statements:
        return "open: nothing was stated."
    held = sum(each.holds is True for each in statements)
    return f"{held} of {len(statements)} statements hold. " + " ".join(map(_said, statements))


def _said(statement: DecidedStatement) -> str:
    verdict = {True: "holds", False: "does not hold", None: "open"}[statement.holds]
    if statement.median is None:
        estimate = "not measured"
    else:
        numbers = (statement.median, statement.low, statement.high)
        median, low, high = ("–" if each is None else f"{each:.3g}" for each in numbers)
        estimate = median if low == median == high else f"{median} [{low}, {high}]"
    return f"{statement.setting}: {statement.quantity} {estimate}, {statement.bound}: {verdict}."
