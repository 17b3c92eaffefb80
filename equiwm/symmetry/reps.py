"""Representations as values: how a tensor transforms under a group.

A rep is a sum of terms `MULTIPLICITYxKIND`, `8x0e+16x1o`, over a space of dimension d. What the kinds do stands with
them (`equiwm.symmetry.kinds`, `orientations`, `exchanges`, `composites`); `0` and `1` are short for `0e` and `1o`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from equiwm.errors import GroupError, RepError
from equiwm.printable import MOST_QUOTED, cut, quoted
from equiwm.symmetry.composites import DirectSum
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.kinds import VECTOR, Kind
from equiwm.symmetry.notation import Terms, named_kinds, parse_kind, parse_terms

MOST_DIMENSIONS = 64
"""Of the space that a rep lives in."""
MOST_WIDTH = 2**20
"""Entries of a rep: what a tensor of it has for each sample."""
MOST_ENTRIES = 2**27
"""Entries of the matrices of some elements: 1 GB of float64."""


@dataclass(frozen=True, init=False)
class Rep:
    """A direct sum of kinds in d dimensions.

    Tensors of a rep come flat, (..., dim), its terms one after another and the entries of each copy together; a rep
    of vectors and points also comes structured, (..., C, d), with C = `multiplicity` channels.

    Args:
        terms: (multiplicity, kind) pairs in order, a kind being a `Kind` or the name of one in the box; neighbours of
            the same kind are merged.
        d: dimension of the space.

    Raises:
        RepError: d or a multiplicity that is no whole number above 0, a kind that does not exist in d dimensions, or
            more than 2^20 entries.
    """

    terms: Terms
    d: int

    def __init__(self, terms: Iterable[tuple[int, Kind | str]], d: int) -> None:
        if type(d) is not int or not 1 <= d <= MOST_DIMENSIONS:
            raise RepError(f"d: got {quoted(d)}, expected the dimension of the space, 1 to {MOST_DIMENSIONS}.")
        merged: list[tuple[int, Kind]] = []
        width = 0
        for count, given in terms:
            try:
                kind = parse_kind(given, {}) if isinstance(given, str) else given
                if not isinstance(kind, Kind) or type(count) is not int or count < 1:
                    raise RepError("expected MxKIND with M >= 1 and KIND a Kind or its name.")
                width += count * kind.dim(d)
                if width > MOST_WIDTH:
                    raise RepError(f"a rep has at most {MOST_WIDTH:,} entries.")
            except RepError as error:
                raise RepError(f"not a term of a rep: {cut(f'{count}x{given}', MOST_QUOTED)}; {error}") from None
            if merged and merged[-1][1] == kind:
                merged[-1] = (merged[-1][0] + count, kind)
            else:
                merged.append((count, kind))
        object.__setattr__(self, "terms", tuple(merged))
        object.__setattr__(self, "d", d)

    @staticmethod
    def parse(text: str, d: int, kinds: Iterable[Kind] = ()) -> Rep:
        """Read `8x0e+16x1o`, `4x1+p`, `1o*1o`, `perm5*(2x0e+1o)`. An empty text is the empty rep.

        Args:
            text: the grammar stands in `equiwm.symmetry.notation`.
            d: dimension of the space.
            kinds: the user's own, which the text names.

        Raises:
            RepError: the text is not a sum of terms, or names a kind that does not exist in d dimensions.
        """
        return Rep(parse_terms(text, named_kinds(kinds)), d)

    def __str__(self) -> str:
        return "+".join(f"{count}x{kind}" for count, kind in self.terms)

    def __add__(self, other: Rep) -> Rep:
        """Direct sum: the terms of `self`, then those of `other`."""
        if self.d != other.d:
            raise RepError(f"cannot add {self} (d = {self.d}) and {other} (d = {other.d}): the dimensions differ.")
        return Rep(self.terms + other.terms, self.d)

    @property
    def _sum(self) -> DirectSum:
        return DirectSum(self.terms)

    @property
    def dim(self) -> int:
        """Length of the flat form."""
        return sum(count * kind.dim(self.d) for count, kind in self.terms)

    @property
    def multiplicity(self) -> int:
        """Number of channels, scalars and vectors counted alike."""
        return sum(count for count, _ in self.terms)

    @property
    def structured(self) -> bool:
        """Whether the rep has a structured form (..., C, d): vectors and points only."""
        return all(kind.structured for _, kind in self.terms)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: structured, (C, d), where the rep has that form, else flat, (dim,)."""
        return (self.multiplicity, self.d) if self.structured else (self.dim,)

    @property
    def channels(self) -> tuple[int, ...]:
        """Width of each channel in the flat form: one a copy of a kind, `multiplicity` of them."""
        return tuple(kind.dim(self.d) for count, kind in self.terms for _ in range(count))

    def channel_squares(self, x: Tensor) -> Tensor:
        """Sum of squares of each channel, which the linear part of the group keeps: (..., *shape) -> (..., C)."""
        if self.structured:
            return x.square().sum(-1)
        widths = torch.tensor(self.channels, device=x.device)
        owner = torch.arange(self.multiplicity, device=x.device).repeat_interleave(widths, output_size=self.dim)
        return x.new_zeros(*x.shape[:-1], self.multiplicity).index_add(-1, owner, x.square())

    @property
    def vectors_only(self) -> bool:
        """Whether every term is a vector (`1o`)."""
        return all(kind == VECTOR for _, kind in self.terms)

    @property
    def has_points(self) -> bool:
        """Whether translations act on it."""
        return any(kind.translates for _, kind in self.terms)

    @property
    def translations(self) -> Tensor:
        """What a translation by each unit vector adds to a flat tensor, (dim, d) float64: 1 where a point has it."""
        eye = torch.eye(self.d, dtype=torch.float64)
        return self._sum.offset(Elements(eye.expand(self.d, -1, -1), eye)).mT

    @property
    def linear_part(self) -> Rep:
        """The same rep with points turned into vectors: how differences of its tensors transform."""
        return Rep(self._sum.linear_kind.terms, self.d)

    def matrix(self, g: Elements) -> Tensor:
        """rho(g), the linear part: block diagonal and orthogonal, shape (*g.shape, dim, dim), float64.

        Raises:
            RepError: it would take more than 1 GB; `transform` needs no matrix.
            GroupError: `g` acts on another dimension, or in a way that a kind does not know.
        """
        entries = prod(g.shape) * self.dim**2
        if entries > MOST_ENTRIES:
            raise RepError(
                f"rep {cut(str(self), MOST_QUOTED)} is {self.dim} wide: the matrices of {prod(g.shape)} elements have "
                f"{entries:,} entries, expected at most {MOST_ENTRIES:,}; use transform, or fewer elements."
            )
        return self._sum.matrix(self._fitting(g))

    def transform(self, x: Tensor, g: Elements) -> Tensor:
        """rho(g) x, plus the translation for points; computed in the dtype and on the device of `x`.

        Args:
            x: (..., dim), or (..., C, d) for a rep of vectors and points. For a single vector the two look alike, and
                (..., 1, d) is read as flat.
            g: elements whose batch shape broadcasts against the leading axes of `x`: `g[:, None]` of n elements
                on B samples gives (n, B, ...).

        Raises:
            RepError: `x` does not have a shape of this rep.
            GroupError: `g` acts on another dimension, or in a way that a kind does not know.
        """
        g = self._fitting(g)
        if x.shape[-1:] == (self.dim,):
            return self._transform_flat(x, g)
        if self.structured and x.shape[-2:] == (self.multiplicity, self.d):
            lead = x.shape[:-2]
            turned = self._transform_flat(x.reshape(*lead, self.dim), g)
            return turned.reshape(*turned.shape[:-1], self.multiplicity, self.d)
        raise RepError(f"a tensor of rep {self} has shape {self.shapes('...')}; got {tuple(x.shape)}.")

    def transform_samples(self, x: Tensor, g: Elements) -> Tensor:
        """`transform` of samples as data have them, (..., *shape): no single vector is taken for a flat one.

        Args:
            x: (..., *shape).
            g: elements whose batch shape broadcasts against the leading axes of `x`.

        Raises:
            RepError, GroupError: as `transform`.
        """
        inner = len(self.shape)
        if tuple(x.shape[-inner:]) != self.shape:
            raise RepError(
                f"samples of rep {self} have shape (..., {', '.join(map(str, self.shape))}); got {tuple(x.shape)}."
            )
        return self.transform(x.flatten(-inner), g).unflatten(-1, self.shape)

    def shapes(self, lead: str) -> str:
        """The shapes of its tensors in words, behind leading axes that are called `lead`."""
        structured = f" or ({lead}, {self.multiplicity}, {self.d})" if self.structured else ""
        return f"({lead}, {self.dim}){structured}"

    def difference(self, x: Tensor, y: Tensor) -> Tensor:
        """x - y, flat (..., dim): of what is known up to sign (quaternions) the smaller of x - y and x + y."""
        return self._sum.difference(x, y, self.d) if self._sum.sign_blind else x - y

    def _transform_flat(self, x: Tensor, g: Elements) -> Tensor:
        return self._sum.act_flat(x, g)

    def _fitting(self, g: Elements) -> Elements:
        """The elements, in this space; those that only permute leave space alone."""
        if g.d not in (0, self.d):
            raise GroupError(f"rep {self} lives in {self.d} dimensions; the group elements act on {g.d}.")
        return g if g.d == self.d else g.acting_on(self.d, g.items)


def vectors(count: int, d: int) -> Rep:
    """`count` vectors in d dimensions."""
    return Rep(((count, VECTOR),), d)
