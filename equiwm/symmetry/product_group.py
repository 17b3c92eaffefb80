"""Products of groups: of one that moves space and one that permutes items, or of two of the same space."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.elements import Elements, Seed, drawing
from equiwm.symmetry.finite import FiniteGroup
from equiwm.symmetry.generators import Generators
from equiwm.symmetry.group import Group

_PROBES = 32


def product(left: Group, right: Group) -> Group:
    """A * B.

    Where A moves space and B permutes items (`so3*s5`) it is the direct product: (R, t, p) with (R, t) in A and p in
    B. Where both act on the same space it is the set of all a b, and one of them has to be finite: `so2z*mirrorz`. If
    both are finite, it is the group that both generate.

    Raises:
        GroupError: two spaces of different dimension, two infinite groups of one space, or a set that is no group.
    """
    name = f"{left.name}*{right.name}"
    if left.d and right.d and left.d != right.d:
        raise GroupError(f"{name}: one acts on d = {left.d}, the other on d = {right.d}.")
    if left.items and right.items:
        raise GroupError(f"{name}: both permute items; elements permute one axis.")
    if not left.d or not right.d:
        return DirectProduct(left, right)
    if isinstance(left, FiniteGroup) and isinstance(right, FiniteGroup):
        return _generated(name, left, right)
    if isinstance(left, FiniteGroup) or isinstance(right, FiniteGroup):
        return SetProduct(left, right)
    raise GroupError(f"{name}: of two groups of the same space one has to be finite.")


def _generated(name: str, left: FiniteGroup, right: FiniteGroup) -> FiniteGroup:
    items = max(left.items, right.items)
    both = Elements.cat([group.generators.discrete.acting_on(left.d, items) for group in (left, right)])
    permutations = None if both.permutation is None else both.permutation.tolist()
    if not len(both):
        return FiniteGroup(name, left.all_elements)
    return FiniteGroup.generated_by(both.linear, permutations=permutations, name=name)


class _Product(Group):
    """All a b with a in the left group and b in the right one."""

    def __init__(self, left: Group, right: Group) -> None:
        self.name = f"{left.name}*{right.name}"
        self.left, self.right = left, right
        self.d, self.items = max(left.d, right.d), max(left.items, right.items)

    def __str__(self) -> str:
        return f"{self.left}*{self.right}"

    def _of(self, a: Elements, b: Elements) -> Elements:
        return a.acting_on(self.d, self.items) @ b.acting_on(self.d, self.items)

    @property
    def generators(self) -> Generators:
        """Those of both."""
        parts = [self.left.generators, self.right.generators]
        discrete = Elements.cat([part.discrete.acting_on(self.d, self.items) for part in parts])
        moving = [part for part in parts if part.dimension]
        none = torch.zeros(0, self.d, self.d, dtype=torch.float64)
        return Generators(
            discrete,
            tuple(name for part in moving for name in part.names),
            torch.cat([none, *(part.linear for part in moving)]),
            torch.cat([none[..., 0], *(part.translation for part in moving)]),
        )

    def sample(self, n: int, seed: Seed, *, sigma: float = 1.0) -> Elements:
        """`n` elements a b, a and b drawn one after the other from one stream."""
        rng = drawing(n, seed)
        return self._of(self.left.sample(n, rng, sigma=sigma), self.right.sample(n, rng, sigma=sigma))

    def named(self, n: int, seed: Seed) -> list[tuple[str, Elements]]:
        """The named elements of the left group, then those of the right one but the identity."""
        left, right = (group.named(n, seed) for group in (self.left, self.right))
        entries = [*left, *((f"{self.right.name} {label}", g) for label, g in right[1:])]
        return [(label, g.acting_on(self.d, self.items)) for label, g in entries]


class DirectProduct(_Product):
    """A group of a space and a group of permutations of items, each acting by itself; see `product`."""

    @property
    def order(self) -> int | None:
        """The product of both orders."""
        left, right = self.left.order, self.right.order
        return None if left is None or right is None else left * right

    @property
    def spatial(self) -> Group:
        """The factor that moves space; itself where both permute."""
        return self.left if self.left.d else self.right if self.right.d else self

    def contains(self, g: Elements) -> Tensor:
        if g.d != self.d or g.items not in (0, self.items):
            return torch.zeros(g.shape, dtype=torch.bool)
        g = g.acting_on(self.d, self.items)
        empty = g.linear[..., :0, :0], g.translation[..., :0]
        spatial, permuting = Elements(g.linear, g.translation), Elements(*empty, g.permutation)
        parts = [(group, spatial if group.d else permuting) for group in (self.left, self.right)]
        return parts[0][0].contains(parts[0][1]) & parts[1][0].contains(parts[1][1])


class SetProduct(_Product):
    """All a b of two groups of the same space, one of them finite; see `product`.

    Raises:
        GroupError: the set is no group.
    """

    def __init__(self, left: Group, right: Group) -> None:
        super().__init__(left, right)
        g, h = self.sample(_PROBES, 0), self.sample(_PROBES, 1)
        if not bool(self.contains(g @ h).all()):
            raise GroupError(f"{self.name} is no group: some products of its elements are none of its elements.")

    def contains(self, g: Elements) -> Tensor:
        wide = g.acting_on(self.d, self.items)[..., None]
        if isinstance(self.right, FiniteGroup):
            listed = self.right.all_elements.acting_on(self.d, self.items)
            return self.left.contains(wide @ listed.inverse()).any(-1)
        assert isinstance(self.left, FiniteGroup)
        listed = self.left.all_elements.acting_on(self.d, self.items)
        return self.right.contains(listed.inverse() @ wide).any(-1)
