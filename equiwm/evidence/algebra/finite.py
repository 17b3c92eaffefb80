"""Finite symmetries by search: turns by a part of a circle, mirrors, inversion, signs, exchanges, reversal of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from equiwm.evidence.algebra.family import AXES, Block, Family
from equiwm.evidence.algebra.maps import Leaf, Map
from equiwm.evidence.algebra.verify import Affine, Comparison
from equiwm.symmetry.elements import Elements, rotations
from equiwm.symmetry.kinds import VECTOR

_PARTS = (12, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""n of the turns by 360 / n that are tried, the finest first."""
_MOST_SIGNED = 8
"""Blocks whose signs are tried in all combinations; of more, one by one and all together."""
_MOST_CHANNELS = 64
"""Channels whose exchanges are tried."""
_FIRST = 2
"""Samples at which a candidate is tried first."""
_MOVES = 1e-6
"""What moves the inputs by less than this, relative to their spread, is not seen."""


def finite_symmetries(leaves: Map, family: Family, compare: Comparison, continuous: list[str]) -> list[str]:
    """Names of the finite symmetries that hold at every sample.

    Args:
        leaves: the map.
        family: its columns.
        compare: the map at its points.
        continuous: names of the continuous ones, which contain some of these.
    """
    few = _few(compare)

    def holds(inputs: list[Affine], outputs: list[Affine]) -> bool:
        quick = few.held(inputs, outputs)
        if quick.moved <= _MOVES or not quick.holds:
            return False
        return compare.held(inputs, outputs).holds

    found: list[str] = []
    if family.d in (2, 3) and all(leaf.rep is not None for leaf in (*leaves.inputs, *leaves.outputs)):
        found += _declared(leaves, holds)
        found += _turns(leaves, holds, continuous, _centre(leaves, family, continuous))
    found += _signs(leaves, family, holds, continuous)
    found += _exchanges(leaves, holds)
    found += _reversal(leaves, compare)
    return list(dict.fromkeys(found))


def _declared(leaves: Map, holds: Callable[[list[Affine], list[Affine]], bool]) -> Iterator[str]:
    """The group that a world or probe says it has, where it is finite: whatever its axes, it is tried."""
    group = leaves.group
    if group is None or not group.is_finite:
        return
    every = group.generators.discrete
    for k in range(len(every)):
        g = every[k]
        if not holds([_matrix(leaf, g) for leaf in leaves.inputs], [_matrix(leaf, g) for leaf in leaves.outputs]):
            return
    yield f"the declared group {group}"


def _few(compare: Comparison) -> Comparison:
    """The same at a few samples: most candidates fail there."""
    if not compare.built.separate:
        return replace(
            compare,
            built=compare.built.at(compare.built.points[:1]),
            answers=compare.answers[:1],
            bounds=compare.bounds[:1],
        )
    points = [tuple(x[:_FIRST] for x in compare.built.points[0])]
    answers = [tuple(x[:_FIRST] for x in compare.answers[0])]
    return replace(compare, built=compare.built.at(points), answers=answers, bounds=[compare.bounds[0][:_FIRST]])


def _centre(leaves: Map, family: Family, continuous: list[str]) -> list[Tensor]:
    """Where mirrors and turns may be centred: anywhere if translations are symmetries, else the origin or the mean."""
    origin = torch.zeros(family.d, dtype=torch.float64)
    points = [leaf for leaf in leaves.inputs if leaf.rep is not None and leaf.rep.has_points]
    if not points or sum(name.startswith("translation") for name in continuous) >= family.d:
        return [origin]
    return [origin, family.centres[points[0].name]]


