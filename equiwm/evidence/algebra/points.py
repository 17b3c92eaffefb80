"""Where a map is looked at: inside of what it takes, at samples that span what moves, and where motions lead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from equiwm.evidence.algebra.family import Family, family_of
from equiwm.evidence.algebra.maps import Map, Refused, Values
from equiwm.evidence.algebra.verify import Affine, applied

_FLAT = 1e-6
"""Samples whose extent along some direction is less than this of the largest lie in a subspace."""
_APART = 0.5
"""Step of moved copies, in units of the spread."""
EQUATIONS = 3
"""Equations for each unknown; copies are moved until there are as many."""
_MOST_COPIES = 16
_LONGER, _INSIDE = 1e-3, 0.9
"""Inputs that cannot be so much longer stand at the border of what a map takes, and are drawn in to a part."""


def drawn_in(built: Map) -> Map:
    """The map at points inside of what it takes: an action of norm 1 may be the longest that there is.

    Where neither longer nor shorter inputs are taken they stand at no border: unit vectors, heights above a table.
    """
    for k in range(len(built.inputs)):
        if not _takes(built, _longer(built, k, 1 + _LONGER)):
            drawn = _longer(built, k, _INSIDE)
            if _takes(built, drawn):
                part = 1 + (_INSIDE - 1) * built.inputs[k].free
                checks = built.checks and tuple(x * part if j == k else x for j, x in enumerate(built.checks))
                built = replace(built, points=tuple(drawn), checks=checks)
    return built


def _longer(built: Map, k: int, factor: float) -> list[Values]:
    """The points with one input made longer by a factor, but for masks."""
    part = 1 + (factor - 1) * built.inputs[k].free
    return [tuple(x * part if j == k else x for j, x in enumerate(point)) for point in built.points]


def _takes(built: Map, points: list[Values]) -> bool:
    """Whether a map takes every one of some points."""
    try:
        return all(
            bool(built.rows(index, point)[1].all()) if built.separate else bool(built(index, point))
            for index, point in enumerate(points)
        )
    except Refused:
        return False


def _flat(built: Map, family: Family) -> list[str]:
    """Blocks of vectors whose samples lie in a subspace, and others that never vary."""
    names = []
    for k, blocks in enumerate(family.input_blocks):
        rows = torch.cat([point[k].reshape(-1, point[k].shape[-1]) for point in built.points])
        for block in blocks:
            if block.held:
                continue
            part = rows[:, block.entries]
            if block.vectors:
                part = block.copies(rows).flatten(0, 1)
                part = part - part.mean(0) if block.kind is not None and block.kind.translates else part
                values = torch.linalg.svdvals(part)
                if len(part) < block.width or float(values[-1]) <= _FLAT * max(float(values[0]), 1e-300):
                    names.append(block.name)
            elif float((part - part.mean(0)).abs().max()) <= _FLAT * max(float(part.abs().max()), 1e-300):
                names.append(block.name)
    free = all(block.kind is None for blocks in family.input_blocks for block in blocks)
    if free and built.separate:  # any matrix may act: all entries together
        rows = torch.cat([torch.cat(list(point), -1) for point in built.points])
        values = torch.linalg.svdvals((rows - rows.mean(0)) / rows.std(0).clamp(min=1e-300))
        if len(rows) <= rows.shape[1] or float(values[-1]) <= _FLAT * float(values[0]):
            names.append("all inputs together")
    return names


def generic(built: Map, free: bool, seed: int, reasons: list[str], notes: list[str]) -> Map:
    """The map with as many points as its unknowns need, and points beside a subspace that they lie in."""
    family = family_of(built, free=free)
    flat = _flat(built, family)
    outputs = sum(part.numel() for k, point in enumerate(built.points) for part in built(k, point))
    copies = int(np.ceil(EQUATIONS * len(family) / max(1, outputs))) - 1
    if free and built.separate:  # as many points as a field has numbers
        largest = max(leaf.dim for leaf in built.inputs)
        copies = max(copies, int(np.ceil(2 * (largest + 1) / len(built.points[0][0]))) - 1)
    if not flat and copies <= 0:
        return built
    wanted = min(max(copies, 1), _MOST_COPIES)
    try:
        moved = _moved_copies(built, wanted, seed)
    except Refused as refused:
        if flat:
            reasons.append(f"the samples of {', '.join(flat)} lie in a subspace, and others are not taken: {refused}")
        else:
            reasons.append(f"too few samples for {len(family)} unknowns, and others are not taken: {refused}")
        return built
    if flat:
        notes.append(f"The samples of {', '.join(flat)} lie in a subspace; moved copies were asked for too.")
    return moved


def _moved_copies(built: Map, copies: int, seed: int) -> Map:
    rng = np.random.default_rng(seed)
    extra: list[tuple[int, Values]] = []
    sizes = [_block_spread([point[k] for point in built.points]) for k in range(len(built.inputs))]
    for _ in range(copies):
        for index, point in enumerate(built.points):
            moved = tuple(
                x + _APART * size * leaf.free * torch.from_numpy(rng.normal(size=tuple(x.shape)))
                for x, size, leaf in zip(point, sizes, built.inputs, strict=True)
            )
            if built.separate:
                _, taken = built.rows(index, moved)
                moved = tuple(x[taken] for x in moved)
            else:
                built(index, moved)
            extra.append((index, moved))
    return extended(built, extra)


def _block_spread(parts: list[Tensor]) -> float:
    rows = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
    about = float((rows - rows.mean(0)).square().mean().sqrt())
    return about or float(rows.square().mean().sqrt()) or 1.0


def extended(built: Map, extra: list[tuple[int, Values]]) -> Map:
    """The map looked at in more places: more rows of a batch, or more calls."""
    if built.separate:
        rows = [point for _, point in extra]
        joined = tuple(torch.cat(parts) for parts in zip(built.points[0], *rows, strict=True))
        return built.at([joined])
    origin = [*range(len(built.points)), *(index for index, _ in extra)]
    function = built.function
    return replace(
        built,
        points=(*built.points, *(point for _, point in extra)),
        function=lambda index, values: function(origin[index], values),
    )


def with_motions(built: Map, motions: list[list[Affine]]) -> Map:
    """The map looked at where finite motions lead, too."""
    extra = []
    for motion in motions:
        for index, point in enumerate(built.points):
            moved = applied(motion, point)
            try:
                if built.separate:
                    _, taken = built.rows(index, moved)
                    moved = tuple(x[taken] for x in moved)
                else:
                    built(index, moved)
            except Refused:
                continue
            extra.append((index, moved))
    return extended(built, extra)
