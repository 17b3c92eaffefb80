"""The linear problem: which sums of columns leave the map as it is, and how surely.

For a generator with the field xi on the inputs and eta on the outputs, M theta = Df(x)[xi(x)] - eta(f(x)) over all
points, in units of the outputs' variation; V theta = (xi, eta), in units of the spread of what moves. The singular
values of M on the unit ball of V are residuals relative to motions of relative size 1: 0 of a symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from equiwm.evidence.algebra.derivative import pushed
from equiwm.evidence.algebra.family import Block, Family, fields
from equiwm.evidence.algebra.maps import Map, Refused, Values

_VISIBLE = 1e-9
"""A sum of columns that moves less than this, relative to the largest, moves nothing that is seen."""
_STILL = 1e-12
"""Variation below this, relative to the size, is none."""
_UNSEEN = 1e-12
"""A block whose random motion changes the outputs by less than this is not looked at by the map."""


@dataclass(frozen=True, eq=False)
class Scales:
    """Units.

    Attributes:
        inputs: for each input the spread of every entry (by block), (D,).
        outputs: for each output the spread.
        judged: for each output the variation that residuals are relative to: of the increment where it is tied.
        seen: for each input which entries the map looks at, (D,) bool.
        constant: whether no output varies.
    """

    inputs: list[Tensor]
    outputs: list[Tensor]
    judged: list[Tensor]
    seen: list[Tensor]
    constant: bool


@dataclass(frozen=True, eq=False)
class System:
    """The linear problem of a map and a family.

    Attributes:
        family: its columns, those that the map does not take left out.
        residual: M, (rows, p).
        motion: V, (rows, p).
        samples: (rows of M,) the sample that each row belongs to.
        refused: columns that the map does not take.
        share: of the samples that are used.
    """

    family: Family
    residual: Tensor
    motion: Tensor
    samples: Tensor
    refused: tuple[int, ...]
    share: float

    def select(self, keep: list[int]) -> System:
        """The problem of some of the columns."""
        return replace(
            self, family=self.family.select(keep), residual=self.residual[:, keep], motion=self.motion[:, keep]
        )


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values, ascending, and the directions that they belong to.

    Attributes:
        values: (r,) residuals for motions of size 1.
        directions: (p, r) theta of each.
        whitening: (r, p) from theta to coordinates in which V is an isometry.
    """

    values: Tensor
    directions: Tensor
    whitening: Tensor


def spreads(rows: Tensor, blocks: list[Block]) -> Tensor:
    """RMS about the mean of every block, over rows (n, D), as (D,); the RMS itself, or 1, where nothing varies."""
    found = torch.ones(rows.shape[-1], dtype=torch.float64)
    for block in blocks:
        part = rows[:, block.entries]
        if block.vectors:  # channels share an origin, not their values
            part = block.copies(rows).flatten(0, 1)
        about = float((part - part.mean(0)).square().mean().sqrt())
        size = float(part.square().mean().sqrt())
        found[block.entries] = about if about > _STILL * size else (size or 1.0)
    return found


def scales_of(built: Map, family: Family, seed: int) -> Scales:
    """The units of a map at its points."""
    answers = [built(k, point) for k, point in enumerate(built.points)]
    inputs = [
        spreads(_stacked([point[k] for point in built.points]), family.input_blocks[k])
        for k in range(len(built.inputs))
    ]
    outputs, judged, constant = [], [], True
    for k, leaf in enumerate(built.outputs):
        rows = _stacked([answer[k] for answer in answers])
        blocks = family.output_blocks[k]
        outputs.append(inputs[0] if built.tied and k == 0 else spreads(rows, blocks))
        moved = rows
        if built.tied and k == 0:
            before = _stacked([point[0] for point in built.points])
            moved = rows - before if leaf.rep is None else leaf.rep.difference(rows, before)
        unit = torch.ones(leaf.dim, dtype=torch.float64)
        for block in blocks:
            part, whole = moved[:, block.entries], rows[:, block.entries]
            varies = float((part - part.mean(0)).square().mean().sqrt())
            size = float(whole.square().mean().sqrt()) + float(part.square().mean().sqrt())
            alive = varies > 8 * np.finfo(float).eps * size
            constant = constant and not alive
            unit[block.entries] = varies if alive else float(outputs[-1][block.entries][0])
        judged.append(unit)
    seen = _seen(built, family, answers, inputs, judged, seed)
    return Scales(inputs, outputs, judged, seen, constant)