def _turns(
    leaves: Map, holds: Callable[[list[Affine], list[Affine]], bool], continuous: list[str], centres: list[Tensor]
) -> Iterator[str]:
    d = leaves.inputs[0].rep.d  # type: ignore[union-attr]
    turning = [name for name in continuous if name.startswith("rotation") and "alone" not in name]
    for centre in centres:
        where = "" if not bool(centre.any()) else f" through ({', '.join(f'{float(c):.3g}' for c in centre)})"

        def works(linear: Tensor, centre: Tensor = centre) -> bool:
            g = Elements(linear, centre - linear @ centre)
            return holds([_matrix(leaf, g) for leaf in leaves.inputs], [_matrix(leaf, g) for leaf in leaves.outputs])

        for axis in AXES[:3] if d == 3 else "z":
            if any(d == 2 or f"about {axis}" in name for name in turning):
                continue
            for n in _PARTS:
                if works(rotations(360.0 / n, d, axis).linear):
                    yield (f"C{n} about {axis}" if d == 3 else f"C{n}") + where
                    break
        for name, normal in _normals(d, single=len(turning) >= d * (d - 1) // 2):
            if works(torch.eye(d, dtype=torch.float64) - 2 * torch.outer(normal, normal)):
                yield f"mirror {name}{where}"
        if d == 3 and works(-torch.eye(3, dtype=torch.float64)):
            yield f"inversion{where}"


def _normals(d: int, *, single: bool) -> list[tuple[str, Tensor]]:
    """Mirrors by their normals: the axes and the diagonals between them; one where all are turned into each other."""
    eye = torch.eye(d, dtype=torch.float64)
    found = [(AXES[k], eye[k]) for k in range(d)]
    if single:
        return found[:1]
    for i in range(d):
        for j in range(i + 1, d):
            found.append((f"{AXES[i]}+{AXES[j]}", (eye[i] + eye[j]) / 2**0.5))
            found.append((f"{AXES[i]}-{AXES[j]}", (eye[i] - eye[j]) / 2**0.5))
    return found


def _matrix(leaf: Leaf, g: Elements) -> Affine:
    assert leaf.rep is not None
    linear = leaf.rep.matrix(g)
    return linear, leaf.rep.transform(torch.zeros(leaf.dim, dtype=torch.float64), g)


def _signs(
    leaves: Map, family: Family, holds: Callable[[list[Affine], list[Affine]], bool], continuous: list[str]
) -> Iterator[str]:
    """Signs of blocks changed, alone and together; with the sign of the successor where one is tied."""
    inputs = [(0, k, block) for k, blocks in enumerate(family.input_blocks) for block in blocks]
    outputs = [
        (1, k, block)
        for k, blocks in enumerate(family.output_blocks)
        for block in blocks
        if not (leaves.tied and k == 0)
    ]
    places = [*inputs, *outputs]
    if len(places) <= _MOST_SIGNED:
        choices = [signs for signs in product((False, True), repeat=len(places)) if any(signs[: len(inputs)])]
    else:
        choices = [tuple(k == at for k in range(len(places))) for at in range(len(inputs))]
        choices += [(True,) * len(places), (*(True,) * len(inputs), *(False,) * len(outputs))]
    planar = family.d == 2 and any(name.startswith("rotation") for name in continuous)
    for signs in choices:
        flipped = [place for place, sign in zip(places, signs, strict=True) if sign]
        everything = all(sign or not _turned(block) for (_, _, block), sign in zip(places, signs, strict=True))
        if everything and planar:
            continue  # half a turn
        if holds(*(_signed(leaves, side, flipped) for side in (0, 1))):
            yield f"sign of {', '.join(block.name for _, _, block in flipped)}"


def _turned(block: Block) -> bool:
    return block.kind is not None and block.kind.structured


def _signed(leaves: Map, side: int, flipped: list[tuple[int, int, Block]]) -> list[Affine]:
    made = []
    for k, leaf in enumerate(leaves.outputs if side else leaves.inputs):
        signs = torch.ones(leaf.dim, dtype=torch.float64)
        for where, number, block in flipped:
            if (where, number) == (side, k) or (leaves.tied and side == 1 and k == 0 and (where, number) == (0, 0)):
                signs[block.entries] = -1.0
        made.append((torch.diag(signs), torch.zeros(leaf.dim, dtype=torch.float64)))
    return made


def _exchanges(leaves: Map, holds: Callable[[list[Affine], list[Affine]], bool]) -> Iterator[str]:
    """Channels that may be exchanged, in one term or in several terms of equal length at once."""
    for k, leaf in enumerate(leaves.inputs):
        if leaf.rep is None:
            terms = [(0, leaf.dim, 1)]
        else:
            terms, at = [], 0
            for count, kind in leaf.rep.terms:
                terms.append((at, count, kind.dim(leaf.rep.d)))
                at += count * kind.dim(leaf.rep.d)
        sets = [[term] for term in terms]
        together = [term for term in terms if term[1] == terms[0][1]]
        sets += [together] if len(together) > 1 else []
        for chosen in sets:
            count = chosen[0][1]
            if not 1 < count <= _MOST_CHANNELS:
                continue
            classes: list[list[int]] = []
            for item in range(count):
                for members in classes:
                    if _exchangeable(leaves, holds, k, chosen, members[0], item):
                        members.append(item)
                        break
                else:
                    classes.append([item])
            for members in classes:
                if len(members) > 1:
                    terms_ = (
                        ""
                        if len(sets) == 1
                        else f" (term{'s' if len(chosen) > 1 else ''} "
                        + ", ".join(str(terms.index(term)) for term in chosen)
                        + ")"
                    )
                    yield f"exchange of {leaf.name} channels {_listed(members)}{terms_}"


def _listed(members: list[int]) -> str:
    if len(members) > 2 and members == list(range(members[0], members[-1] + 1)):
        return f"{members[0]} to {members[-1]}"
    return ", ".join(map(str, members))


def _exchangeable(
    leaves: Map,
    holds: Callable[[list[Affine], list[Affine]], bool],
    which: int,
    terms: list[tuple[int, int, int]],
    one: int,
    other: int,
) -> bool:
    """Whether two channels of an input may be exchanged: with the successor's, or with those of outputs that have as
    many, or with outputs as they are."""
    leaf = leaves.inputs[which]
    order = list(range(leaf.dim))
    for at, _, width in terms:
        first, second = (slice(at + item * width, at + (item + 1) * width) for item in (one, other))
        order[first], order[second] = order[second], order[first]
    inputs = [
        (
            torch.eye(x.dim, dtype=torch.float64)[order if k == which else list(range(x.dim))],
            torch.zeros(x.dim, dtype=torch.float64),
        )
        for k, x in enumerate(leaves.inputs)
    ]

    def outputs(permute: bool) -> list[Affine]:
        made = []
        for k, x in enumerate(leaves.outputs):
            tied = leaves.tied and k == 0 and which == 0
            rows = order if tied or (permute and x.rep == leaf.rep and x.dim == leaf.dim) else list(range(x.dim))
            made.append((torch.eye(x.dim, dtype=torch.float64)[rows], torch.zeros(x.dim, dtype=torch.float64)))
        return made

    return holds(inputs, outputs(True)) or (not leaves.tied and holds(inputs, outputs(False)))


def _reversal(leaves: Map, compare: Comparison) -> Iterator[str]:
    """Of a world of points and velocities: with velocities reversed it runs back."""
    leaf = leaves.inputs[0]
    if not leaves.tied or leaf.rep is None or not leaf.rep.has_points:
        return
    signs, at, vectors = torch.ones(leaf.dim, dtype=torch.float64), 0, False
    for count, kind in leaf.rep.terms:
        width = count * kind.dim(leaf.rep.d)
        if kind == VECTOR:
            signs[at : at + width] = -1.0
            vectors = True
        at += width
    if vectors and compare.back((torch.diag(signs), torch.zeros(leaf.dim, dtype=torch.float64))).holds:
        yield "reversal of time (vectors of the state reversed)"
