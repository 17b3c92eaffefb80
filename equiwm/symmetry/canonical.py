"""Finite sets of group elements that turn with an input: what an average over has to be exact.

A rule gives to every input x a finite set F(x) of elements with F(g x) = g F(x). The average over F(x) of
rho(h) f(h^-1 x) is then equivariant, whatever f is (Puny et al. 2022). Of a finite group F is the group. Of rotations
it is read off the principal axes of the vectors of x, with all signs that the group allows. Translations are not
here: they are taken off with a centroid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.about import AboutAxis
from equiwm.symmetry.elements import Elements, identities
from equiwm.symmetry.finite import LARGEST, FiniteGroup, cyclic, dihedral, octahedral
from equiwm.symmetry.frames import principal_axes, sign_choices
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import EuclideanGroup
from equiwm.symmetry.permutations import SymmetricGroup
from equiwm.symmetry.product_group import DirectProduct, SetProduct, product

POLYGON = 8
"""Of the circle the default subgroup is C_8, with reflections D_8."""
_PROBES = 16


@dataclass(frozen=True)
class FrameRule:
    """A finite set of elements for every input.

    Attributes:
        count: how many elements.
        reads: whether they depend on the input.
        frames: from second moments (B, d, d) of the input's vectors to elements (B, count), without translations, and
            the relative gap (B,) of the axes; infinite where none are read.
    """

    count: int
    reads: bool
    frames: Callable[[Tensor], tuple[Elements, Tensor]]


def frame_rule(group: Group) -> FrameRule:
    """The rule of a group: principal axes of what turns, all elements of what is finite.

    Raises:
        GroupError: a group of which none is known.
    """
    if isinstance(group, EuclideanGroup):
        return _principal(group)
    if isinstance(group, AboutAxis):
        return _about(group)
    if isinstance(group, DirectProduct):
        return _direct(group)
    if isinstance(group, SetProduct):
        return _joined(group)
    if group.is_finite:
        return listed_rule(listed(group))
    raise GroupError(f"{group}: no frames are known for it; use how='average' with a finite subgroup of it.")


def listed_rule(elements: Elements) -> FrameRule:
    """The rule that gives the same elements to every input."""

    def frames(moments: Tensor) -> tuple[Elements, Tensor]:
        n = len(moments)
        none = torch.full((n,), torch.inf, dtype=torch.float64)
        return elements[torch.arange(len(elements)).expand(n, -1)], none

    return FrameRule(len(elements), False, frames)


def listed(group: Group) -> Elements:
    """All elements of a finite group, batch shape (order,).

    Raises:
        GroupError: a group that is not finite, has more than 1024 elements, or does not say which they are.
    """
    order = group.order
    if order is None or order > LARGEST:
        has = "infinitely many" if order is None else f"{order:,}"
        raise GroupError(f"{group} has {has} elements, of which at most {LARGEST} are averaged over; name a subgroup.")
    if isinstance(group, FiniteGroup):
        return group.all_elements
    if isinstance(group, SymmetricGroup):
        places = torch.tensor(list(permutations(range(group.items))), dtype=torch.long)
        still = identities(0, (len(places),))
        return Elements(still.linear, still.translation, places)
    if isinstance(group, DirectProduct):
        return _pairs(listed(group.left), listed(group.right), group)
    raise GroupError(f"{group} does not list its elements; make it with FiniteGroup.generated_by.")


def finite_part(group: Group) -> Group:
    """A finite subgroup to average over, of the group without its translations; the group itself where it is finite.

    C_8 or D_8 of the circle, the symmetries of the cube of space.

    Raises:
        GroupError: a group of which none is known.
    """
    if group.is_finite:
        return group
    if isinstance(group, EuclideanGroup):
        if group.d == 3:
            return octahedral(reflections=group.reflections)
        return dihedral(POLYGON) if group.reflections else cyclic(POLYGON)
    if isinstance(group, AboutAxis):
        planar = finite_part(group.planar)
        some = planar.generators.discrete
        name = group.name.replace(group.planar.name, planar.name, 1)
        return FiniteGroup(name, group.laid(listed(planar)), generators=group.laid(some))
    if isinstance(group, DirectProduct | SetProduct):
        return product(finite_part(group.left), finite_part(group.right))
    raise GroupError(f"{group}: no finite subgroup of it is known; name one: subgroup=FiniteGroup.generated_by(...).")


def shifts_of(group: Group) -> Tensor:
    """The projection (d, d) on the directions in which the group translates."""
    flows = group.generators
    pure = flows.translation[(flows.linear == 0).flatten(1).all(1)] if len(flows.linear) else flows.translation
    if not len(pure):
        return torch.zeros(group.d, group.d, dtype=torch.float64)
    return torch.linalg.pinv(pure) @ pure


def _principal(group: EuclideanGroup) -> FrameRule:
    signs = sign_choices(group.d, reflections=group.reflections)

    def frames(moments: Tensor) -> tuple[Elements, Tensor]:
        axes, gaps = principal_axes(moments)
        linear = axes[:, None] * signs[:, None, :]
        return Elements(linear, linear.new_zeros(linear.shape[:-1])), gaps

    return FrameRule(len(signs), True, frames)


def _about(group: AboutAxis) -> FrameRule:
    planar = frame_rule(group.planar)

    def frames(moments: Tensor) -> tuple[Elements, Tensor]:
        flat = (group.frame.mT @ moments @ group.frame)[:, :2, :2]
        found, gaps = planar.frames(flat)
        return group.laid(found), gaps

    return FrameRule(planar.count, planar.reads, frames)


def _direct(group: DirectProduct) -> FrameRule:
    left, right = frame_rule(group.left), frame_rule(group.right)

    def frames(moments: Tensor) -> tuple[Elements, Tensor]:
        (a, near), (b, other) = left.frames(moments), right.frames(moments)
        return _pairs(a, b, group), torch.minimum(near, other)

    return FrameRule(left.count * right.count, left.reads or right.reads, frames)


def _pairs(a: Elements, b: Elements, group: Group) -> Elements:
    """All products, (..., n) and (..., m) -> (..., n m)."""
    a, b = (part.acting_on(group.d, group.items) for part in (a, b))
    return _flat(a[..., :, None] @ b[..., None, :])


def _flat(g: Elements) -> Elements:
    """The last two axes of a batch shape as one."""
    k = len(g.shape) - 2
    permutation = None if g.permutation is None else g.permutation.flatten(k, k + 1)
    return Elements(g.linear.flatten(k, k + 1), g.translation.flatten(k, k + 1), permutation)


def _joined(group: SetProduct) -> FrameRule:
    """Of A H, A normal and H finite: {h a : h in H, a in F_A(h^-1 x)}, which g turns as it has to."""
    infinite, finite = (group.left, group.right) if group.right.is_finite else (group.right, group.left)
    rule, some = frame_rule(infinite), listed(finite).acting_on(group.d, group.items)
    drawn = infinite.sample(_PROBES, 0).acting_on(group.d, group.items)
    if not bool(infinite.contains(some[:, None] @ drawn[None] @ some.inverse()[:, None]).all()):
        raise GroupError(f"{group}: no frames are known for it, since {infinite} is not normal in it; average instead.")

    def frames(moments: Tensor) -> tuple[Elements, Tensor]:
        parts, gaps = [], []
        for k in range(len(some)):
            turned = some.linear[k].mT @ moments @ some.linear[k]
            found, near = rule.frames(turned)
            parts.append(some[k] @ found.acting_on(group.d, group.items))
            gaps.append(near)
        permutations = [part.permutation for part in parts if part.permutation is not None]
        joined = Elements(
            torch.cat([part.linear for part in parts], 1),
            torch.cat([part.translation for part in parts], 1),
            torch.cat(permutations, 1) if permutations else None,
        )
        return joined, torch.stack(gaps).amin(0)

    return FrameRule(len(some) * rule.count, rule.reads, frames)
