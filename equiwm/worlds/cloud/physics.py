"""The motion of a cloud of points under force, torque and stretch."""

from __future__ import annotations

import torch
from torch import Tensor

DRIFT, TORQUE, STRETCH = 0.15, 0.15, 0.08  # of an action of norm 1: lengths, radians and lengths a step


def advance(points: Tensor, force: Tensor, torque: Tensor, *, breaking: float) -> Tensor:
    """x'_p = x_p + 0.15 f + 0.15 tau x x~_p + 0.08 <f, u_p> u_p - breaking <e_z, x~_p> e_z; differentiable.

    x~_p = x_p - mean(x), u_p = x~_p / |x~_p| (0 where x~_p = 0, which is no direction).

    Args:
        points: (..., P, 3).
        force: (..., 1, 3) f.
        torque: (..., 1, 3) tau.
        breaking: strength of the pull along the lab's last axis.
    """
    centred = points - points.mean(-2, keepdim=True)
    # 0 / tiny = 0: no direction, hence no stretch, at the centroid, and a finite gradient.
    directions = centred / centred.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    stretch = (directions * force).sum(-1, keepdim=True) * directions
    turn = torch.linalg.cross(*torch.broadcast_tensors(torque, centred))
    moved = points + DRIFT * force + TORQUE * turn + STRETCH * stretch
    if breaking:
        pull = torch.zeros_like(centred)
        pull[..., -1] = centred[..., -1]  # <e_z, x~_p> e_z
        moved = moved - breaking * pull
    return moved
