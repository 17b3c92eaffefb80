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
        a: (k, n, n) float64, orthogonal: the matrices of elements that generate the group.
        b: (k, m, m), those of the same elements.

    Raises:
        RepError: maps of more than 2048 entries.
    """
    m, n = b.shape[-1], a.shape[-1]
    if m * n > LARGEST:
        raise RepError(f"maps of {m} x {n} entries that commute with a group: expected at most {LARGEST} entries.")
    # A commutes where A = b A a^T. Of orthogonal matrices the mean of |A - b A a^T|^2 is |A|^2 less a mean of products.
    moved = kronecker(b, a).mean(0)
    values, vectors = torch.linalg.eigh(torch.eye(m * n, dtype=torch.float64) - 0.5 * (moved + moved.mT))
    null = vectors[:, values < _ZERO]
    scaled = projected_basis(null @ null.mT, null.shape[1]).mT.reshape(-1, m, n) * min(m, n) ** 0.5
    return cleaned(scaled)


def projected_basis(projector: Tensor, rank: int) -> Tensor:
    """An orthonormal basis (n, rank) of the space of a projector (n, n), read off its columns, the largest first."""
    left, basis = projector, [projector[:, :0]]
    for _ in range(rank):
        size = left.diagonal()
        # The first of those that are as large as the largest: rounding is not to choose among equals.
        chosen = int(torch.nonzero(size >= size.max() - 1e-6)[0])
        found = left[:, chosen] / size[chosen].sqrt()
        left = left - found[:, None] * found
        basis.append(found[:, None])
    return torch.cat(basis, 1)


def cleaned(values: Tensor) -> Tensor:
    """The same numbers, those that are whole but for rounding made whole."""
    whole = values.round() + 0.0
    return torch.where((values - whole).abs() < _CLEAN, whole, values)


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
