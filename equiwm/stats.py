"""Medians over seeds, percentile bootstrap intervals, paired tests, and ratios: what the protocols report.

Everything is seeded: the same numbers give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 9999

EXACT_UP_TO = 13
"""Largest number of pairs whose 2^n sign flips are all taken: they are fewer than the random ones."""

_BATCH = 1000
"""Resamples held in memory at once."""

Statistic = Literal["mean", "median", "ratio"]


@dataclass(frozen=True)
class MedianRange:
    """Median of n values, with the smallest and the largest."""

    median: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Interval:
    """An estimate and its bootstrap interval [low, high] at a confidence level."""

    estimate: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class PairedTest:
    """Result of a paired test.

    Attributes:
        statistic: positive differences out of `n` (sign test), or the mean difference (sign-flip test).
        p: two-sided p-value.
        n: pairs that were used.
    """

    statistic: float
    p: float
    n: int


def _values(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"expected a non-empty list of finite numbers; got shape {array.shape}")
    return array


def largest(values: Iterable[float]) -> float:
    """The largest value; NaN where one is NaN, wherever it stands, and where there are none.

    `max` drops a NaN that comes after a number: the worst of a model that diverged in one place would look good.
    """
    found = list(values)
    return math.nan if not found or any(map(math.isnan, found)) else max(found)


def ratio(value: float, to: float) -> float:
    """value / to: 1 where both are the same finite number, 0 as well; NaN where `to` is not finite, or else is 0.

    A model that diverged has an infinite error where it was trained: relative to that, any other error is nothing.
    """
    if not math.isfinite(to):
        return math.nan
    if value == to:
        return 1.0
    return value / to if to else math.nan


def median_and_range(values: ArrayLike) -> MedianRange:
    """Median, smallest and largest of a few values (one a seed).

    Args:
        values: (n,), finite.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    array = _values(values)
    return MedianRange(float(np.median(array)), float(array.min()), float(array.max()), array.size)