def _stacked(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.detach().reshape(-1, part.shape[-1]) for part in parts])


def _seen(
    built: Map, family: Family, answers: list[Values], units: list[Tensor], judged: list[Tensor], seed: int
) -> list[Tensor]:
    """Which blocks of the inputs change an output when they are moved, by much and at every point."""
    rng = np.random.default_rng(seed)
    found = [torch.ones(leaf.dim, dtype=torch.bool) for leaf in built.inputs]
    for k, blocks in enumerate(family.input_blocks):
        for block in blocks:
            if block.held:
                continue
            changed = False
            for size in (0.3, 1e-3):  # a map may refuse the one, and not resolve the other
                for index, (point, answer) in enumerate(zip(built.points, answers, strict=True)):
                    values = list(point)
                    move = torch.zeros_like(values[k])
                    move[..., block.entries] = torch.from_numpy(rng.normal(size=move[..., block.entries].shape))
                    values[k] = values[k] + size * units[k] * move
                    changed = changed or _changes(built, index, tuple(values), answer, judged)
                if changed:
                    break
            found[k][block.entries] = changed
    return found


def _changes(built: Map, index: int, values: Values, answer: Values, judged: list[Tensor]) -> bool:
    """Whether the outputs are others there; a map that refuses to answer looks at what it is given."""
    try:
        if built.separate:
            moved, taken = built.rows(index, values)
            if not bool(taken.any()):
                return True
            pairs = [(one[taken], other[taken]) for one, other in zip(moved, answer, strict=True)]
        else:
            pairs = list(zip(built(index, values), answer, strict=True))
    except Refused:
        return True
    return any(
        bool(((one - other).abs() > _UNSEEN * (unit + other.abs())).any())
        for (one, other), unit in zip(pairs, judged, strict=True)
    )


def system_of(built: Map, family: Family, scales: Scales, *, by_gradients: bool, part: float = 1.0) -> System:
    """M and V of a map at its points.

    Args:
        built: the map.
        family: the columns.
        scales: the units.
        by_gradients: by automatic differentiation.
        part: of the step of differences.

    Raises:
        Refused: the derivative is known at none of them.
    """
    pieces = []
    refused = torch.zeros(len(family))
    for index, point in enumerate(built.points):
        answer = built(index, point)
        xi, eta = fields(family.inputs, point), fields(family.outputs, answer)
        size = _sizes(xi, scales.inputs)
        made = pushed(
            built,
            index,
            point,
            [field / size.reshape(-1, *[1] * (field.dim() - 1)) for field in xi],
            by_gradients=by_gradients,
            part=part,
        )
        off = [a * size.reshape(-1, *[1] * (a.dim() - 1)) - b for a, b in zip(made.outputs, eta, strict=True)]
        pieces.append((off, xi, eta, made.rows))
        refused = torch.maximum(refused, made.refused.to(refused.dtype))
    keep = [k for k in range(len(family)) if float(refused[k]) < 0.5]
    residual, motion, samples = [], [], []
    used = total = 0
    for off, xi, eta, rows in pieces:
        total, used = total + len(rows), used + int(rows.sum())
        if not bool(rows.any()):
            continue
        residual_rows, owner = _weighted(off, scales.judged, family.output_blocks, rows, keep, built.separate)
        owner = owner + total
        residual.append(residual_rows)
        samples.append(owner)
        masked = [field * seen for field, seen in zip(xi, scales.seen, strict=True)]
        motion.append(_weighted(masked, scales.inputs, family.input_blocks, rows, keep, built.separate)[0])
        motion.append(_weighted(eta, scales.outputs, family.output_blocks, rows, keep, built.separate)[0])
    share = used / total
    if not residual:
        width = len(keep)
        return System(family.select(keep), torch.zeros(0, width), torch.zeros(0, width), torch.zeros(0), (), 0.0)
    weight = float(np.sqrt(len(pieces)))
    left_out = tuple(k for k in range(len(family)) if k not in keep)
    return System(
        family.select(keep),
        torch.cat(residual) / weight,
        torch.cat(motion) / weight,
        torch.cat(samples),
        left_out,
        share,
    )


