"""The rigid motion that brings points nearest to others (Kabsch), in the plane and in space."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from equiwm.symmetry.groups import SE2, SE3, Elements


class RotationFit(NamedTuple):
    """R* = argmax_{R in SO(d)} tr(R^T A) of a covariance A = U S V^T: R* = U D V^T, D = diag(1, ..., det(U V^T)).

    Attributes:
        left: U, (..., d, d).
        values: S, (..., d).
        sign: diagonal of D, (..., d), without which the best fit might be a reflection.
        right: V^T, (..., d, d).
    """

    left: Tensor
    values: Tensor
    sign: Tensor
    right: Tensor

    @property
    def rotation(self) -> Tensor:
        """R*, (..., d, d)."""
        return (self.left * self.sign[..., None, :]) @ self.right

    @property
    def trace(self) -> Tensor:
        """tr R*, (...)."""
        return torch.einsum("...ik,...k,...ki->...", self.left, self.sign, self.right)


def rotation_fit(covariance: Tensor) -> RotationFit:
    """The rotation nearest to A = sum_p y_p x_p^T, (..., d, d): argmin_R sum_p |R x_p - y_p|^2."""
    left, values, right = torch.linalg.svd(covariance)
    sign = torch.ones_like(values)
    sign[..., -1] = torch.linalg.det(left @ right).sign()
    return RotationFit(left, values, sign, right)


def rigid_fit(points: Tensor, goal: Tensor) -> Elements:
    """The motion g = (R, t) of SE(d) that brings points nearest to others: argmin_g sum_p |R x_p + t - y_p|^2.

    Args:
        points: (..., P, d) points x, d of 2 or 3.
        goal: (..., P, d) the same points y where they should be.
    """
    points, goal = torch.broadcast_tensors(points, goal)
    means = points.mean(-2, keepdim=True), goal.mean(-2, keepdim=True)
    rotation = rotation_fit((goal - means[1]).transpose(-1, -2) @ (points - means[0])).rotation
    shift = means[1] - means[0] @ rotation.transpose(-1, -2)
    group = SE2 if points.shape[-1] == 2 else SE3
    return group.elements(rotation, shift[..., 0, :])


def pose_error(points: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """How far points are from their goal as a pose: angle of the best rotation (`rigid_fit`), and centroids' distance.

    Args:
        points: (..., P, d) points x.
        goal: (..., P, d) the same points y where they should be.

    Returns:
        (...) angle in degrees in [0, 180], and (...) distance.
    """
    return rigid_fit(points, goal).angle_deg, (goal.mean(-2) - points.mean(-2)).norm(dim=-1)
