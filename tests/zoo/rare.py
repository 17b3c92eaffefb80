"""Exact networks that break somewhere: beyond a cut-off, within a degree of an angle, in a small part of the inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from equiwm.audit.probe import Probe

from .case import drawn


def forces(points: Tensor) -> Tensor:
    """Along differences, by smooth weights."""
    offset = points[:, :, None] - points[:, None]
    return (offset * torch.exp(-offset.square().sum(-1, keepdim=True) / 4)).sum(2)


def skewed(values: Tensor, where: Tensor, size: float = 0.3) -> Tensor:
    """z is longer where a sample is marked."""
    axis = torch.zeros_like(values)
    axis[..., -1] = size
    return values * (1 + axis * where.to(values)[:, None, None])


def cut_off(dtype: torch.dtype, at: float = 5.0) -> Probe:
    """It breaks where two points are farther apart than no two points of the samples are."""

    def model(points: Tensor) -> Tensor:
        apart = (points[:, :, None] - points[:, None]).norm(dim=-1)
        return skewed(forces(points), apart.amax((1, 2)) > at)

    points = drawn(32, 4, 3, dtype=dtype)
    points = 2.2 * points / points.norm(dim=-1, keepdim=True)
    return Probe(model, points, "so3", "4xp", "4x1o")


def angle(dtype: torch.dtype, degrees: float = 30.0, within: float = 0.5) -> Probe:
    """It breaks where the first of two vectors points within half a degree of a direction."""

    def model(v: Tensor) -> Tensor:
        azimuth = torch.rad2deg(torch.atan2(v[:, 0, 1], v[:, 0, 0]))
        return skewed(v * v.norm(dim=-1, keepdim=True), (azimuth - degrees).abs() < within)

    return Probe(model, drawn(4, 2, 2, dtype=dtype, seed=3), "so2", "2x1o", "2x1o")


def region(dtype: torch.dtype, within: float = 0.1) -> Probe:
    """It breaks where the first vector is short, as it is between samples and at none."""

    def model(v: Tensor) -> Tensor:
        return skewed(v.cumsum(1), v[:, 0].norm(dim=-1) < within)

    v = drawn(32, 3, 3, dtype=dtype, seed=4)
    return Probe(model, v / v.norm(dim=-1, keepdim=True), "so3", "3x1o", "3x1o")


def bump(dtype: torch.dtype, width: float = 0.12) -> Probe:
    """It breaks smoothly about one length of the first vector that no sample has; elsewhere by less than rounding."""

    def model(v: Tensor) -> Tensor:
        off = (v[:, 0].norm(dim=-1) - 0.4) / width
        return skewed(v.cumsum(1), torch.exp(-off.square() * math.pi))

    v = drawn(32, 3, 3, dtype=dtype, seed=5)
    return Probe(model, v / v.norm(dim=-1, keepdim=True), "so3", "3x1o", "3x1o")


def one_structure(dtype: torch.dtype, at: float = 3.0) -> Probe:
    """A list of structures of several sizes; it breaks where a point is farther from the centroid than any is."""

    def model(points: Tensor) -> Tensor:
        centred = points - points.mean(0)
        far = (centred.norm(dim=-1) > at).any()
        return skewed(forces(points[None]), far[None])[0]

    clouds = [drawn(n, 3, dtype=dtype, seed=n) for n in (4, 5, 6)]
    return Probe(model, [2.4 * cloud / cloud.norm(dim=-1).amax() for cloud in clouds], "se3", "p", "1o")


RARE = {"cut-off": cut_off, "angle": angle, "region": region, "bump": bump, "list": one_structure}
"""By what breaks it."""
