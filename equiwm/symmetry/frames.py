"""Frames read off vectors: principal axes, the signs that they leave open, and where vectors stand in a rep."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import prod

import torch
from torch import Tensor

from equiwm.symmetry.composites import DirectSum, TensorProduct
from equiwm.symmetry.kinds import Kind, Vector
from equiwm.symmetry.orientations import RotationMatrix
from equiwm.symmetry.places import places_of
from equiwm.symmetry.reps import Rep

NEAR = 0.05
"""Relative gap between two principal moments below which their axes are about to change places."""


def principal_axes(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Right-handed axes of second moments M = sum_c v_c v_c^T, and how well they are determined.

    Args:
        moments: (..., d, d) symmetric, d = 2 or 3, float64.

    Returns:
        (..., d, d) with the eigenvectors as columns, largest eigenvalue first, the last one chosen for determinant 1;
        and (...) the smallest relative gap, min_i (lambda_i - lambda_{i+1}) / lambda_1, 0 where M = 0.
    """
    values, axes = torch.linalg.eigh(moments)  # smallest first
    values, axes = values.flip(-1), axes.flip(-1)
    largest = values[..., 0].clamp(min=torch.finfo(torch.float64).tiny)
    gaps = (values[..., :-1] - values[..., 1:]).amin(-1) / largest
    first = axes[..., 0]
    if moments.shape[-1] == 2:
        return torch.stack([first, torch.stack([-first[..., 1], first[..., 0]], -1)], -1), gaps
    second = axes[..., 1]
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1), gaps


def sign_choices(d: int, *, reflections: bool) -> Tensor:
    """The signs (F, d) that axes may be given: all 2^d with reflections, else those of product 1."""
    every = [signs for signs in product((1.0, -1.0), repeat=d) if reflections or prod(signs) > 0]
    return torch.tensor(every, dtype=torch.float64)


def vectors_of(flat: Tensor, rep: Rep) -> Tensor:
    """The vectors, pseudovectors and points of flat tensors, (..., dim) -> (..., C, d).

    Those of several items count each for itself. Of a rotation matrix they are its columns, of which the first is
    the longest: else they would have no principal axes.
    """
    places, weights = _places_of(rep)
    return flat[..., places] * weights.to(flat.dtype)[:, None]


def moved_vectors(rep: Rep) -> Tensor:
    """Which of `vectors_of` translations move, bool (C,)."""
    return moved_entries(DirectSum(rep.terms), rep.d)[_places_of(rep)[0][:, 0]]


def moved_entries(kind: Kind, d: int) -> Tensor:
    """Which entries of one copy of a kind translations move, bool (dim,)."""
    if isinstance(kind, DirectSum):
        none = torch.zeros(0, dtype=torch.bool)
        return torch.cat([none, *(moved_entries(part, d).repeat(count) for count, part in kind.terms)])
    if isinstance(kind, TensorProduct) and kind.translates:  # what stands beside points does not move by itself
        found = torch.ones(1, dtype=torch.bool)
        for factor in kind.factors:
            inner = moved_entries(factor, d) if factor.translates else torch.ones(factor.dim(d), dtype=torch.bool)
            found = (found[:, None] & inner[None]).flatten()
        return found
    return torch.full((kind.dim(d),), kind.translates)


@cache
def _places_of(rep: Rep) -> tuple[Tensor, Tensor]:
    """Entries (C, d) and weights (C,) of the vectors of a rep."""
    whole = DirectSum(rep.terms)
    found = [(places, 1.0) for places in places_of(whole, rep.d, Vector)]
    for places in places_of(whole, rep.d, RotationMatrix):
        found += [(places[column :: rep.d], float(rep.d - column)) for column in range(rep.d)]
    entries = torch.tensor([places for places, _ in found], dtype=torch.long).reshape(-1, rep.d)
    return entries, torch.tensor([weight for _, weight in found], dtype=torch.float64)
