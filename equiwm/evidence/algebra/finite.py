"""Finite symmetries by search: turns by a part of a circle, mirrors, inversion, signs, exchanges, reversal of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.evidence.algebra.atoms import atoms_of
from equiwm.evidence.algebra.exchanges import exchanged_channels, exchanged_items
from equiwm.evidence.algebra.family import AXES, Block, Family
from equiwm.evidence.algebra.maps import Leaf, Map
from equiwm.evidence.algebra.verify import Affine, Comparison
from equiwm.symmetry.elements import Elements, rotations
from equiwm.symmetry.kinds import VECTOR

_PARTS = (12, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""n of the turns by 360 / n that are tried, the finest first."""
_MOST_SIGNED = 8
"""Blocks whose signs are tried in all combinations; of more, one by one and all together."""
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
        if quick.moved > _MOVES and not quick.holds:
            return False
        whole = compare.held(inputs, outputs)
        return whole.moved > _MOVES and whole.holds

    def acts(g: Elements) -> bool:
        """Whether the map commutes with an element; one that a kind does not know is none of its symmetries."""
        try:
            motions = [[_matrix(leaf, g) for leaf in side] for side in (leaves.inputs, leaves.outputs)]
        except GroupError:
            return False
        return holds(*motions)

    found: list[str] = []
    if family.d in (2, 3) and all(leaf.rep is not None for leaf in (*leaves.inputs, *leaves.outputs)):
        found += _declared(leaves, acts)
        found += _turns(leaves, acts, continuous, _centre(leaves, family, continuous))
        found += exchanged_items(leaves, family.d, acts)
    found += _signs(leaves, family, holds, continuous)
    found += exchanged_channels(leaves, holds)
    found += _reversal(leaves, compare)
    return list(dict.fromkeys(found))


def _declared(leaves: Map, acts: Callable[[Elements], bool]) -> Iterator[str]:
    """The group that a world or probe says it has, where it is finite: whatever its axes, it is tried."""
    group = leaves.group
    if group is None or not group.is_finite:
        return
    every = group.generators.discrete
    if all(acts(every[k]) for k in range(len(every))):
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
    leaves: Map, acts: Callable[[Elements], bool], continuous: list[str], centres: list[Tensor]
) -> Iterator[str]:
    d = leaves.inputs[0].rep.d  # type: ignore[union-attr]
    turning = [name for name in continuous if name.startswith("rotation") and "alone" not in name]
    known: set[str] = set()  # about the origin: about another centre they are no others
    for centre in centres:
        where = "" if not bool(centre.any()) else f" through ({', '.join(f'{float(c):.3g}' for c in centre)})"

        def works(name: str, linear: Tensor, centre: Tensor = centre) -> bool:
            if name in known or not acts(Elements(linear, centre - linear @ centre)):
                return False
            known.add(name)
            return True

        for axis in AXES[:3] if d == 3 else "z":
            about = f" about {axis}" if d == 3 else ""
            if any(d == 2 or about in name for name in turning) or f"turns{about}" in known:
                continue
            for n in _PARTS:
                if works(f"turns{about}", rotations(360.0 / n, d, axis).linear):
                    yield f"C{n}{about}{where}"
                    break
        for name, normal in _normals(d, single=len(turning) >= d * (d - 1) // 2):
            if works(name, torch.eye(d, dtype=torch.float64) - 2 * torch.outer(normal, normal)):
                yield f"mirror {name}{where}"
        if d == 3 and works("inversion", -torch.eye(3, dtype=torch.float64)):
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
    inputs = [
        (0, k, block) for k, blocks in enumerate(family.input_blocks) for block in blocks if _signed_at_all(block)
    ]
    outputs = [
        (1, k, block)
        for k, blocks in enumerate(family.output_blocks)
        for block in blocks
        if _signed_at_all(block) and not (leaves.tied and k == 0)
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


def _signed_at_all(block: Block) -> bool:
    """Whether the sign of a block says something: a mask has none, and that of a quaternion nobody knows."""
    return not block.held and not block.sign_blind


def _turned(block: Block) -> bool:
    return block.vectors


def _signed(leaves: Map, side: int, flipped: list[tuple[int, int, Block]]) -> list[Affine]:
    made = []
    for k, leaf in enumerate(leaves.outputs if side else leaves.inputs):
        signs = torch.ones(leaf.dim, dtype=torch.float64)
        for where, number, block in flipped:
            if (where, number) == (side, k) or (leaves.tied and side == 1 and k == 0 and (where, number) == (0, 0)):
                signs[block.entries] = -1.0
        made.append((torch.diag(signs), torch.zeros(leaf.dim, dtype=torch.float64)))
    return made


def _reversal(leaves: Map, compare: Comparison) -> Iterator[str]:
    """Of a world of points and velocities: with velocities reversed it runs back."""
    leaf = leaves.inputs[0]
    if not leaves.tied or leaf.rep is None or not leaf.rep.has_points:
        return
    signs, vectors = torch.ones(leaf.dim, dtype=torch.float64), False
    for atom in atoms_of(leaf.rep):
        if atom.kind == VECTOR:
            signs[atom.entries] = -1.0
            vectors = True
    if vectors and compare.back((torch.diag(signs), torch.zeros(leaf.dim, dtype=torch.float64))).holds:
        yield "reversal of time (vectors of the state reversed)"
