"""How a state of an environment is turned: frames read off all of its vectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equiwm.planning.frames import CloudFrames, Frames
from equiwm.symmetry.about import AboutAxis
from equiwm.symmetry.coverage import Arc, Coverage, Whole
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import POINT, VECTOR
from equiwm.symmetry.reps import Rep

_WHOLE_GAP_DEG = 10.0
"""A circle is seen whole if no gap is wider."""


def vectors_of(observation: Tensor, rep: Rep) -> Tensor:
    """The vectors (..., K, d) of observations (..., *rep.shape): of points what they are off the mean of all points."""
    flat, start = observation.flatten(-len(rep.shape)), 0
    points: list[Tensor] = []
    found: list[Tensor] = []
    for count, kind in rep.terms:
        width = count * kind.dim(rep.d)
        if kind in (POINT, VECTOR):
            part = flat[..., start : start + width].unflatten(-1, (count, rep.d))
            (points if kind == POINT else found).append(part)
        start += width
    if points:
        whole = torch.cat(points, -2)
        found.append(whole - whole.mean(-2, keepdim=True))
    return torch.cat(found, -2) if found else flat.new_empty(*flat.shape[:-1], 0, rep.d)


class StateFrames:
    """Frames Q(s) with Q(g s) = R Q(s), of sums of a state's vectors whose weights are fitted to training data.

    In the plane and in space `CloudFrames` of the vectors and their opposites, which have no mean to take off; of a
    group about an axis the plane's, read off what the vectors have across the axis.

    Args:
        observations: (n, *rep.shape) of training.
        rep: of them.
        group: whose elements turn them.

    Raises:
        DataError: vectors that give no frame (all along one line, in space).
    """

    def __init__(self, observations: Tensor, rep: Rep, group: Group) -> None:
        self._rep, self._axis = rep, group.frame if isinstance(group, AboutAxis) else None
        seen = self._doubled(observations)
        self._fitted = CloudFrames.fit(seen) if seen.shape[-2] else None

    def _doubled(self, observations: Tensor) -> Tensor:
        found = vectors_of(observations, self._rep)
        if self._axis is not None:
            found = found @ self._axis[:, :2]
        return torch.cat([found, -found], -2)

    def planar(self, observations: Tensor) -> Frames:
        """Frames of the space, or of the plane across the axis."""
        seen = self._doubled(observations)
        if self._fitted is None:
            n, d = len(seen), seen.shape[-1]
            return Frames(torch.eye(d, dtype=torch.float64).expand(n, d, d), torch.ones(n, dtype=torch.bool))
        return self._fitted(seen)

    def __call__(self, observations: Tensor) -> Frames:
        """Frames (n, d, d) of observations (n, *rep.shape)."""
        found = self.planar(observations)
        if self._axis is None:
            return found
        wide = torch.nn.functional.pad(found.axes, (0, 1, 0, 1))
        wide[..., 2, 2] = 1.0
        return Frames(self._axis @ wide @ self._axis.mT, found.degenerate)


def covered(frames: StateFrames, observations: Tensor, group: Group) -> Coverage:
    """The smallest arc that holds how recorded states are turned; in space, where no axis is given, everything.

    Args:
        frames: of the states.
        observations: (n, *rep.shape).
        group: of the world.
    """
    about = group.axis if isinstance(group, AboutAxis) else None
    if group.d != 2 and about is None:
        return Whole(group.d)
    found = frames.planar(observations)
    axes = found.axes[~found.degenerate]
    if not len(axes):
        return Arc(0.0, 360.0, group.d, about or "z")
    angles = np.unique(torch.atan2(axes[:, 1, 0], axes[:, 0, 0]).rad2deg().numpy() % 360.0)
    gaps = np.diff(np.append(angles, angles[0] + 360.0))
    widest = int(gaps.argmax())
    if gaps[widest] <= _WHOLE_GAP_DEG:
        return Arc(0.0, 360.0, group.d, about or "z")
    low = float(angles[(widest + 1) % len(angles)])
    return Arc(low, low + max(360.0 - float(gaps[widest]), 1e-3), group.d, about or "z")
