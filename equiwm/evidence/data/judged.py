"""The test itself: residuals of the change against residuals of the frame, in two families of statistics.

The first family asks each vector for a constant drift in the lab, the commonest break; the second every entry of the
change for any dependence on the frame, alone and times each coordinate of the state. Half of the level goes to each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equiwm.evidence.data.frames import Frames
from equiwm.evidence.data.smoother import Smoother, features, folds, standardised
from equiwm.evidence.data.statistic import DRAWS, Family, Numbers, Whitened, family, grouped, summed, whitened

MOST_COORDINATES = 16
"""Coordinates that a break may be proportional to; of wider states the principal ones."""
MOST_WIDTH = 40
"""Coordinates that the fits use; of wider states the principal ones."""
MOST_CHANNELS = 24
"""Entries of the change in the second family; of more the principal ones of their residuals."""
_EXACT = 1e-5
"""Of the deviation of a change: a fit that misses less is exact: what is left is rounding, also of float32 on disk."""
_LEAST, _HEAVIEST = 1e-8, 0.9
"""Squares of residuals below the first count alike; weights above the second quantile are that quantile."""
_LIBRARY = 6000
"""Rows among which a placebo looks for neighbours."""


@dataclass(frozen=True, eq=False)
class Drift:
    """The constant drift of one vector in the lab.

    Attributes:
        index: of the vector.
        total: (k,) sum of products of residuals, in units.
        information: (k, k) sum of squares of the frame's residuals.
        groups: (G, k) contributions.
        rows: (n, k) contributions.
    """

    index: int
    total: Numbers
    information: Numbers
    groups: Numbers
    rows: Numbers

    @property
    def size(self) -> Numbers:
        """(k,) the drift, in units a step."""
        found: Numbers = np.linalg.pinv(self.information, hermitian=True) @ self.total
        return found

    @property
    def covariance(self) -> Numbers:
        """(k, k) of `size`."""
        inverse = np.linalg.pinv(self.information, hermitian=True)
        found: Numbers = inverse @ (self.groups.T @ self.groups) @ inverse
        return found


@dataclass(frozen=True, eq=False)
class Dependence:
    """One entry of the change that depends on the frame.

    Attributes:
        weights: (q,) of the entries it is made of: one of them, or a principal direction.
        coordinate: which coordinate it is times; -1 for none.
        block: which functions of the frame it follows.
        rms: size of the dependence, in units of the entry's deviation.
        rows: (n,) contributions along its direction.
    """

    weights: Numbers
    coordinate: int
    block: str
    rms: float
    rows: Numbers


@dataclass(frozen=True, eq=False)
class Judged:
    """What the statistics say of some changes.

    Attributes:
        drifts: one for each vector whose change is not exactly predicted.
        first, second: the families; None where one is empty.
        explained: (q,) share of the change that is explained.
        exact: (q,) entries that are predicted to rounding.
    """

    drifts: list[Drift]
    first: Family | None
    second: Family | None
    explained: Numbers
    exact: NDArray[np.bool_]
    residual: Numbers
    labels: list[tuple[int, int, str, int]]

    @property
    def p(self) -> float:
        """Of both families."""
        found = [each.p for each in (self.first, self.second) if each is not None]
        return min(1.0, len(found) * min(found)) if found else 1.0

    @property
    def drift_decides(self) -> bool:
        """Whether the first family has the smaller p, or the same."""
        return self.first is not None and (self.second is None or self.first.p <= self.second.p)

    @property
    def largest(self) -> float:
        """The largest statistic of the family that decides, relative to what it has to exceed at level 0.05."""
        chosen = self.first if self.drift_decides else self.second
        return 0.0 if chosen is None else float(chosen.sizes.max() / chosen.critical(0.025))


class Test:
    """The fits that are shared by the data and by its placebo.

    Args:
        u: (n, D) state and action in the frame.
        frames: the frames.
        cluster: (n,) the episode of each row, 0, 1, ...
        seed: of folds, centres, groups and signs.
    """

    def __init__(self, u: Numbers, frames: Frames, cluster: NDArray[np.int64], seed: int) -> None:
        rng = np.random.default_rng([seed, 14])
        self.x = _principal(standardised(u), MOST_WIDTH)
        self.cluster = cluster
        z = features(self.x, rng)
        self._changes, self._frames = (Smoother(z, folds(cluster, rng)) for _ in range(2))
        self._group = grouped(cluster, rng)
        self._signs = rng.choice([-1.0, 1.0], (DRAWS, int(self._group.max()) + 1))
        self._library = rng.permutation(len(u))[:_LIBRARY]
        self.coordinates = np.concatenate([np.ones((len(u), 1)), _principal(self.x, MOST_COORDINATES)], 1)
        self._lab = frames.lab
        n, d = len(u), frames.elements.d
        matrices = frames.elements.linear.numpy()
        self.blocks = list(frames.blocks)
        values = [matrices.reshape(n, d * d), *frames.blocks.values()]
        index = np.repeat(np.arange(len(values)), [part.shape[1] for part in values])
        fit = self._frames.fit(np.concatenate(values, 1), index)
        left = np.concatenate(values, 1) - fit.predicted
        self._matrices = left[:, : d * d].reshape(n, d, d)
        self._left = [left[:, index == k + 1] for k in range(len(self.blocks))]
        self._penalty = [float(fit.penalty[index == k][0]) for k in range(len(values))]
        self.explained = {name: float(fit.explained[index == k + 1].max()) for k, name in enumerate(self.blocks)}
        self._explained_matrix = float(fit.explained[index == 0].max())
        self._turns = np.concatenate([part for name, part in frames.blocks.items() if name not in frames.places], 1)

    @property
    def dependence(self) -> float:
        """Share of the frame that u explains, of the function that it explains best; 0 where it explains nothing."""
        return max(0.0, *self.explained.values())

    def deciding(self, judged: Judged) -> float:
        """As `dependence`, of those functions alone that the statistic is made of which decides."""
        if judged.drift_decides:
            return max(0.0, self._explained_matrix)
        assert judged.second is not None
        return max(0.0, self.explained[judged.labels[int(judged.second.sizes.argmax())][2]])

    def coverage_p(self) -> float:
        """Whether the frames are spread evenly: every function of a block has mean 0 under the Haar measure."""
        groups = summed(self._turns, self._group)[:, None, :]
        return family([whitened(groups)], self._signs).p

    def judge(self, change: Numbers, vectors: list[int], *, by_precision: bool = False) -> Judged:
        """Test some changes.

        Args:
            change: (n, q) in the frame.
            vectors: where a vector of d entries begins.
            by_precision: weigh each row by how well changes are fitted around it. Weights of u alone leave the law
            under
                the symmetry as it is. A break that is everywhere shows more clearly then; what the fit misses, less.
        """
        deviation = change.std(0)
        scale = np.where(deviation > 0, deviation, 1.0)
        fit = self._changes.fit(change / scale)
        left = change / scale - fit.predicted
        exact = (left.std(0) <= _EXACT) | (deviation == 0)
        left[:, exact] = 0.0
        if by_precision:
            left *= self._precision(left, vectors)
        drifts = self._drifts(left * scale, vectors, exact)
        first = family([whitened(each.groups[:, None, :]) for each in drifts], self._signs) if drifts else None
        weights = _channels(left, exact)
        blocks, labels = self._dependences(left @ weights)
        second = family(blocks, self._signs) if blocks else None
        self._weights = weights
        return Judged(drifts, first, second, fit.explained, exact, left, labels)

    def _precision(self, left: Numbers, vectors: list[int]) -> Numbers:
        """(n, q) weights of mean 1, 1 over the square that is expected of a residual, one a vector."""
        d = self._matrices.shape[1]
        owner = np.arange(left.shape[1])
        for start in vectors:
            owner[start : start + d] = start
        groups = np.unique(owner)
        squares = np.stack([(left[:, owner == k] ** 2).sum(1) for k in groups], 1)
        expected = self._changes.fit(np.log(squares + _LEAST * (1.0 + squares.mean(0)))).predicted
        weights = np.exp(expected.min(0) - expected)
        weights = np.minimum(weights, np.quantile(weights, _HEAVIEST, axis=0))
        found: Numbers = (weights / weights.mean(0))[:, np.searchsorted(groups, owner)]
        return found

    def _adjusted(self, weights: Numbers, penalty: float) -> Numbers:
        """Weights of the frame's residuals, with what the fit of the frame makes of them."""
        return weights - self._frames.adjoint(weights, penalty)

    def _drifts(self, residual: Numbers, vectors: list[int], exact: NDArray[np.bool_]) -> list[Drift]:
        d = self._matrices.shape[1]
        found = []
        # (n, k, d): what a unit drift along each direction of the lab would add to the change in the frame.
        templates = np.einsum("ka,nkc->nac", self._lab, self._matrices)
        information = np.einsum("nac,nbc->ab", templates, templates)
        for index, start in enumerate(vectors):
            at = slice(start, start + d)
            if exact[at].all():
                continue
            weights = self._adjusted(residual[:, at], self._penalty[0])
            rows = np.einsum("nac,nc->na", templates, weights)
            found.append(Drift(index, rows.sum(0), information, summed(rows, self._group), rows))
        return found

    def _dependences(self, residual: Numbers) -> tuple[list[Whitened], list[tuple[int, int, str, int]]]:
        """Blocks of the second family, and for each test its entry, coordinate and block."""
        n, q = residual.shape
        if not q:
            return [], []
        products = (residual[:, :, None] * self.coordinates[:, None, :]).reshape(n, -1)
        count = products.shape[1]
        made: dict[float, Numbers] = {}
        blocks, labels = [], []
        for name, left, penalty in zip(self.blocks, self._left, self._penalty[1:], strict=True):
            if penalty not in made:
                made[penalty] = self._adjusted(products, penalty)
            parts = [summed(made[penalty] * left[:, [k]], self._group) for k in range(left.shape[1])]
            blocks.append(whitened(np.stack(parts, -1)))
            labels += [
                (k // self.coordinates.shape[1], k % self.coordinates.shape[1] - 1, name, k) for k in range(count)
            ]
        return blocks, labels

    def strongest(self, judged: Judged) -> Dependence:
        """The dependence that decides in the second family."""
        assert judged.second is not None
        entry, coordinate, name, _ = judged.labels[int(judged.second.sizes.argmax())]
        weights = self._weights[:, entry]
        left = self._left[self.blocks.index(name)]
        product = (judged.residual @ weights) * self.coordinates[:, coordinate + 1]
        functions = left * self.coordinates[:, [coordinate + 1]]
        information = functions.T @ functions
        slope = np.linalg.pinv(information, hermitian=True) @ (left.T @ product)
        rms = float(np.sqrt(slope @ information @ slope / len(left)))
        return Dependence(weights, coordinate, name, rms, (left @ slope) * product)

    def placebo(self, change: Numbers) -> Numbers:
        """Changes that are symmetric by construction: each row has what its nearest rows of other episodes did.

        The nearest are nearest in the frame, so the change is a function of u alone, whatever the world does; it is as
        hard to fit as the true one. A test that rejects it does not tell a broken world from a fit that misses.
        """
        library = self.x[self._library].astype(np.float32)
        squares, owners = (library**2).sum(1), self.cluster[self._library]
        found = np.empty_like(change)
        for start in range(0, len(change), 2048):
            rows = slice(start, start + 2048)
            apart = squares - 2.0 * self.x[rows].astype(np.float32) @ library.T
            apart[self.cluster[rows, None] == owners] = np.inf
            near = np.argpartition(apart, 1, axis=1)[:, :2]
            found[rows] = change[self._library[near]].mean(1)
        return found


def _principal(x: Numbers, most: int) -> Numbers:
    """The coordinates, or of more than `most` the principal ones."""
    if x.shape[1] <= most:
        return x
    _, vectors = np.linalg.eigh(x.T @ x)
    found: Numbers = x @ vectors[:, ::-1][:, :most]
    return found


def _channels(left: Numbers, exact: NDArray[np.bool_]) -> Numbers:
    """(q, c): the entries of the second family, each by itself, or of more than `MOST_CHANNELS` principal ones."""
    q = left.shape[1]
    if (~exact).sum() <= MOST_CHANNELS:
        return np.eye(q)[:, ~exact]
    spread = left.std(0)
    scaled = left / np.where(spread > 0, spread, 1.0)
    _, vectors = np.linalg.eigh(scaled.T @ scaled)
    found: Numbers = vectors[:, ::-1][:, :MOST_CHANNELS] / np.where(spread > 0, spread, 1.0)[:, None]
    return found
