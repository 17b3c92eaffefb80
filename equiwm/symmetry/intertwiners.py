"""Linear maps that commute with a group, A rho_a(g) = rho_b(g) A, as a basis that every machine finds alike."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import Kind
from equiwm.symmetry.wigner import kronecker

LARGEST = 2048
"""Entries of a map whose space is searched."""
_DRAWS = 6
_ZERO = 1e-9
_CLEAN = 1e-12


@torch.inference_mode(False)
def intertwiners(a: Tensor, b: Tensor) -> Tensor:
    """A basis of {A : A a_k = b_k A for all k}, (K, m, n) float64; <A, A'> = tr(A^T A') is min(m, n) or 0.

    Between an orthogonal rep and an irreducible one of real type each A has orthonormal rows, up to those of others.
    The space is the null space of a linear system, known by its projector; the basis is read off the projector, entry
    by entry and the largest first, so that it depends on no library's choice of singular vectors, and is made of 0 and
    1 where the space allows it.

    Args:
        a: (k, n, n) float64, the matrices of elements that generate the group.
        b: (k, m, m), those of the same elements.

    Raises:
        RepError: maps of more than 2048 entries.
    """
    m, n = b.shape[-1], a.shape[-1]
    if m * n > LARGEST:
        raise RepError(f"maps of {m} x {n} entries that commute with a group: expected at most {LARGEST} entries.")
    eye = torch.eye(m, dtype=torch.float64), torch.eye(n, dtype=torch.float64)
    off = kronecker(eye[0].expand(len(a), m, m), a.mT) - kronecker(b, eye[1].expand(len(a), n, n))
    values, vectors = torch.linalg.eigh((off.mT @ off).mean(0))
    null = vectors[:, values < _ZERO]
    left = null @ null.mT
    basis = []
    for _ in range(null.shape[1]):
        size = left.diagonal()
        # The first of those that are as large as the largest: rounding is not to choose among equals.
        chosen = int(torch.nonzero(size >= size.max() - 1e-6)[0])
        found = left[:, chosen] / size[chosen].sqrt()
        left = left - found[:, None] * found
        basis.append(found)
    if not basis:
        return a.new_zeros(0, m, n)
    scaled = torch.stack(basis).reshape(-1, m, n) * min(m, n) ** 0.5
    whole = scaled.round()
    return torch.where((scaled - whole).abs() < _CLEAN, whole, scaled)


def generating(group: Group) -> Elements:
    """Elements that generate a dense part of a group, its translations taken off, batch shape (k,)."""
    parts = [group.generators.elements(), group.sample(_DRAWS, 0)]
    drawn = Elements.cat([part.acting_on(group.d, group.items) for part in parts])
    return Elements(drawn.linear, torch.zeros_like(drawn.translation), drawn.permutation)


def maps_between(source: Kind, target: Kind, group: Group) -> Tensor:
    """`intertwiners` of two kinds under a group, points as the vectors that their differences are, (K, m, n).

    Raises:
        RepError: a kind that is known up to sign (quaternions), which has no matrix of its own.
    """
    for kind in (source, target):
        if kind.sign_blind:
            raise RepError(f"kind '{kind.name}' is known up to sign: no linear map commutes with it; take rot.")
    g = generating(group)
    return intertwiners(source.linear_kind.matrix(g), target.linear_kind.matrix(g))
