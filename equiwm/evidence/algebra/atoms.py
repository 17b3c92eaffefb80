"""What a rep is made of: every scalar, vector, ... in it, whether it stands in a term, a sum in brackets or a set.

`perm5*(mask+p+1o)` are five masks, five points and five vectors, as `5xmask+5xp+5x1o` would be, at other entries. What
a motion of space does is said atom by atom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.composites import DirectSum, TensorProduct, is_still
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.exchanges import Items, SignedPermutation
from equiwm.symmetry.horizontal import Horizontal
from equiwm.symmetry.kinds import MASK, PSEUDOVECTOR, SCALAR, Kind, Mask, Scalar, Untouched
from equiwm.symmetry.orientations import Quaternion, RotationMatrix
from equiwm.symmetry.reps import Rep

_MOST_SCALARS = 32
"""Scalar channels of a term that are scaled and shifted one by one."""
_SMALL = 0.1
"""Radians of the rotation whose logarithm gives the generator of a kind."""


@dataclass(frozen=True, eq=False)
class Atom:
    """Copies of one kind that is no sum and has no axis of items.

    Attributes:
        name: its kind as the rep has it, with the axes of items before it: `perm5*1o`.
        kind: of one copy.
        entries: (n, w) where the copies stand in a flat tensor of the rep.
    """

    name: str
    kind: Kind
    entries: Tensor


def atoms_of(rep: Rep) -> tuple[Atom, ...]:
    """The atoms of a rep, in its order: one for every kind that a term, a sum or a set holds, and for every scalar."""
    whole = torch.arange(rep.dim)[None]
    found = _of_sum(DirectSum(rep.terms), whole, rep.d, "", "")
    return tuple(atom for atom in found if atom.entries.numel())


def _of_sum(kind: DirectSum, index: Tensor, d: int, before: str, after: str) -> Iterator[Atom]:
    for part, columns, number in _terms(kind, index, d):
        yield from _atoms(part, columns.flatten(0, 1), d, before, after + number)


def _atoms(kind: Kind, index: Tensor, d: int, before: str, after: str) -> Iterator[Atom]:
    """Those of copies (n, width) of a kind, with what stands before and after its name."""
    if isinstance(kind, DirectSum):
        yield from _of_sum(kind, index, d, before, after)
    elif isinstance(kind, TensorProduct):
        yield from _of_product(kind, index, d, before, after)
    elif isinstance(kind, Items):
        yield Atom(f"{before}{kind}{after}", SCALAR, index.reshape(-1, 1))
    else:
        yield Atom(f"{before}{kind}{after}", kind, index)


def _of_product(kind: TensorProduct, index: Tensor, d: int, before: str, after: str) -> Iterator[Atom]:
    """Sums are multiplied out and axes of items become copies; what is left multiplies things that turn."""
    factors = kind.factors
    k = next((k for k, factor in enumerate(factors) if isinstance(factor, DirectSum)), None)
    still = next((k for k, factor in enumerate(factors) if is_still(factor)), None)
    if k is None and still is None:
        yield Atom(f"{before}{kind}{after}", kind, index)
        return
    at = k if k is not None else still
    assert at is not None
    factor, first, last = factors[at], factors[:at], factors[at + 1 :]
    apart = index.unflatten(1, [each.dim(d) for each in factors]).movedim(1 + at, 1)
    if isinstance(factor, DirectSum):
        for part, columns, number in _terms(factor, apart, d):
            shaped = columns.flatten(0, 1).movedim(1, 1 + at).flatten(1)
            yield from _atoms(_product((*first, part, *last)), shaped, d, before, after + number)
    else:
        rest = apart.flatten(2).flatten(0, 1)
        yield from _atoms(_product((*first, *last)), rest, d, f"{before}{factor}*", after)


def _terms(kind: DirectSum, index: Tensor, d: int) -> Iterator[tuple[Kind, Tensor, str]]:
    """Each term of a sum along the second axis (n, width, ...), as (n, count, width, ...); numbers one by one."""
    at = 0
    for count, part in kind.terms:
        width = part.dim(d)
        columns = index[:, at : at + count * width].unflatten(1, (count, width))
        at += count * width
        if 1 < count <= _MOST_SCALARS and _numbers(part):
            for k in range(count):
                yield part, columns[:, k : k + 1], f"[{k}]"
        else:
            yield part, columns, ""


def _numbers(kind: Kind) -> bool:
    """Whether each copy of a kind is a number, or one for every item: two of these are two quantities."""
    factors = kind.factors if isinstance(kind, TensorProduct) else (kind,)
    return all(isinstance(factor, Scalar | Items) for factor in factors)


def _product(factors: tuple[Kind, ...]) -> Kind:
    """A product of one factor or more, products within it opened."""
    flat: list[Kind] = []
    for factor in factors:
        flat += factor.factors if isinstance(factor, TensorProduct) else [factor]
    return flat[0] if len(flat) == 1 else TensorProduct(tuple(flat))


def item_counts(rep: Rep) -> set[int]:
    """Numbers of items of the sets that a rep holds."""
    return {number for _, kind in rep.terms for number in _counts(kind)}


def _counts(kind: Kind) -> Iterator[int]:
    if isinstance(kind, Items):
        yield kind.count
    for factor in kind.factors if isinstance(kind, TensorProduct) else ():
        yield from _counts(factor)
    for _, part in kind.terms if isinstance(kind, DirectSum) else ():
        yield from _counts(part)


def held(rep: Rep | None, size: int) -> Tensor:
    """Which of `size` entries may not be moved at all, (size,) bool: a mask says what is there, and is 0 or 1."""
    found = torch.zeros(size, dtype=torch.bool)
    for atom in atoms_of(rep) if rep is not None else ():
        if atom.kind == MASK:
            found[atom.entries] = True
    return found


def vectorial(kind: Kind) -> bool:
    """Whether a kind is a vector, or the horizontal part of one: its samples may lie in a line or a plane."""
    return kind.structured or isinstance(kind, Horizontal)


def scales(kind: Kind) -> bool:
    """Whether a factor on a kind means something: an orientation, a mask and what nothing changes have no size."""
    return not isinstance(kind, Untouched | Mask | Quaternion | RotationMatrix)


def follows_matrices(kind: Kind) -> bool:
    """Whether every matrix acts on a kind, and not rotations alone."""
    return vectorial(kind) or isinstance(kind, Scalar | Untouched | Mask | SignedPermutation)


def moved_by(kind: Kind, unit: Tensor) -> Tensor | None:
    """What a motion v' = X v of space does to a kind: d/dt rho(exp(t X)) at 0; None where it cannot be moved so.

    Vectors and points follow v' = X v, pseudovectors v' = -X^T v, the horizontal part of a vector the horizontal block
    of X where nothing vertical gets into it. Kinds that know rotations alone are asked for an antisymmetric X.

    Args:
        kind: of an atom.
        unit: X, (d, d).
    """
    d = len(unit)
    if isinstance(kind, Horizontal):
        return None if bool(unit[:2, 2].any()) else unit[:2, :2]
    if kind == PSEUDOVECTOR:
        return -unit.T
    if kind.structured:
        return unit
    if follows_matrices(kind):
        return torch.zeros(kind.dim(d), kind.dim(d), dtype=torch.float64)
    g = Elements(torch.linalg.matrix_exp(_SMALL * unit), torch.zeros(d, dtype=torch.float64))
    try:
        found = scipy.linalg.logm(kind.matrix(g).numpy())
    except GroupError:  # a kind of a smaller group: what it cannot be turned by moves nothing
        return None
    return torch.from_numpy(np.real(found) / _SMALL)
