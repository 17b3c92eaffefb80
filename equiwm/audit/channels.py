"""The channels of a rep: one copy of one irreducible kind each, products taken apart.

A Cartesian tensor `1o*1o` holds a trace, an antisymmetric part and a symmetric traceless one. What is wrong with the
smallest of them is seen beside its own variation, not beside the others'. Every kind is a representation of O(d),
so its invariant subspaces under SO(d) are those of the Casimir operator -sum_a J_a^2, J_a the generators: of eigenvalue
l (l + 1) in space, m^2 in the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from equiwm.symmetry.composites import DirectSum, TensorProduct
from equiwm.symmetry.elements import identities
from equiwm.symmetry.generators import Generators
from equiwm.symmetry.kinds import Kind
from equiwm.symmetry.reps import Rep

_TURN = 1e-3
"""Angle of the finite difference: eigenvalues are integers, and come out to 1e-5."""


@dataclass(frozen=True, eq=False)
class Channel:
    """One copy of one irreducible kind, or of the part of one degree of a product.

    Attributes:
        name: `1o`, with its place among the copies of its term (`1o #3`) and the degree of a part (`1o*1o, l = 1`).
        term: which term of the rep it belongs to, and of a product which part.
        kind: the kind of the copy.
        start, stop: the copy's entries in the flat form.
        basis: (k, stop - start) orthonormal rows that span the part; None is all of it.
    """

    name: str
    term: str
    kind: Kind
    start: int
    stop: int
    basis: Tensor | None = None


def sizes(rows: Tensor, rep: Rep, *, whole: bool = False) -> Tensor:
    """RMS over the entries of each channel: (..., dim) -> (..., C).

    Args:
        rows: flat tensors.
        rep: their rep.
        whole: of a part of a product that of the whole product.
    """
    found, start = [rows[..., :0]], 0
    for count, kind in rep.terms:
        width = kind.dim(rep.d)
        copies = rows[..., start : start + count * width].unflatten(-1, (count, width))
        start += count * width
        parts = [
            (copies if basis is None or whole else copies @ basis.mT).square().mean(-1).sqrt()
            for _, basis in _parts(kind, rep.d)
        ]
        found.append(torch.stack(parts, -1).flatten(-2))
    return torch.cat(found, -1)


def channels(rep: Rep) -> list[Channel]:
    """The channels of a rep, in order."""
    found, start = [], 0
    for number, (count, kind) in enumerate(rep.terms):
        width = kind.dim(rep.d)
        parts = _parts(kind, rep.d)
        for copy in range(count):
            name = f"{kind}" + (f" #{copy}" if count > 1 else "")
            found += [
                Channel(name + part, f"{number}{part}", kind, start, start + width, basis) for part, basis in parts
            ]
            start += width
    return found


@cache
def _parts(kind: Kind, d: int) -> list[tuple[str, Tensor | None]]:
    """Names and bases of the parts of a kind."""
    if not isinstance(kind, TensorProduct | DirectSum) or d not in (2, 3) or kind.translates or kind.sign_blind:
        return [("", None)]
    width = kind.dim(d)
    casimir = torch.zeros(width, width, dtype=torch.float64)
    turns = Generators.euclidean(d, identities(d, (0,)), translations=False)
    there, back = (kind.matrix(turns.flow(sign * _TURN)) for sign in (1.0, -1.0))
    for generator in (there - back) / (2 * _TURN):
        casimir -= generator @ generator
    values, vectors = torch.linalg.eigh((casimir + casimir.mT) / 2)
    roots = values.clamp(min=0.0)
    degrees = (((1 + 4 * roots).sqrt() - 1) / 2 if d == 3 else roots.sqrt()).round().int().tolist()
    letter = "l" if d == 3 else "m"
    found: list[tuple[str, Tensor | None]] = [
        (f", {letter} = {degree}", vectors[:, [k for k, each in enumerate(degrees) if each == degree]].mT)
        for degree in dict.fromkeys(degrees)
    ]
    return found if len(found) > 1 else [("", None)]
