"""Which groups that have a name are among the motions that were found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from equiwm.errors import GroupError, RepError
from equiwm.evidence.algebra.exchanges import listed
from equiwm.evidence.algebra.family import AXES
from equiwm.evidence.algebra.result import DiscoverResult, GeneratorResult
from equiwm.symmetry.elements import Elements, rotations
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep

_SPANNED = 1e-6
"""How far a motion of one leaf may be, relative to it, from the span of others and still be in it. An action may turn
by a matrix of its own: where that is the group's but for a thousandth, the world is that far from the group."""
_STEP = 1e-4
_MIRROR = re.compile(r"mirror ([xyz])(?:([+-])([xyz]))?")
_TURN = re.compile(r"C(\d+)(?: about ([xyz]))?")
_EXCHANGE = re.compile(r"exchange of items (.+) of (\d+)")

Reps = Mapping[str, Rep]
"""Leaf of the result -> how the space acts on it."""


def named_groups(result: DiscoverResult, reps: Reps, d: int) -> list[Group]:
    """The Euclidean groups of the space, and those about one of its axes, that were found; the largest first.

    Each of its infinitesimal motions has to be a combination of generators that were found and, if it reflects, one
    of its reflections has to be among the finite symmetries. All are about the origin. Where all items of a set may be
    exchanged, the groups with these exchanges come first (`se2*s8`).

    Args:
        result: what `discover` found, at least one generator.
        reps: of the leaves of its generators.
        d: 2 or 3.
    """
    names = [f"{letter}{d}" for letter in ("e", "se", "o", "so")]
    if d == 3:
        names += [f"{letter}2{axis}" for letter in ("e", "se", "o", "so") for axis in "zxy"]
    found = torch.stack([flat_generator(each, reps) for each in result.generators], 1)
    names = [f"{name}*s{count}" for count in _exchanged(result.finite) for name in names] + names
    return [group for group in map(Group.parse, names) if _holds(group, found, reps, result.finite)]


def _exchanged(finite: Sequence[str]) -> Iterator[int]:
    """Numbers of items of sets of which every two may be exchanged."""
    for name in finite:
        found = _EXCHANGE.fullmatch(name)
        if found and found[1] == listed(list(range(int(found[2])))):
            yield int(found[2])


def outside(result: DiscoverResult, group: Group, reps: Reps) -> list[GeneratorResult]:
    """The generators that were found and are no motions of a group."""
    own = _motions(group, reps)
    return [each for each in result.generators if not _in_span(flat_generator(each, reps), own, reps)]


def on_leaf(matrix: Sequence[Sequence[float]], rep: Rep) -> Tensor:
    """A generator's homogeneous matrix on all of a leaf, (dim + 1, dim + 1), where it is said for one channel."""
    given = torch.tensor(matrix, dtype=torch.float64)
    size = len(given) - 1
    if size == rep.dim:
        return given
    whole = torch.zeros(rep.dim + 1, rep.dim + 1, dtype=torch.float64)
    for start in range(0, rep.dim, size):
        whole[start : start + size, start : start + size] = given[:-1, :-1]
        whole[start : start + size, -1] = given[:-1, -1]
    return whole


def flat_generator(each: GeneratorResult, reps: Reps) -> Tensor:
    """A generator on all leaves, as one row of numbers."""
    return torch.cat([on_leaf(each.matrix[name], rep).flatten() for name, rep in reps.items()])


def _holds(group: Group, found: Tensor, reps: Reps, finite: Sequence[str]) -> bool:
    try:
        own = _motions(group, reps)
    except (RepError, GroupError):  # a rep that this group does not act on
        return False
    if not all(_in_span(motion, found, reps) for motion in own.T):
        return False
    reflections = (g for g in _finite(finite, group.d) if float(g.determinant) < 0)
    return not group.reflections or any(bool(group.contains(g)) for g in reflections)


def _in_span(motion: Tensor, found: Tensor, reps: Reps) -> bool:
    """Whether a motion is a sum of others, on every leaf by itself: a leaf of many entries hides none of a few."""
    left = motion - found @ torch.linalg.lstsq(found, motion[:, None], driver="gelsd").solution[:, 0]
    parts = zip(*(x.split([(rep.dim + 1) ** 2 for rep in reps.values()]) for x in (motion, left)), strict=True)
    size = float(motion.norm())
    return size > 0 and all(float(off.norm()) <= _SPANNED * (float(part.norm()) or size) for part, off in parts)


def _motions(group: Group, reps: Reps) -> Tensor:
    """The group's own infinitesimal motions on all leaves, one a column, from its flows a little ahead and back."""
    generators = group.generators
    ahead, back = generators.flow(_STEP), generators.flow(-_STEP)
    columns = []
    for k in range(generators.dimension):
        parts = []
        for rep in reps.values():
            whole, still = torch.zeros(rep.dim + 1, rep.dim + 1, dtype=torch.float64), torch.zeros(rep.dim).double()
            whole[:-1, :-1] = rep.matrix(ahead[k]) - rep.matrix(back[k])
            whole[:-1, -1] = rep.transform(still, ahead[k]) - rep.transform(still, back[k])
            parts.append(whole.flatten() / (2 * _STEP))
        columns.append(torch.cat(parts))
    return torch.stack(columns, 1)


def _finite(names: Sequence[str], d: int) -> Iterator[Elements]:
    """The mirrors, turns and inversion about the origin among finite symmetries, by name."""
    eye = torch.eye(d, dtype=torch.float64)
    for name in names:
        if name == "inversion":
            yield Elements(-eye, eye.new_zeros(d))
        elif mirror := _MIRROR.fullmatch(name):
            normal = eye[AXES.index(mirror[1])]
            if mirror[2]:
                normal = (normal + (1 if mirror[2] == "+" else -1) * eye[AXES.index(mirror[3])]) / 2**0.5
            yield Elements(eye - 2 * torch.outer(normal, normal), eye.new_zeros(d))
        elif turn := _TURN.fullmatch(name):
            yield Elements(rotations(360.0 / int(turn[1]), d, turn[2] or "z").linear, eye.new_zeros(d))
