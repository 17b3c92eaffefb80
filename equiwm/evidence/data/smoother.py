"""Cross-fitted ridge regression on Nystroem features of a Matern kernel: prediction, and its adjoint.

Kernel ridge with k_3/2(x, y) = (1 + sqrt(3) r) exp(-sqrt(3) r), r = |x - y| / l, and a linear part, on m centres drawn
from the data. The prediction of a row is made without the episodes of its fold. It is linear in the targets: its
adjoint
says what each target contributes to a sum of residuals, and with it the error of the fit enters the variance of a test.
Sources: Rasmussen and Williams (2006), eq. 4.17 and 8.3; Chernozhukov et al. (2018) for cross-fitting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

FOLDS = 5
CENTRES = 400
PENALTIES = tuple(10.0**k for k in range(-7, 3))
CONSTANT = float("inf")
"""The penalty of a fit by the mean alone."""
_LINEAR = 0.3
_JITTER = 1e-8
_BETTER, _SIMPLER = 1e-3, 2e-3
"""A weaker penalty has to lower the error by the first share; the mean is preferred within the second."""


def standardised(u: Numbers) -> Numbers:
    """Columns of mean 0 and deviation 1; those that do not vary are left out."""
    deviation = u.std(0)
    varies = deviation > 1e-9 * max(float(deviation.max(initial=0.0)), 1e-300)
    found: Numbers = (u[:, varies] - u[:, varies].mean(0)) / deviation[varies]
    return found


def features(x: Numbers, rng: np.random.Generator) -> Numbers:
    """(n, p) features of standardised coordinates (n, D): a linear part and the kernel on centres of the rows."""
    n = len(x)
    centres = x[rng.choice(n, min(CENTRES, n // 3), replace=False)]
    apart = _squared(x, centres)
    length = float(np.median(apart))
    w, vectors = np.linalg.eigh(_matern(_squared(centres, centres) / length))
    w = np.maximum(w, 0.0) + _JITTER
    return np.concatenate([_LINEAR * x, _matern(apart / length) @ (vectors / np.sqrt(w))], 1)


def _squared(a: Numbers, b: Numbers) -> Numbers:
    found: Numbers = np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0.0)
    return found


def _matern(squared: Numbers) -> Numbers:
    scaled = np.sqrt(3.0 * squared)
    found: Numbers = (1.0 + scaled) * np.exp(-scaled)
    return found


def folds(cluster: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) a fold for each row, whole clusters together."""
    count = int(cluster.max()) + 1
    order = np.arange(count) % min(FOLDS, count)
    rng.shuffle(order)
    found: NDArray[np.int64] = order[cluster]
    return found


@dataclass(frozen=True, eq=False)
class _Fold:
    held: NDArray[np.bool_]
    values: Numbers
    vectors: Numbers
    mean: Numbers
    rows: int


@dataclass(frozen=True, eq=False)
class Fit:
    """Predictions of some targets.

    Attributes:
        predicted: (n, q), each row without its own fold.
        penalty: (q,) that was chosen.
        explained: (q,) share of the variance that is predicted; below 0 where the mean would have been better.
    """

    predicted: Numbers
    penalty: Numbers
    explained: Numbers


class Smoother:
    """Ridge regressions on one matrix of features.

    Args:
        z: (n, p) features.
        fold: (n,) fold of each row.
    """

    def __init__(self, z: Numbers, fold: NDArray[np.int64]) -> None:
        self.z = z
        self._parts: list[_Fold] = []
        masks = [fold == k for k in range(int(fold.max()) + 1)]
        moments = [z[held].T @ z[held] for held in masks]
        sums = [z[held].sum(0) for held in masks]
        for held, moment, own in zip(masks, moments, sums, strict=True):
            rows = int((~held).sum())
            mean = (sum(sums) - own) / rows
            covariance = (sum(moments) - moment) / rows - np.outer(mean, mean)
            values, vectors = np.linalg.eigh(covariance)
            self._parts.append(_Fold(held, np.maximum(values, 0.0), vectors, mean, rows))

    def fit(self, y: Numbers, blocks: NDArray[np.int64] | None = None) -> Fit:
        """Predict targets, each with the penalty that predicts it best.

        Args:
            y: (n, q).
            blocks: (q,) targets of one number share a penalty; None is one for each.
        """
        block = np.arange(y.shape[1]) if blocks is None else blocks
        count = int(block.max()) + 1
        cached = []
        for part in self._parts:
            rest = ~part.held
            centre = y[rest].mean(0)
            slopes = part.vectors.T @ ((self.z[rest] - part.mean).T @ (y[rest] - centre) / part.rows)
            cached.append((part, (self.z[part.held] - part.mean) @ part.vectors, slopes, centre))
        best, penalty = np.full(count, np.inf), np.empty(count)
        predicted = np.empty_like(y)
        for candidate in (*PENALTIES, CONSTANT):
            made = np.empty_like(y)
            for part, basis, slopes, centre in cached:
                made[part.held] = centre
                if candidate != CONSTANT:
                    made[part.held] += basis @ (slopes / (part.values + candidate)[:, None])
            error = np.bincount(block, ((y - made) ** 2).sum(0), count)
            better = error < best * (1 + _SIMPLER if candidate == CONSTANT else 1 - _BETTER)
            best, penalty = np.where(better, error, best), np.where(better, candidate, penalty)
            predicted[:, better[block]] = made[:, better[block]]
        spread = ((y - y.mean(0)) ** 2).sum(0)
        left = ((y - predicted) ** 2).sum(0)
        # A target that is constant, but for rounding, is not explained by anything.
        varies = spread > 1e-20 * np.maximum((y**2).sum(0), 1e-300)
        explained = 1.0 - np.divide(left, spread, out=np.ones_like(left), where=varies)
        return Fit(predicted, penalty[block], explained)

    def adjoint(self, weights: Numbers, penalty: float) -> Numbers:
        """S^T w of the smoother of a penalty: sum_i w_i (S y)_i = sum_j (S^T w)_j y_j for all targets y.

        Args:
            weights: (n, q).
            penalty: one of `PENALTIES`, or `CONSTANT`.
        """
        found = np.zeros_like(weights)
        for part in self._parts:
            rest = ~part.held
            found[rest] += weights[part.held].sum(0) / part.rows
            if penalty != CONSTANT:
                inner = part.vectors.T @ ((self.z[part.held] - part.mean).T @ weights[part.held])
                inner = part.vectors @ (inner / (part.values + penalty)[:, None])
                found[rest] += (self.z[rest] - part.mean) @ inner / part.rows
        return found
