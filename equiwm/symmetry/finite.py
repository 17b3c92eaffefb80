"""Finite groups as lists of their elements: C_n, D_n, mirrors, the octahedral group, and any that matrices generate."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from itertools import permutations, product

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.elements import Elements, Seed, drawing, identities, rotations
from equiwm.symmetry.generators import Generators, discrete
from equiwm.symmetry.group import TOLERANCE, Group

LARGEST = 1024
"""The largest order whose elements are listed."""
_ALL_BINS = 256
_APART = 1e-6


class FiniteGroup(Group):
    """A finite group that fixes the origin, given by all of its elements.

    Args:
        name: its name.
        elements: all elements, the identity first, batch shape (order,).
        generators: some that generate it; None takes all.
        labels: a label for each element; None describes them.
    """

    def __init__(
        self,
        name: str,
        elements: Elements,
        *,
        generators: Elements | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        self.name, self.d, self.items = name, elements.d, elements.items
        self._elements = elements
        self._generators = elements if generators is None else generators
        self._given = labels

    @staticmethod
    def generated_by(
        matrices: Sequence[Sequence[Sequence[float]]] | np.ndarray | Tensor,
        *,
        permutations: Sequence[Sequence[int]] | None = None,
        name: str,
    ) -> FiniteGroup:
        """The group of all products of some orthogonal matrices, each of which may also permute items.

            >>> FiniteGroup.generated_by([[[0.0, -1.0], [1.0, 0.0]]], name="quarter").order
            4

        Args:
            matrices: generators, (k, d, d), orthogonal to 1e-9.
            permutations: for each generator where it takes each item, (k, n): item i goes to place p[i]. A
                four-legged robot's mirror reflects space and exchanges left and right legs at once.
            name: the group's name.

        Raises:
            GroupError: matrices that are not square or not orthogonal, what is no permutation, or more than 1024
                elements.
        """
        try:
            linear = torch.as_tensor(np.asarray(matrices, dtype=np.float64))
        except (TypeError, ValueError):
            raise GroupError(f"group '{name}': generators are matrices of numbers, of shape (k, d, d).") from None
        if linear.ndim != 3 or linear.shape[1] != linear.shape[2] or not len(linear):
            raise GroupError(f"group '{name}': generators are matrices of shape (k, d, d); got {tuple(linear.shape)}.")
        off = (linear.mT @ linear - torch.eye(linear.shape[1], dtype=torch.float64)).abs().flatten(1).amax(1)
        for k in range(len(linear)):
            if not float(off[k]) <= TOLERANCE:
                raise GroupError(
                    f"group '{name}': generator {k + 1} is not orthogonal (R^T R - 1 is {float(off[k]):.1e}, expected "
                    "at most 1e-9; build it in float64)."
                )
        places = None if permutations is None else torch.as_tensor(np.asarray(permutations, dtype=np.int64))
        if places is not None and (
            places.shape[:1] != (len(linear),)
            or places.ndim != 2
            or not torch.equal(places.sort(-1).values, torch.arange(places.shape[1]).expand_as(places))
        ):
            raise GroupError(f"group '{name}': permutations: expected the numbers 0 to n - 1 once for each generator.")
        generators = Elements(linear, torch.zeros(linear.shape[:2], dtype=torch.float64), places)
        return FiniteGroup(name, _closure(name, generators), generators=generators)

    @cached_property
    def labels(self) -> list[str]:
        """A label for each element."""
        return list(self._given) if self._given else _labels(self._elements)

    @property
    def order(self) -> int:
        """How many elements it has."""
        return len(self._elements)

    @property
    def all_elements(self) -> Elements:
        """Every element once, the identity first, batch shape (order,)."""
        return self._elements

    @property
    def generators(self) -> Generators:
        """Elements that generate it."""
        return discrete(self._generators)

    def sample(self, n: int, seed: Seed, *, sigma: float = 1.0) -> Elements:
        """`n` elements, each uniform over the group; there are no translations, whatever `sigma`."""
        return self._elements[torch.from_numpy(drawing(n, seed).integers(0, self.order, n))]

    def contains(self, g: Elements) -> Tensor:
        if g.d != self.d or (self.items and g.items not in (0, self.items)):
            return torch.zeros(g.shape, dtype=torch.bool)
        same = ((g.linear[..., None, :, :] - self._elements.linear).abs() <= TOLERANCE).flatten(-2).all(-1)
        if self._elements.permutation is None:
            return same.any(-1) & ~g.moves & ~g.permutes
        permutation = g.acting_on(self.d, self.items).permutation
        assert permutation is not None
        return (same & (permutation[..., None, :] == self._elements.permutation).all(-1)).any(-1) & ~g.moves

    @property
    def draws(self) -> bool:
        """Its bins are all its elements, unless it has more than 256."""
        return self.order > _ALL_BINS

    def named(self, n: int, seed: Seed) -> list[tuple[str, Elements]]:
        """All elements; the identity alone where they are too many."""
        return [(self.labels[k], self._elements[k]) for k in range(1 if self.draws else self.order)]


def _closure(name: str, generators: Elements) -> Elements:
    """All products of the generators, the identity first, breadth first."""
    found = identities(generators.d, (1,), generators.items)
    fresh = found
    while len(fresh):
        candidates = _flat(generators[:, None] @ fresh[None])
        kept: list[Elements] = []
        for k in range(len(candidates)):
            known = Elements.cat([found, *kept])
            if not bool(_equal(candidates[k], known).any()):
                kept.append(candidates[k : k + 1])
            if len(known) > LARGEST:
                raise GroupError(
                    f"group '{name}': its generators give more than {LARGEST} elements; it is not finite, or too large "
                    "to be listed."
                )
        fresh = Elements.cat(kept) if kept else candidates[:0]
        found = Elements.cat([found, fresh])
    return found


def _flat(g: Elements) -> Elements:
    permutation = None if g.permutation is None else g.permutation.flatten(0, 1)
    return Elements(g.linear.flatten(0, 1), g.translation.flatten(0, 1), permutation)


def _equal(g: Elements, h: Elements) -> Tensor:
    same = ((g.linear - h.linear).abs() <= _APART).flatten(-2).all(-1)
    if g.permutation is not None and h.permutation is not None:
        same &= (g.permutation == h.permutation).all(-1)
    return same


# In the box


def cyclic(n: int) -> FiniteGroup:
    """C_n, the rotations of the plane by 360 k / n degrees.

    Raises:
        GroupError: n below 1 or above 1024.
    """
    _require(f"c{n}", n, LARGEST)
    angles = 360.0 * np.arange(n) / n
    turned = rotations(angles, 2)
    return FiniteGroup(f"c{n}", turned, generators=turned[1:2], labels=[f"{angle:g}" for angle in angles])


def dihedral(n: int) -> FiniteGroup:
    """D_n, of order 2 n: C_n and its products with the mirror M = diag(-1, 1), which negates x.

    Raises:
        GroupError: n below 1 or above 512.
    """
    _require(f"d{n}", n, LARGEST // 2)
    turned, mirror = cyclic(n), _signs(-1.0, 1.0)
    both = Elements.cat([turned.all_elements, mirror @ turned.all_elements])
    labels = [*turned.labels, *(f"mirror {label}" for label in turned.labels)]
    return FiniteGroup(f"d{n}", both, generators=Elements.cat([turned.all_elements[1:2], mirror]), labels=labels)


def mirror(axis: str, d: int) -> FiniteGroup:
    """Two elements: the identity and the reflection that negates the coordinate `axis`, in the plane or in space.

    Raises:
        GroupError: no such axis.
    """
    if axis not in tuple("xyz"[:d]) or d not in (2, 3):
        raise GroupError(f"a mirror negates x, y or z of space or x or y of the plane; got '{axis}' in d = {d}.")
    flip = _signs(*(-1.0 if name == axis else 1.0 for name in "xyz"[:d]))
    name = f"mirror{axis}" + ("2" if d == 2 else "")
    return FiniteGroup(name, Elements.cat([identities(d, (1,)), flip]), generators=flip, labels=["identity", "mirror"])


def inversion() -> FiniteGroup:
    """Two elements: the identity and x -> -x of space."""
    flip = _signs(-1.0, -1.0, -1.0)
    pair = Elements.cat([identities(3, (1,)), flip])
    return FiniteGroup("inversion", pair, generators=flip, labels=["identity", "inversion"])


def octahedral(*, reflections: bool) -> FiniteGroup:
    """The symmetries of the cube: 24 rotations (`oct`), 48 with reflections (`octh`), signed permutation matrices."""
    placed = [torch.eye(3, dtype=torch.float64)[list(places)] for places in permutations(range(3))]
    signs = torch.tensor(list(product((1.0, -1.0), repeat=3)), dtype=torch.float64)
    linear = (signs[:, None, :, None] * torch.stack(placed)).flatten(0, 1)
    turns = linear if reflections else linear[torch.linalg.det(linear) > 0]
    every = Elements(turns, turns.new_zeros(len(turns), 3))
    some = Elements.cat([rotations([90.0], 3, "x"), rotations([90.0], 3), _signs(-1.0, -1.0, -1.0)])
    some = Elements(some.linear.round(), some.translation)[: 3 if reflections else 2]
    return FiniteGroup("octh" if reflections else "oct", every, generators=some)


def _require(name: str, n: int, largest: int) -> None:
    if not 1 <= n <= largest:
        raise GroupError(f"group '{name}': got n = {n}, expected 1 to {largest}.")


def _signs(*signs: float) -> Elements:
    linear = torch.diag(torch.tensor(signs, dtype=torch.float64))[None]
    return Elements(linear, linear.new_zeros(1, len(signs)))


# Labels


def _labels(elements: Elements) -> list[str]:
    """What each element does, in words; a number is added where two read alike."""
    labels: list[str] = []
    for k in range(len(elements)):
        label = _describe(elements[k])
        labels.append(label if label not in labels else f"{label} #{k}")
    return labels


def _describe(g: Elements) -> str:
    """`90`, `mirror 40` (a reflection as diag(-1, 1) after a turn), `120 about (1,1,1)`, `inverted ...`, `[1 0 2]`."""
    parts = []
    mirrored = float(g.determinant) < 0
    if g.d == 2:
        turn = torch.diag(g.linear.new_tensor([-1.0, 1.0])) @ g.linear if mirrored else g.linear
        angle = float(torch.rad2deg(torch.atan2(turn[1, 0], turn[0, 0]))) % 360.0
        parts.append(f"{'mirror ' if mirrored else ''}{round(angle, 4) % 360.0:g}")
    elif g.d == 3:
        vector = Rotation.from_matrix((-g.linear if mirrored else g.linear).numpy()).as_rotvec()
        angle = float(np.rad2deg(np.linalg.norm(vector)))
        if angle < _APART:
            parts.append("inversion" if mirrored else "identity")
        else:
            turn_label = f"{round(angle, 4):g} about {_direction(vector, half=abs(angle - 180.0) < 1e-4)}"
            parts.append(f"inverted {turn_label}" if mirrored else turn_label)
    if g.permutation is not None and (bool(g.permutes) or not parts):
        parts.append("[" + " ".join(str(place) for place in g.permutation.tolist()) + "]")
    return " ".join(parts)


def _direction(vector: np.ndarray, *, half: bool) -> str:
    """An axis as small whole numbers where it has such, else to three digits; half turns have no sign."""
    scaled = vector / np.abs(vector).max()
    if half and scaled[np.abs(scaled) > _APART][0] < 0:
        scaled = -scaled
    whole = [Fraction(float(x)).limit_denominator(3) for x in scaled]
    if np.allclose([float(x) for x in whole], scaled, atol=_APART):
        common = int(np.lcm.reduce([x.denominator for x in whole]))
        return "(" + ",".join(str(int(x * common)) for x in whole) + ")"
    return "(" + ",".join(f"{x:.3g}" for x in scaled) + ")"
