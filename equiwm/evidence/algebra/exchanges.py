"""Exchanges that leave a map as it is: of items of a set with all that belongs to them, and of channels of a term."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from equiwm.evidence.algebra.atoms import item_counts
from equiwm.evidence.algebra.maps import Map
from equiwm.evidence.algebra.verify import Affine
from equiwm.symmetry.elements import Elements, identities

_MOST = 64
"""Channels or items whose exchanges are tried."""
_ORDERS = 24
"""Orders of all items that may be exchanged two by two; in one of three every item has another place."""


def exchanged_items(leaves: Map, d: int, acts: Callable[[Elements], bool]) -> Iterator[str]:
    """Items of sets that may be exchanged, with all that belongs to them, in every input and output at once.

    Two by two, and all of a class in orders drawn at random: two that are there together may be others than one is.
    """
    reps = [leaf.rep for leaf in (*leaves.inputs, *leaves.outputs) if leaf.rep is not None]
    still = identities(d)
    for count in sorted({number for rep in reps for number in item_counts(rep) if 1 < number <= _MOST}):

        def put(members: list[int], others: list[int], count: int = count) -> bool:
            places = torch.arange(count)
            places[members] = torch.tensor(others)
            return acts(Elements(still.linear, still.translation, places))

        rng = np.random.default_rng(count)
        for members in _classes(count, lambda one, other: put([one, other], [other, one])):
            drawn = [rng.permutation(members).tolist() for _ in range(_ORDERS)]
            # Those that move every item: one that moves empty places alone would move nothing, and say nothing.
            whole = [order for order in drawn if all(a != b for a, b in zip(order, members, strict=True))]
            if all(put(members, order) for order in ([*members[1:], members[0]], *whole)):  # one at least, always
                yield f"exchange of items {listed(members)} of {count}"


def _classes(count: int, exchangeable: Callable[[int, int], bool]) -> list[list[int]]:
    """Classes of two or more of `count` things, each of which may be exchanged with the first of its class."""
    classes: list[list[int]] = []
    for item in range(count):
        for members in classes:
            if exchangeable(members[0], item):
                members.append(item)
                break
        else:
            classes.append([item])
    return [members for members in classes if len(members) > 1]


def exchanged_channels(leaves: Map, holds: Callable[[list[Affine], list[Affine]], bool]) -> Iterator[str]:
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
            if not 1 < count <= _MOST:
                continue
            exchangeable = functools.partial(_exchangeable, leaves, holds, k, chosen)
            for members in _classes(count, exchangeable):
                terms_ = (
                    ""
                    if len(sets) == 1
                    else f" (term{'s' if len(chosen) > 1 else ''} "
                    + ", ".join(str(terms.index(term)) for term in chosen)
                    + ")"
                )
                yield f"exchange of {leaf.name} channels {listed(members)}{terms_}"


def listed(members: list[int]) -> str:
    """Numbers in words: `0, 2` or `0 to 7`."""
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
