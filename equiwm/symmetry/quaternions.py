"""Reps with rotation matrices for quaternions: the same orientation without a sign that nobody knows."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.symmetry.orientations import Quaternion, RotationMatrix, rotation_matrices
from equiwm.symmetry.reps import Rep


def as_matrices(x: Tensor, rep: Rep) -> Tensor:
    """A flat tensor (..., dim) of a rep whose quaternions are made rotation matrices: of `matrix_rep(rep)`."""
    if not any(isinstance(kind, Quaternion) for _, kind in rep.terms):
        return x
    parts = []
    for part, (count, kind) in zip(x.split([n * kind.dim(rep.d) for n, kind in rep.terms], -1), rep.terms, strict=True):
        known = isinstance(kind, Quaternion)
        parts.append(rotation_matrices(part.unflatten(-1, (count, 4))).flatten(-2) if known else part)
    return torch.cat(parts, -1)


def matrix_rep(rep: Rep) -> Rep:
    """A rep with `rot` for every `quat`: what is known of an orientation without a sign of its own."""
    turned = [(count, RotationMatrix() if isinstance(kind, Quaternion) else kind) for count, kind in rep.terms]
    return Rep(turned, rep.d)
