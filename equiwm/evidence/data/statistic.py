"""Sums of products of residuals, clustered by episode, and the law of the largest one under the symmetry.

Of residuals r of the change and e of a function of the frame, T = sum_i r_i e_i has mean 0 where the two are
independent
given u (the generalised covariance measure, Shah and Peters 2020). Its terms are summed within episodes and within
groups
of them; the law of the largest T comes from random signs of those sums, which keep every dependence within an episode.
Functions that are mixed among themselves when the log is turned are judged together by T^T C^-1 T, so that a turned log
gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

DRAWS = 999
GROUPS = 512
"""Sums of independent episodes are independent: more groups than these only take time."""
_DEGENERATE = 1e-10


@dataclass(frozen=True, eq=False)
class Whitened:
    """Blocks of k sums each, in coordinates in which their covariance is the identity.

    Attributes:
        groups: (G, tests, k) contributions.
    """

    groups: Numbers

    @property
    def size(self) -> Numbers:
        """(tests,) sqrt(T^T C^-1 T)."""
        found: Numbers = np.sqrt((self.groups.sum(0) ** 2).sum(-1))
        return found


def grouped(cluster: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) which group of episodes a row belongs to, at most `GROUPS`."""
    count = int(cluster.max()) + 1
    found: NDArray[np.int64] = (rng.permutation(count) % min(count, GROUPS))[cluster]
    return found


def summed(contributions: Numbers, group: NDArray[np.int64]) -> Numbers:
    """(G, q) sums of rows (n, q) within groups."""
    from scipy.sparse import csr_matrix

    n, count = len(group), int(group.max()) + 1
    found: Numbers = csr_matrix((np.ones(n), (group, np.arange(n))), shape=(count, n)) @ contributions
    return found


def whitened(groups: Numbers) -> Whitened:
    """Blocks (G, tests, k) of contributions, divided by the root of their covariance.

    A direction in which nothing happens, as a vector along a mirror, counts nothing.
    """
    covariance = np.einsum("gti,gtj->tij", groups, groups)
    values, vectors = np.linalg.eigh(covariance)
    largest = np.maximum(values[:, -1:], 1e-300)
    root = np.where(values > _DEGENERATE * largest, 1.0 / np.sqrt(np.maximum(values, 1e-300)), 0.0)
    return Whitened(np.einsum("gti,tij->gtj", groups, vectors * root[:, None, :]))


@dataclass(frozen=True, eq=False)
class Family:
    """Tests that are judged together.

    Attributes:
        sizes: (tests,) of the data.
        largest: (DRAWS,) the largest size under random signs.
    """

    sizes: Numbers
    largest: Numbers

    @property
    def p(self) -> float:
        """Of the largest size."""
        return float((1 + (self.largest >= self.sizes.max() * (1 - 1e-9)).sum()) / (DRAWS + 1))

    def critical(self, level: float) -> float:
        """The size that is exceeded with probability `level` under the symmetry."""
        return float(np.quantile(self.largest, 1 - level))


def family(blocks: list[Whitened], signs: Numbers) -> Family:
    """Judge blocks together.

    Args:
        blocks: of any widths.
        signs: (DRAWS, G) of +1 and -1.
    """
    largest = np.zeros(len(signs))
    for block in blocks:
        count, tests, width = block.groups.shape
        drawn = (signs @ block.groups.reshape(count, -1)).reshape(len(signs), tests, width)
        np.maximum(largest, np.sqrt((drawn**2).sum(-1)).max(-1), out=largest)
    return Family(np.concatenate([block.size for block in blocks]), largest)
