"""Frames read off a state: orthonormal axes Q(s) with Q(g s) = R Q(s), in which a planner expresses its noise.

A planner that turns its noise by such a frame turns with the scene without being told by how much. The columns of
Q are the axes; all are right-handed, so a frame turns with rotations and translations, not with reflections.

Where a state has a symmetry of its own (all points on a line, or in one place; a direction of norm zero) no
equivariant frame exists. The rule then: axes that can be read off are kept, and the rest is completed from the
laboratory axis most perpendicular to them (the first of equals); nothing at all gives the identity. Such frames
are marked `degenerate`: the noise they give has the right distribution but not, sample by sample, the symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.checks import as_finite
from equiwm.errors import DataError

LEAST_SINE = 1e-6
"""Sine of the angle between two vectors, or length relative to the scene, below which they give no frame: rounding
(1e-16) would turn the axes by more than 1e-10."""


@dataclass(frozen=True, eq=False)
class Frames:
    """One frame a task.

    Attributes:
        axes: Q, (T, d, d) float64, orthonormal columns, det Q = 1.
        degenerate: (T,) whether axes had to be completed from the laboratory's.
    """

    axes: Tensor
    degenerate: Tensor


def planar_frames(direction: Tensor) -> Frames:
    """Q = (u, J u) with u = v / |v| and J = R(90 deg): the frame of one equivariant vector v of the plane.

    Args:
        direction: v, (T, 2), such as the direction of PushT's block; its norm is of no account.

    Raises:
        DataError: another shape, or numbers that are not finite.
    """
    v = _rows(direction, (2,), "direction")
    length = v.norm(dim=-1, keepdim=True)
    degenerate = length[:, 0] == 0.0
    u = torch.where(degenerate[:, None], v.new_tensor([1.0, 0.0]), v / length)
    return Frames(torch.stack([u, torch.stack([-u[:, 1], u[:, 0]], -1)], -1), degenerate)


@dataclass(frozen=True, eq=False)
class CloudFrames:
    """Frames of clouds: Gram-Schmidt of v_k = sum_p w_kp (x_p - mean(x)), k < d, completed to a right-handed frame.

    Every weighted sum of centred points is an equivariant vector. The weights (w_1, and w_2 in space) are the top
    eigenvectors of the mean point Gram matrix of the training clouds: the v_k are then, on average over those clouds,
    orthogonal and as long as they can be.

    Attributes:
        weights: (d - 1, P) float64, orthonormal rows; the entry of largest magnitude of each is positive.
    """

    weights: Tensor

    @staticmethod
    def fit(clouds: Tensor) -> CloudFrames:
        """The weights from training clouds (n, P, d): eigenvectors of G_pq = mean_i <x_ip - mean, x_iq - mean>.

        Raises:
            DataError: not clouds of at least d points in 2 or 3 dimensions, not finite, or all of them coincident (or
                collinear, in space).
        """
        d = clouds.shape[-1] if clouds.dim() == 3 and clouds.shape[-1] == 2 else 3
        x = _rows(clouds, (clouds.shape[-2] if clouds.dim() == 3 else 0, d), "training cloud")
        centred = x - x.mean(-2, keepdim=True)
        gram = torch.einsum("npd,nqd->pq", centred, centred) / max(len(x), 1)
        values, vectors = torch.linalg.eigh(gram)  # ascending
        last = 1 - d  # of the eigenvalues that are needed
        if len(values) < d or not bool(values[last] > 1e-12 * values[-1]):
            apart = "not all collinear" if d == 3 else "not all in one place"
            raise DataError(f"no frame can be fitted: it needs clouds of at least {d} points that are {apart}.")
        top = vectors[:, [-1, -2][: d - 1]].T
        largest = top.gather(-1, top.abs().argmax(-1, keepdim=True))
        return CloudFrames(top * largest.sign())

    def __call__(self, clouds: Tensor) -> Frames:
        """The frames of clouds (T, P, d).

        Raises:
            DataError: another shape, or numbers that are not finite.
        """
        rows, points = self.weights.shape
        x = _rows(clouds, (points, rows + 1), "cloud of points")
        centred = x - x.mean(-2, keepdim=True)
        # A coincident cloud far from the origin keeps the rounding of its centroid: that is no size.
        size = centred.norm(dim=(-2, -1)) * (centred.norm(dim=(-2, -1)) > 1e-12 * x.norm(dim=(-2, -1)))
        if rows == 1:
            only = (self.weights @ centred)[:, 0]
            short = ~(only.norm(dim=-1, keepdim=True) > LEAST_SINE * size[:, None])
            return planar_frames(only.masked_fill(short, 0.0))
        first, second = (self.weights @ centred).unbind(-2)
        first, one = _axis(first, size, first.new_zeros(first.shape))
        second, two = _axis(second - (second * first).sum(-1, keepdim=True) * first, size, first)
        # Subtracting once leaves rounding along `first` where the two were nearly parallel.
        second = torch.nn.functional.normalize(second - (second * first).sum(-1, keepdim=True) * first, dim=-1)
        return Frames(torch.stack([first, second, torch.linalg.cross(first, second)], -1), one | two)


def _axis(vector: Tensor, size: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """`vector` normalised, or, where it is short against `size`, the laboratory axis most perpendicular to `other`
    less its part along `other`; and where that was."""
    length = vector.norm(dim=-1, keepdim=True)
    short = ~(length > LEAST_SINE * size[:, None])
    lab = torch.nn.functional.one_hot(other.abs().argmin(-1), 3).to(vector.dtype)
    lab = torch.nn.functional.normalize(lab - (lab * other).sum(-1, keepdim=True) * other, dim=-1)
    return torch.where(short, lab, vector / length), short[:, 0]


def _rows(value: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    """A `what` (*shape) a task, (T, *shape), as finite float64 on the CPU."""
    return as_finite(value.detach(), (*value.shape[:1], *shape), what, single=True)
