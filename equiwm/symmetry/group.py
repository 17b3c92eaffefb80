"""Groups as values: what any group can be asked.

A group of one's own is a subclass of `Group` with a name, a dimension, `sample` and `contains`; everything else has a
default, and `check_group` (`equiwm.symmetry.laws`) refuses one that breaks the laws. Finite groups are made by
`FiniteGroup.generated_by` (`equiwm.symmetry.finite`), groups about an axis of space by `about`, products by `A * B`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.bins import OrbitBin
from equiwm.symmetry.coverage import Arc, Coverage, Shell
from equiwm.symmetry.elements import (
    Elements,
    Seed,
    identities,
    rotations,
)
from equiwm.symmetry.generators import Generators, discrete

TOLERANCE = 1e-9
"""How far a matrix may be from orthogonal, or from an element, to count as one."""
CIRCLE, DRAWS = 36, 64
"""Bins of a sweep unless it is said otherwise: angles of a circle, random elements."""

_PROBES = 16


class Group(ABC):
    """A group of rigid motions of a space, of permutations of an axis of items, or of both.

    A subclass sets `name` and `d` (and `items`) and defines `sample` and `contains`.

    Attributes:
        name: lower-case name, as the command line takes it (`so2`, `c5z`).
        d: dimension of the space it acts on; 0 where it only permutes.
        items: number of items it permutes; 0 for none.
    """

    name: str
    d: int
    items: int = 0

    @abstractmethod
    def sample(self, n: int, seed: Seed, *, sigma: float = 1.0) -> Elements:
        """`n` elements, batch shape (n,): spread over the whole group, by the Haar measure where it is compact.

        Args:
            n: how many.
            seed: a seed, or a generator that is drawn from.
            sigma: standard deviation of every coordinate of the translations, where the group has them.
        """

    @abstractmethod
    def contains(self, g: Elements) -> Tensor:
        """Which elements are in the group (to 1e-9), bool of shape g.shape."""

    @staticmethod
    def parse(name: str) -> Group:
        """The group of that name, in any case and with or without brackets: `so2`, `SO(2)`, `c5z`, `so3*s5`.

        The names stand in `equiwm.symmetry.named`, which knows every family of groups.

        Raises:
            GroupError: no such group.
        """
        # By name, here and below: the families are subclasses of this class, and their modules import this one.
        group: Group = importlib.import_module("equiwm.symmetry.named").parse_group(name)
        return group

    def about(self, axis: str | Sequence[float] = "z") -> Group:
        """A group of the plane laid about an axis of space, as `equiwm.symmetry.about` says: `SO2.about("z")`.

        Args:
            axis: x, y, z or a direction of three numbers.

        Raises:
            GroupError: a group that is not of the plane, or no axis.
        """
        group: Group = importlib.import_module("equiwm.symmetry.about").about(self, axis)
        return group

    def __mul__(self, other: Group) -> Group:
        """The product of two groups, as `equiwm.symmetry.product_group` says: `SO3 * Group.parse("s5")`.

        Raises:
            GroupError: groups that have none.
        """
        group: Group = importlib.import_module("equiwm.symmetry.product_group").product(self, other)
        return group

    def __str__(self) -> str:
        return self.name

    # What it is

    @property
    def order(self) -> int | None:
        """How many elements it has; None where they are infinitely many."""
        return None

    @property
    def is_finite(self) -> bool:
        """Whether it has finitely many elements."""
        return self.order is not None

    @property
    def generators(self) -> Generators:
        """What generates it. By default elements that are drawn, which generate a dense part of it."""
        return discrete(self.sample(_PROBES, 0))

    @property
    def reflections(self) -> bool:
        """Whether some R has determinant -1."""
        return bool((self._probes().determinant < 0).any())

    @property
    def translations(self) -> bool:
        """Whether some t is not zero."""
        return bool(self._probes().moves.any())

    @property
    def spatial(self) -> Group:
        """What of it moves space: of a direct product with permutations that factor, else itself."""
        return self

    def _probes(self) -> Elements:
        """Elements that a group has to contain, if this one is to be a subgroup: generators, flows and draws."""
        parts = [self.generators.elements(), self.sample(_PROBES, 0)]
        return Elements.cat([part.acting_on(self.d, self.items) for part in parts])

    def __contains__(self, other: object) -> bool:
        """Whether `other` is a subgroup: `SO2 in SE2`.

        Answered by elements: the generators of `other`, elements of its one-parameter subgroups and elements drawn
        from it, translations among them, all have to be in this group.
        """
        if not isinstance(other, Group) or other.d not in (0, self.d) or other.items not in (0, self.items):
            return False
        if other is self:
            return True
        return bool(self.contains(other._probes().acting_on(self.d, self.items)).all())

    # Elements

    def elements(
        self, linear: Tensor, translation: Tensor | None = None, permutation: Tensor | None = None
    ) -> Elements:
        """Elements from matrices (..., d, d) and, if the group has them, translations (..., d), permutations (..., n).

        Raises:
            GroupError: a shape that does not fit, a matrix that is not orthogonal to 1e-9, or what is not in the group.
        """
        linear = linear.to(torch.float64)
        if linear.shape[-2:] != (self.d, self.d):
            raise GroupError(f"{self} has {self.d} x {self.d} matrices; got shape {tuple(linear.shape)}.")
        identity = torch.eye(self.d, dtype=torch.float64)
        if not torch.allclose(linear.mT @ linear, identity.expand_as(linear), rtol=0, atol=TOLERANCE):
            raise GroupError(f"not an element of {self}: the matrix is not orthogonal to 1e-9 (build it in float64).")
        if translation is None:
            translation = torch.zeros(linear.shape[:-1], dtype=torch.float64)
        if permutation is not None and permutation.shape[-1] != self.items:
            raise GroupError(f"{self} permutes {self.items} items; got a permutation of {permutation.shape[-1]}.")
        g = Elements(linear, translation.to(torch.float64).expand(linear.shape[:-1]), permutation)
        if not bool(self.contains(g).all()):
            raise GroupError(f"not an element of {self}: {self._lacks(g)}.")
        return g

    def _lacks(self, g: Elements) -> str:
        """Why some of the elements are not in the group, in a few words."""
        if not self.reflections and bool((g.determinant < 0).any()):
            return "the matrix reflects (determinant -1)"
        if not self.translations and bool(g.moves.any()):
            return "it has no translations"
        return "it is not one of its elements"

    def identity(self, *shape: int) -> Elements:
        """The identity element, repeated over a batch shape."""
        return identities(self.d, shape, self.items)

    def rotation(self, angles_deg: float | np.ndarray | Sequence[float] | Tensor, axis: str | None = None) -> Elements:
        """Rotations by `angles_deg` (degrees): of the plane, or about the `axis` x, y or z (the default) of space.

        Raises:
            GroupError: they are not in the group.
        """
        return self.elements(rotations(angles_deg, self.d, axis or "z").linear)

    def wedge(self, n: int, seed: Seed, *, low: float, high: float) -> Elements:
        """`n` rotations by an angle uniform in [low, high) degrees, as `Arc` draws them.

        Raises:
            GroupError: not low < high <= low + 360, or rotations that are not in the group.
        """
        return self.elements(Arc(low, high, self.d).sample(n, seed).linear)

    def ball(self, n: int, seed: Seed, *, outer: float, inner: float = 0.0) -> Elements:
        """`n` rotations by a geodesic angle in [inner, outer] degrees, as `Shell` draws them.

        Raises:
            GroupError: not 0 <= inner < outer <= 180, or rotations that are not in the group.
        """
        return self.elements(Shell(inner, outer, self.d).sample(n, seed).linear)

    def orbit(self, n: int, seed: Seed = 0, *, sigma: float = 1.0) -> Elements:
        """`n` elements that spread over the group, the identity first; the others are drawn from `seed`."""
        return Elements.cat([self.identity(1), self.sample(n, seed, sigma=sigma)[1:]])

    def cosets(self, n: int, seed: Seed, *, sigma: float = 1.0) -> dict[str, Elements]:
        """Elements that do one thing at a time, by what they do: what an audit tells apart.

        Of each of `n` drawn elements (R, t, p) the parts (R, 0, 1), (1, t, 1) and (1, 0, p) are kept where they are
        in the group and do something: `rotation` or `reflection` (by the determinant of R), `translation`,
        `permutation`. Where a part is not in the group alone, as in a mirror that exchanges legs, it stays together
        with what it needs: (R, 0, p), (R, t, 1) or the whole element, `reflection and permutation`.

        Returns:
            Non-empty batches by name, parts alone first.
        """
        g = self.sample(n, seed, sigma=sigma).acting_on(self.d, self.items)
        e = self.identity(n)
        turn, move, exchange = (
            Elements(g.linear, e.translation, e.permutation),
            Elements(e.linear, g.translation, e.permutation),
            Elements(e.linear, e.translation, g.permutation),
        )
        left = torch.zeros(n, dtype=torch.bool)
        found: dict[str, list[Elements]] = {}
        for part, does in ((turn, g.turns), (move, g.moves), (exchange, g.permutes)):
            inside = self.contains(part)
            left |= does & ~inside
            for k in torch.nonzero(does & inside).flatten().tolist():
                found.setdefault(part[k].motion, []).append(part[k : k + 1])
        for k in torch.nonzero(left).flatten().tolist():
            joint = (turn[k] @ exchange[k], Elements(g.linear[k], g.translation[k], e[k].permutation))
            whole = next((part for part in joint if bool(self.contains(part))), g[k])
            found.setdefault(whole.motion, []).append(whole[None])
        return {
            name: Elements.cat(parts) for name, parts in sorted(found.items(), key=lambda entry: " and " in entry[0])
        }

    # The bins of a sweep

    def bins(self, n: int | None, seed: Seed, coverage: Coverage) -> list[OrbitBin]:
        """The bins of a sweep, the identity first: the group's named elements, then `n` drawn ones if it has too many.

        Args:
            n: angles of a circle, or elements that are drawn; None is 36 angles, or 64 elements (36 in the plane).
            seed: of the drawn ones.
            coverage: what training has seen.
        """
        n = n or (CIRCLE if self.d == 2 or not self.draws else DRAWS)
        named = [OrbitBin.of(element, label, coverage) for label, element in self.named(n, seed)]
        if not self.draws:
            return named
        drawn = self.sample(n, seed)
        return named + [OrbitBin.of(drawn[k], f"random {k + 1}", coverage, drawn=True) for k in range(n)]

    @property
    def draws(self) -> bool:
        """Whether its bins hold random elements after the named ones: they do not cover it."""
        return True

    def named(self, n: int, seed: Seed) -> list[tuple[str, Elements]]:
        """The elements that every sweep has a bin for, with their labels, the identity first."""
        return [("identity", self.identity())]
