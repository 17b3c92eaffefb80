"""Power laws e = c x^-a of errors over a size, with intervals over seeds, and where two cross. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equiwm.stats import RESAMPLES, Interval

LEAST_SIZES = 3
"""Sizes that a law is fitted to at least."""
_LEVEL, _SEED = 0.95, 0

Curve = Mapping[int, Mapping[float, float]]
"""Seed -> size -> error, positive."""


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """log e = log c - a log x, least squares over the sizes that every seed has, of the mean over seeds of log e.

    Attributes:
        exponent: a, with its interval: seeds are drawn with replacement.
        scale: c.
        explained: R^2 of the fit; far below 1 it is no power law.
        seeds: which they are.
        sizes: ascending.
        drawn: (R, 2) a and log c of each resample, the same seeds in the same order for every law of as many seeds.
    """

    exponent: Interval
    scale: float
    explained: float
    seeds: tuple[int, ...]
    sizes: tuple[float, ...]
    drawn: NDArray[np.float64]


def power_law(curve: Curve) -> PowerLaw | None:
    """The law of some errors.

    Args:
        curve: errors by seed and size.

    Returns:
        None of fewer than 3 sizes that every seed has, or of an error that is not finite or not positive.
    """
    seeds = sorted(curve)
    common = sorted(set.intersection(*(set(curve[seed]) for seed in seeds))) if seeds else []
    logs = np.array([[math.log(curve[s][x]) if curve[s][x] > 0 else math.nan for x in common] for s in seeds])
    if len(common) < LEAST_SIZES or not np.isfinite(logs).all():
        return None
    x = np.log(np.array(common))
    drawn = _fits(x, logs[_draws(len(seeds))].mean(1))
    (exponent, log_scale), mean = _fits(x, logs.mean(0)[None])[0], logs.mean(0)
    spread = float(np.square(mean - mean.mean()).sum())
    left = float(np.square(mean - log_scale + exponent * x).sum())
    return PowerLaw(
        _interval(float(exponent), drawn[:, 0]),
        math.exp(log_scale),
        1.0 - left / spread if spread else math.nan,
        tuple(seeds),
        tuple(common),
        drawn,
    )


def exponent_less(law: PowerLaw, other: PowerLaw) -> Interval:
    """The exponent of one law less that of another; where both have the same seeds these are drawn together."""
    drawn = law.drawn[:, 0] - _beside(law, other)[:, 0]
    return _interval(law.exponent.estimate - other.exponent.estimate, drawn)


def crossing(law: PowerLaw, other: PowerLaw) -> Interval:
    """The size from which on the error of `law` is the smaller one: x with c x^-a = c' x^-a'.

    Infinite where its exponent is not the larger one; a bound of the interval too. 0 where it is smaller at all sizes.
    """
    estimate = _crossings(_point(law), _point(other))[0]
    return _interval(float(estimate), _crossings(law.drawn, _beside(law, other)))


def _point(law: PowerLaw) -> NDArray[np.float64]:
    return np.array([[law.exponent.estimate, math.log(law.scale)]])


def _beside(law: PowerLaw, other: PowerLaw) -> NDArray[np.float64]:
    """The resamples of another law: of the same seeds in each, or drawn apart where it lacks some of them."""
    return other.drawn if law.seeds == other.seeds else np.roll(other.drawn, 1, 0)


def _crossings(law: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    steeper, above = law[:, 0] - other[:, 0], law[:, 1] - other[:, 1]
    with np.errstate(all="ignore"):
        at = np.exp(np.clip(above / steeper, -700.0, 700.0))
    return np.where(steeper > 0, at, np.where((steeper == 0) & (above < 0), 0.0, math.inf))


def _draws(n: int) -> NDArray[np.int64]:
    return np.random.default_rng(_SEED).integers(0, n, (RESAMPLES, n))


def _fits(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, 2): a and log c of each row of y (R, K)."""
    off = x - x.mean()
    slope = y @ off / float(np.square(off).sum())
    return np.stack([-slope, y.mean(1) - slope * x.mean()], 1)


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    tail = 0.5 * (1.0 - _LEVEL)
    return np.quantile(values, [tail, 1.0 - tail], method="inverted_cdf")  # no mean of a number and infinity


def _interval(estimate: float, drawn: NDArray[np.float64]) -> Interval:
    low, high = _quantiles(drawn)
    return Interval(estimate, float(low), float(high), _LEVEL)