def _sizes(xi: list[Tensor], units: list[Tensor]) -> Tensor:
    """RMS size of every column's field in units of the spread, 1 where it moves nothing: (p,)."""
    total = torch.stack([(field / unit).square().flatten(1).mean(1) for field, unit in zip(xi, units, strict=True)])
    size = total.sum(0).sqrt()
    return torch.where(size > 0, size, torch.ones_like(size))


def _weighted(
    parts: list[Tensor], units: list[Tensor], blocks: list[list[Block]], rows: Tensor, keep: list[int], separate: bool
) -> tuple[Tensor, Tensor]:
    """Fields (p, *lead, D) as rows (n, p) whose squares add up to the sum over blocks of mean squares; and the sample
    that each belongs to."""
    found, owner = [], []
    for part, unit, cuts in zip(parts, units, blocks, strict=True):
        relative = part[keep] / unit
        if separate:
            relative = relative[:, rows]
        for block in cuts:
            piece = (
                relative[..., block.entries].flatten(2)
                if relative.dim() > 2
                else relative[..., block.entries][..., None]
            )
            count = max(1, piece.shape[1] * piece.shape[2])
            found.append(piece.flatten(1).T / np.sqrt(count))
            owner.append(torch.arange(piece.shape[1]).repeat_interleave(piece.shape[2]))
    return torch.cat(found), torch.cat(owner)


def spectrum_of(system: System) -> Spectrum:
    """The singular values of M on the unit ball of V: columns are normalised, what moves nothing is left out."""
    sizes = system.motion.norm(dim=0)
    alive = sizes > _VISIBLE * (float(sizes.max()) if len(sizes) else 0.0)
    kept = torch.nonzero(alive).flatten()
    if not len(kept):
        return Spectrum(torch.zeros(0), torch.zeros(len(sizes), 0), torch.zeros(0, len(sizes)))
    normal = system.motion[:, kept] / sizes[kept]
    compact = torch.linalg.qr(normal, mode="r")[1] if len(normal) > normal.shape[1] else normal
    _, values, right = torch.linalg.svd(compact, full_matrices=False)
    there = values > _VISIBLE * values[0]
    values, right = values[there], right[there]
    into = (right.T / values) / sizes[kept][:, None]
    problem = system.residual[:, kept] @ into
    compact = torch.linalg.qr(problem, mode="r")[1] if len(problem) > problem.shape[1] else problem
    _, residuals, vectors = torch.linalg.svd(compact, full_matrices=True)
    residuals = torch.cat([residuals, residuals.new_zeros(len(vectors) - len(residuals))])
    order = torch.argsort(residuals)
    directions = torch.zeros(len(sizes), len(vectors), dtype=torch.float64)
    directions[kept] = into @ vectors[order].T
    whitening = torch.zeros(len(vectors), len(sizes), dtype=torch.float64)
    whitening[:, kept] = (vectors[order] @ (values[:, None] * right)) * sizes[kept]
    return Spectrum(residuals[order], directions, whitening)


def noise_of(system: System, other: System, spectrum: Spectrum) -> float:
    """What rounding does to a singular value: M made twice, at points that are one rounding apart."""
    if system.residual.shape != other.residual.shape:
        return float("nan")
    apart = (system.residual - other.residual) @ spectrum.directions
    return float(torch.linalg.matrix_norm(apart, 2)) if apart.numel() else 0.0