def _ratio(x: NDArray[np.float64], y: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.mean(x, axis=axis) / np.mean(y, axis=axis)


def bootstrap_interval(
    values: ArrayLike,
    over: ArrayLike | None = None,
    *,
    statistic: Statistic = "mean",
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a mean, a median, or a ratio of means over paired tasks.

    Resampling draws tasks with replacement; for the ratio mean(values) / mean(over) both members of a task
    are drawn together.

    Args:
        values: (n,), one number a task (or a seed), finite; n >= 2.
        over: (n,), the denominators in the order of `values`, for the ratio only.
        statistic: `mean`, `median` or `ratio`.
        level: confidence level in (0, 1).
        seed: of the resampling.

    Raises:
        ValueError: fewer than two values, one that is not finite, a level outside (0, 1), or `over` given
            without the ratio or the ratio without it, or of another length.
    """
    from scipy.stats import bootstrap

    x = _values(values)
    if x.size < 2 or not 0.0 < level < 1.0:
        raise ValueError(f"expected at least two values and a level in (0, 1); got {x.size} and {level}")
    if (statistic == "ratio") != (over is not None):
        raise ValueError("a ratio needs `over`, and only a ratio takes it")
    functions: dict[str, Callable[..., Any]] = {"mean": np.mean, "median": np.median, "ratio": _ratio}
    data = [x] if over is None else [x, _values(over)]
    if len({sample.size for sample in data}) > 1:
        raise ValueError(f"expected pairs; got {data[0].size} and {data[1].size} values")
    low, high = bootstrap(
        data,
        functions[statistic],
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=level,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(functions[statistic](*data, axis=0)), float(low), float(high), level)


def crossed_interval(
    values: ArrayLike,
    over: ArrayLike | None = None,
    *,
    statistic: Literal["mean", "ratio"] = "mean",
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a mean, or of a ratio of means, over seeds and tasks: both are resampled.

    Every seed meets the same tasks, so that the two are crossed: a resample draws seeds and, by itself, tasks, with
    replacement, and takes the table of the drawn ones (the pigeonhole bootstrap, Owen 2007; it errs on the wide side).
    An interval that draws tasks alone says nothing about another training.

    Args:
        values: (S, K), a row a seed, a column a task, finite; S >= 2, K >= 2.
        over: (S, K), the denominators, for the ratio only.
        statistic: `mean` or `ratio`.
        level: confidence level in (0, 1).
        seed: of the resampling.

    Raises:
        ValueError: another shape, numbers that are not finite, or `over` without the ratio or the ratio without it.
    """
    x = np.asarray(values, dtype=np.float64)
    y = np.ones_like(x) if over is None else np.asarray(over, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2 or y.shape != x.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"expected finite numbers of at least two seeds and two tasks; got {x.shape} and {y.shape}")
    if (statistic == "ratio") != (over is not None) or not 0.0 < level < 1.0:
        raise ValueError(f"a ratio needs `over`, and only a ratio takes it; a level is in (0, 1); got {level}")
    rng, (rows, columns) = np.random.default_rng(seed), x.shape
    # How often each seed and each task is drawn: the sum over the drawn table is a bilinear form of the two.
    seeds = rng.multinomial(rows, np.full(rows, 1.0 / rows), RESAMPLES).astype(np.float64)
    tasks = rng.multinomial(columns, np.full(columns, 1.0 / columns), RESAMPLES).astype(np.float64)
    drawn = ((seeds @ x) * tasks).sum(1) / ((seeds @ y) * tasks).sum(1)
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Interval(float(x.mean() / y.mean()), float(low), float(high), level)


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """A share of n with its Wilson score interval, which does not collapse where all or none succeed.

    Raises:
        ValueError: no trial, more successes than trials, or a level outside (0, 1).
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= n or n < 1 or not 0.0 < level < 1.0:
        raise ValueError(
            f"expected 0 to n successes of n >= 1 trials, a level in (0, 1); got {successes}, {n}, {level}"
        )
    found = binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Interval(successes / n, float(found.low), float(found.high), level)


def repeated_wilson_interval(solved: ArrayLike, *, level: float = 0.95) -> Interval:
    """A share over tasks that are each tried several times, with the Wilson score interval of as many trials as tasks.

    Tries of one task are alike, and of a model that ends the same at every orientation they are one try: n is the
    number of tasks, and the interval holds whatever their correlation is (it is wide where they are independent).

        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    Args:
        solved: (tasks, tries), bool, at least one of each.
        level: confidence level in (0, 1).

    Raises:
        ValueError: no task or no try, or a level outside (0, 1).
    """
    from scipy.stats import norm

    tries = np.asarray(solved, dtype=bool)
    if tries.ndim != 2 or tries.size == 0 or not 0.0 < level < 1.0:
        raise ValueError(
            f"expected (tasks, tries), at least one of each, a level in (0, 1); got {tries.shape}, {level}"
        )
    if tries.shape[1] == 1:
        return wilson_interval(int(tries.sum()), len(tries), level=level)
    share, n, square = float(tries.mean()), len(tries), float(norm.ppf(0.5 * (1.0 + level))) ** 2
    middle, half = share + square / (2 * n), np.sqrt(square * (share * (1 - share) / n + square / (4 * n * n)))
    low, high = ((middle + side * half) / (1 + square / n) for side in (-1.0, 1.0))
    return Interval(share, max(0.0, float(low)), min(1.0, float(high)), level)


def sign_test(differences: ArrayLike) -> PairedTest:
    """Exact two-sided sign test: are paired differences as often positive as negative? Zeros are left out.

    Args:
        differences: (n,), finite.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    from scipy.stats import binomtest

    array = _values(differences)
    positive, n = int((array > 0).sum()), int((array != 0).sum())
    return PairedTest(float(positive), float(binomtest(positive, n).pvalue) if n else 1.0, n)


def sign_flip_test(differences: ArrayLike, *, seed: int = 0) -> PairedTest:
    """Two-sided paired permutation test of the mean difference: each pair's members are exchanged or not.

    All 2^n exchanges are taken for n <= `EXACT_UP_TO`, `RESAMPLES` random ones otherwise.

    Args:
        differences: (n,), finite, n >= 2.
        seed: of the random exchanges.

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    from scipy.stats import permutation_test

    array = _values(differences)
    result = permutation_test(
        (array,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if array.size <= EXACT_UP_TO else RESAMPLES,
        batch=_BATCH,
        random_state=np.random.default_rng(seed),
    )
    return PairedTest(float(array.mean()), float(result.pvalue), array.size)
