"""What reps decompose into under a group: irreducible types, found as linear algebra and so for any compact group.

Under SO(2) the types are the frequencies m, which have complex weights; under O(2) the same with real ones, and
pseudoscalars; under SO(3) the degrees; under C_n the frequencies mod n. About the vertical of space a vector is its
height, which nothing turns, and its horizontal part of frequency 1; a tensor of degree 2 has frequencies 0, 1 and 2.
Nothing here asks for a group's name: types are matrices on elements that generate the group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.symmetry.group import Group
from equiwm.symmetry.intertwiners import cleaned, generating, intertwiners, projected_basis
from equiwm.symmetry.kinds import SCALAR, VECTOR, Kind
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.wigner import kronecker

MOST_TYPES = 8
"""Types that products may add to those which reps have."""
LARGEST_PRODUCT = 512
"""Entries of the products of three types that are looked for."""
_GAP = 1e-6


@dataclass(frozen=True, eq=False)
class Irreducible:
    """An irreducible type of a group.

    Attributes:
        matrices: rho(g) of the elements that generate the group, (k, d, d) float64.
        ends: the maps that commute with it, (K, d, d), the identity first: K = 1 for a real type, 2 for a complex one
            (the other is a quarter turn), 4 for a quaternionic one.
    """

    matrices: Tensor
    ends: Tensor

    @property
    def dim(self) -> int:
        """Its width."""
        return self.matrices.shape[-1]


class Irreducibles:
    """The types that some kinds decompose into under a group, the trivial one first.

    Besides the kinds' own there are the vector's, and, up to their width, those of the products of two of them: a
    pseudoscalar under O(2), where only vectors are given.

    Args:
        group: the group; its translations are taken off.
        kinds: what is decomposed, none known up to sign.

    Raises:
        RepError: a kind that is known up to sign, or too wide.
    """

    @torch.inference_mode(False)
    def __init__(self, group: Group, kinds: Iterable[Kind]) -> None:
        self.group = group
        self._elements = generating(group)
        self.types: list[Irreducible] = []
        self._found: dict[Kind, list[tuple[int, Tensor]]] = {}
        self._products: dict[tuple[int, int, int], Tensor] = {}
        for kind in (SCALAR, VECTOR, *kinds):
            self._found[kind] = self._decomposed(self._matrices(kind))
        self.given = len(self.types)
        widest = max(found.dim for found in self.types)
        self._close(widest)
        for _ in range(2):  # of one entry there are few, and what they tell apart no other type does
            self._close(1)

    def _matrices(self, kind: Kind) -> Tensor:
        if kind.sign_blind:
            raise RepError(f"kind '{kind.name}' is known up to sign and decomposes into nothing; take rot.")
        return kind.linear_kind.matrix(self._elements)

    def _close(self, widest: int) -> None:
        """Add what products of two types hold, up to a width."""
        given = len(self.types)
        for a in range(1, given):
            for b in range(a, given):
                left, right = self.types[a], self.types[b]
                if (left.dim * right.dim) ** 2 <= LARGEST_PRODUCT * 2:
                    self._decomposed(kronecker(left.matrices, right.matrices), widest)

    def _decomposed(self, matrices: Tensor, widest: int | None = None) -> list[tuple[int, Tensor]]:
        """The types in a rep (k, n, n), each with the maps (multiplicity, d, n) onto its copies; new ones are added.

        Args:
            matrices: the rep on the generating elements.
            widest: width up to which new types are added, as long as there are few; None adds all.
        """
        n, parts = matrices.shape[-1], []
        rest = torch.eye(n, dtype=torch.float64)
        for index, known in enumerate(self.types):
            maps = self._copies(intertwiners(matrices, known.matrices), known.ends)
            if len(maps):
                parts.append((index, maps))
                rest = rest - (maps.mT @ maps).sum(0)
        while (rank := round(float(rest.trace()))) > 0:
            basis = projected_basis(rest, rank)
            inner = basis.mT @ matrices @ basis
            basis = cleaned(basis @ _smallest(inner))
            found = basis.mT @ matrices @ basis
            type_ = Irreducible(found, intertwiners(found, found))
            maps = self._copies(intertwiners(matrices, found), type_.ends)
            rest = rest - (maps.mT @ maps).sum(0)
            if widest is not None and (type_.dim > widest or len(self.types) >= self.given + MOST_TYPES):
                continue
            parts.append((len(self.types), maps))
            self.types.append(type_)
        return parts

    @staticmethod
    def _copies(maps: Tensor, ends: Tensor) -> Tensor:
        """Maps onto a type, one a copy: of those that differ by a map that commutes with the type only one is kept."""
        left, kept = maps.flatten(1), []
        while len(left):
            size = left.norm(dim=1)
            if not bool((size > _GAP).any()):
                break
            chosen = left[int(torch.nonzero(size > _GAP)[0])]
            found = (chosen / chosen.norm()).reshape(maps.shape[1:]) * maps.shape[1] ** 0.5
            kept.append(found)
            spanned = (ends @ found).flatten(1)
            spanned = spanned / spanned.norm(dim=1, keepdim=True)
            left = left - (left @ spanned.T) @ spanned
        return cleaned(torch.stack(kept)) if kept else maps[:0]

    @torch.inference_mode(False)
    def copies(self, rep: Rep) -> list[Tensor]:
        """Of each type the maps (multiplicity, d, rep.dim) onto its copies in a flat tensor of a rep.

        All of them, one above the other, are an orthogonal matrix.

        Raises:
            RepError: a kind that was not among those that it was made of, or a type that they lack.
        """
        blocks: list[list[Tensor]] = [[torch.zeros(0, kind.dim, rep.dim, dtype=torch.float64)] for kind in self.types]
        start = 0
        for count, kind in rep.terms:
            width = kind.dim(rep.d)
            for _ in range(count):
                for index, maps in self._found[kind]:
                    wide = maps.new_zeros(*maps.shape[:2], rep.dim)
                    wide[..., start : start + width] = maps
                    blocks[index].append(wide)
                start += width
        return [torch.cat(block) for block in blocks]

    @torch.inference_mode(False)
    def products(self, a: int, b: int, c: int) -> Tensor:
        """The bilinear maps a x b -> c, (P, d_c, d_a, d_b); none where three types are wider than is looked for."""
        if (a, b, c) not in self._products:
            left, right, out = self.types[a], self.types[b], self.types[c]
            shape = (out.dim, left.dim, right.dim)
            if left.dim * right.dim * out.dim > LARGEST_PRODUCT:
                maps = left.matrices.new_zeros(0, out.dim, left.dim * right.dim)
            else:
                maps = intertwiners(kronecker(left.matrices, right.matrices), out.matrices)
                maps = self._copies(maps, out.ends)
            self._products[a, b, c] = maps.reshape(-1, *shape)
        return self._products[a, b, c]


def _smallest(matrices: Tensor) -> Tensor:
    """A basis (n, d) of one irreducible part of a rep (k, n, n).

    A symmetric map that commutes with the rep, and is nothing special among those, has irreducible eigenspaces.
    """
    commuting = intertwiners(matrices, matrices)
    weights = torch.cos(1.0 + torch.arange(len(commuting), dtype=torch.float64))
    symmetric = torch.einsum("k,kmn->mn", weights, commuting + commuting.mT)
    values, vectors = torch.linalg.eigh(symmetric)
    part = vectors[:, (values - values[0]).abs() < _GAP]
    return projected_basis(part @ part.mT, part.shape[1])


@lru_cache(maxsize=64)
def _known(group: Group, kinds: tuple[Kind, ...]) -> Irreducibles:
    return Irreducibles(group, kinds)


def irreducibles(group: Group, *reps: Rep) -> Irreducibles:
    """The types of some reps under a group; those of the same group and kinds are made once.

    Raises:
        RepError: a kind that is known up to sign, or too wide.
    """
    kinds = tuple(dict.fromkeys(kind.linear_kind for rep in reps for _, kind in rep.terms))
    try:
        return _known(group, kinds)
    except TypeError:  # somebody's group or kind that has no hash
        return Irreducibles(group, kinds)
