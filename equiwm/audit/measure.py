"""The measure of an audit: residual, scale, rounding and response of every channel of every output leaf.

A channel is one copy of one kind (one scalar, one vector, one degree-2 tensor) of an output leaf. For samples x_i and
elements g, Delta = rho(g) F(x_i) - F(g x_i), compared in float64, and

    scale     RMS over the samples of the channel's variation (points about their centroid), never of its offset;
              of fewer than four samples, or copies of one, its response to moved inputs;
    residual  max over g of RMS_i(Delta) / scale;
    rounding  the noise of F itself: what is left of F along a line in input space once smooth parts are taken off.

Where an input and an output leaf have one rep and one shape, the increment F(x) - x is measured too: in x + dt v the
x hides whatever v does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from equiwm.audit.calling import cast
from equiwm.audit.channels import Channel, channels, sizes
from equiwm.audit.pytree import Path, leaves
from equiwm.audit.running import Outputs, Runner
from equiwm.audit.typed import TypedLeaf
from equiwm.errors import DataError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.reps import Rep

FEW = 4
"""Fewer samples than this say nothing of how a channel varies."""
RESPONSES = 4
"""How many times the inputs are moved for the response."""
MOVE = 0.3
"""How far they are moved, in units of their spread."""
STEPS = {torch.float64: (1e-7, 1e-5, 1e-3, 1e-2)}
"""Steps of the noise measurement in units of the inputs' spread, where they are not the default."""
_STEPS = (1e-5, 1e-4, 1e-3, 1e-2)
MOST_CHANNELS = 2048
"""Above so many, channels at different places of the leading axes (nodes) count as samples of one channel."""

_SQUARED_AT_ONCE = 2**17
"""Pairs whose squares are made at a time, of two elements or more: a mean that is one number is added up otherwise."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """Something that is judged: an output leaf, or the increment of one over an input leaf.

    Attributes:
        name: of the leaf; `positions - positions of the inputs` of an increment.
        leaf: the output leaf.
        rep: how it transforms: of an increment the linear part.
        over: the input leaf that it is an increment over.
    """

    name: str
    leaf: TypedLeaf
    rep: Rep
    over: TypedLeaf | None = None

    @cached_property
    def channels(self) -> list[Channel]:
        """Its channels."""
        return channels(self.rep)


@dataclass(frozen=True, eq=False)
class Values:
    """A quantity at all samples.

    Attributes:
        rows: (S, M, dim): samples, places of the leading axes, entries. Samples of different sizes are one row a node:
            (rows, 1, dim).
        ragged: whether they are.
    """

    rows: Tensor
    ragged: bool


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of one quantity in one dtype. Tensors are float64.

    Attributes:
        quantity: what.
        dtype: in which dtype the model ran.
        scale: (M, C) of every channel.
        pairs: (G, S, M, C) |Delta| of every element, sample and channel, RMS over the channel's entries.
        noise: (S, M, C) of the model itself.
        size: (M, C) RMS of the values, offset and all; of a part of a product that of the whole product.
        held: (M, C) the same of the leaf that the quantity is held in: of an increment the output, else `size`.
        by_variation: whether the scale is that of the samples; else it is the response.
        unturned: (G, M, C) RMS over the samples of F(x) - F(g x): the residual under the wrong action, the trivial one.
        motions: (G,) number of what each element does: rotations, reflections, translations apart.
    """

    quantity: Quantity
    dtype: torch.dtype
    scale: Tensor
    pairs: Tensor
    noise: Tensor
    size: Tensor
    held: Tensor
    by_variation: bool
    unturned: Tensor
    motions: Tensor

    @cached_property
    def off(self) -> Tensor:
        """(G, M, C): RMS over the samples of Delta; it is asked for often, and its squares are made part by part."""
        elements = len(self.pairs)
        parts = self.pairs.tensor_split(max(1, min(self.pairs.numel() // _SQUARED_AT_ONCE, elements // 2)))
        return torch.cat([part.square().mean(1).sqrt() for part in parts])

    @property
    def per_element(self) -> Tensor:
        """(G, M, C): RMS over the samples of Delta / scale."""
        return _relative(self.off, self.scale)

    @property
    def residual(self) -> Tensor:
        """(M, C): the worst over the elements."""
        return self.per_element.amax(0)

    @property
    def rounding(self) -> Tensor:
        """(M, C): RMS of the noise over the samples, and at least that of the number format on the channel's values."""
        floor = torch.finfo(self.dtype).eps / 4 * self.size
        return _relative(torch.maximum(self.noise.square().mean(0).sqrt(), floor), self.scale)

    @property
    def nothing(self) -> Tensor:
        """(M, C): increments that are no more than what the number format makes of the output."""
        return torch.maximum(self.scale, self.size) <= 16 * torch.finfo(self.dtype).eps * self.held

    @property
    def dead(self) -> Tensor:
        """(M, C): channels that do not vary beyond what the number format makes of their size."""
        return self.scale <= 16 * torch.finfo(self.dtype).eps * self.size


def _relative(values: Tensor, scale: Tensor) -> Tensor:
    """values / scale; 0 / 0 is 0: what is nothing is off by nothing."""
    return torch.where(values > 0, values / scale, values)


def output_name(leaf: TypedLeaf) -> str:
    """A leaf of the output in words; where that is one leaf, `output`."""
    return leaf.name if leaf.path else "output"


def quantities(runner: Runner) -> list[Quantity]:
    """The output leaves, and their increments over input leaves of the same place or alone of the same rep."""
    found = []
    for leaf in runner.outputs:
        name = output_name(leaf)
        found.append(Quantity(name, leaf, leaf.rep))
        alike = [given for given in runner.inputs if given.rep == leaf.rep]
        same = [given for given in alike if given.path == leaf.path] or (alike if len(alike) == 1 else [])
        for given in same:
            over = f"input {given.name}" if given.path else "input"
            found.append(Quantity(f"{name} - {over}", leaf, leaf.rep.linear_part, given))
    return found


def values(quantity: Quantity, outputs: Outputs, samples: list[Any], batch: int) -> Values | None:
    """The quantity at given outputs, or None of an increment whose shapes differ.

    Args:
        quantity: what.
        outputs: of the model, flat.
        samples: what it was called with.
        batch: how many independent samples the first axis of the one sample counts; 0 if it does not.
    """
    parts = [entry[quantity.leaf.path] for entry in outputs]
    if quantity.over is not None:
        given = [quantity.over.flat(leaves(sample)[quantity.over.path]).detach().cpu().double() for sample in samples]
        if any(a.shape != b.shape for a, b in zip(parts, given, strict=True)):
            return None
        parts = [a - b for a, b in zip(parts, given, strict=True)]
    width = quantity.rep.dim
    if len(parts) == 1 and batch and parts[0].dim() > 1 and len(parts[0]) == batch:
        return Values(parts[0].reshape(len(parts[0]), -1, width), False)
    if len({part.shape for part in parts}) == 1:
        return Values(torch.stack([part.reshape(-1, width) for part in parts]), False)
    return Values(torch.cat([part.reshape(-1, width) for part in parts])[:, None], True)


def measure(
    runner: Runner,
    samples: list[Any],
    elements: Elements,
    dtype: torch.dtype,
    *,
    batch: int,
    seed: int,
    brief: bool = False,
) -> list[Measured]:
    """Every quantity in one dtype.

    Args:
        runner: the model.
        samples: one entry a call.
        elements: n elements, batch shape (n,).
        dtype: what the model runs in.
        batch: as `values` takes it.
        seed: of the directions in which inputs are moved.
        brief: of an experiment: rounding is that of the number format alone, and with enough samples there is no
            response.

    Raises:
        CallFailed: the model raised.
        RepError, DataError: an output that does not fit, or changes its shape with g.
    """
    samples = [cast(sample, dtype) for sample in samples]
    straight = runner(samples, dtype)
    asked = [each for each in quantities(runner) if values(each, straight, samples, batch) is not None]
    base = [rows_at(each, straight, samples, batch) for each in asked]
    varied = [_variation(rows.rows, each) for each, rows in zip(asked, base, strict=True)]
    if brief:
        noise = [torch.zeros(*rows.rows.shape[:2], len(each.channels)) for each, rows in zip(asked, base, strict=True)]
    else:
        noise = noise_of(runner, samples, dtype, asked, batch, seed)
    some = [
        bool((one > 1e-9 * sizes(rows.rows, each.rep).square().mean(0).sqrt()).any())
        for one, rows, each in zip(varied, base, asked, strict=True)
    ]
    if brief and all(some) and all(len(rows.rows) >= FEW for rows in base):
        response = varied
    else:
        response = _response(runner, samples, dtype, asked, base, batch, seed)
    # Made whole before the first call, and filled: a list that is stacked at the end takes its memory twice.
    shapes = [(*rows.rows.shape[:2], len(each.channels)) for each, rows in zip(asked, base, strict=True)]
    pairs = [torch.empty(len(elements), *shape, dtype=torch.float64) for shape in shapes]
    unturned = [torch.empty(len(elements), *shape[1:], dtype=torch.float64) for shape in shapes]
    for k in range(len(elements)):
        turned = runner.turned(samples, elements[k], dtype)
        got = runner(turned, dtype)
        for index, (each, rows) in enumerate(zip(asked, base, strict=True)):
            there = rows_at(each, got, turned, batch)
            if there.rows.shape != rows.rows.shape:
                raise DataError(f"{each.name} has another shape at a turned input; its shape has to stay.")
            expected = each.rep.transform(rows.rows, elements[k])
            off = each.rep.difference(expected, there.rows)
            pairs[index][k] = sizes(off, each.rep)
            apart = each.rep.difference(rows.rows, there.rows)
            unturned[index][k] = sizes(apart, each.rep).square().mean(0).sqrt()
    found: list[Measured] = []
    held: dict[Path, Tensor] = {}
    for index, (each, rows) in enumerate(zip(asked, base, strict=True)):
        size = sizes(rows.rows, each.rep, whole=True).square().mean(0).sqrt()
        variation = varied[index]
        few = len(rows.rows) < FEW
        scale = response[index] if few else torch.where(variation > 1e-3 * response[index], variation, response[index])
        found.append(
            Measured(
                quantity=each,
                dtype=dtype,
                scale=scale,
                pairs=pairs[index],
                noise=noise[index],
                size=size,
                held=held.setdefault(each.leaf.path, size),
                by_variation=not few,
                unturned=unturned[index],
                motions=_motions(elements),
            )
        )
    return found


def rows_at(quantity: Quantity, outputs: Outputs, samples: list[Any], batch: int) -> Values:
    """The quantity at given outputs as it is measured: with very many channels, places count as samples.

    Raises:
        DataError: it has another shape than before.
    """
    found = values(quantity, outputs, samples, batch)
    if found is None:
        raise DataError(f"{quantity.name} has another shape than before.")
    if found.rows.shape[1] * len(quantity.channels) > MOST_CHANNELS and not found.ragged:
        return Values(found.rows.reshape(-1, 1, found.rows.shape[-1]), True)
    return found


def _motions(elements: Elements) -> Tensor:
    """A number for each kind of motion: what breaks under all reflections and no rotation is no branch."""
    does = (elements.moves, elements.determinant < 0, elements.turns, elements.permutes)
    return sum((2**k * each.long() for k, each in enumerate(does)), torch.zeros(len(elements), dtype=torch.long))


def _variation(rows: Tensor, quantity: Quantity) -> Tensor:
    """(M, C): RMS of each channel about its mean; of points about the centroid of their sample first."""
    points = torch.tensor([part.kind.translates for part in quantity.channels])
    if bool(points.any()) and quantity.rep.structured:
        copies = rows.unflatten(-1, (quantity.rep.multiplicity, quantity.rep.d))  # (S, M, C, d)
        if bool(points.all()) and copies.shape[1] * copies.shape[2] > 1:
            rows = (copies - copies.mean((1, 2), keepdim=True)).flatten(-2)
    return sizes(rows - rows.mean(0), quantity.rep).square().mean(0).sqrt()


def _response(
    runner: Runner,
    samples: list[Any],
    dtype: torch.dtype,
    asked: list[Quantity],
    base: list[Values],
    batch: int,
    seed: int,
) -> list[Tensor]:
    """(M, C): RMS of how much each channel changes where the typed inputs are moved."""
    squares: list[list[Tensor]] = [[] for _ in asked]
    for k in range(RESPONSES):
        moved = runner.moved(samples, runner.directions(samples, seed + k), MOVE, dtype)
        got = runner(moved, dtype)
        for index, (each, rows) in enumerate(zip(asked, base, strict=True)):
            there = rows_at(each, got, moved, batch)
            if there.rows.shape != rows.rows.shape:
                raise DataError(f"{each.name} changes its shape where the inputs are moved.")
            change = there.rows - rows.rows
            squares[index].append(sizes(change, each.rep).square().mean(0))
    return [torch.stack(parts).mean(0).sqrt() for parts in squares]


def noise_of(
    runner: Runner, samples: list[Any], dtype: torch.dtype, asked: list[Quantity], batch: int, seed: int
) -> list[Tensor]:
    """(S, M, C): what the model's own arithmetic does to each channel.

    With D(h) = F(x + h u) - 2 F(x) + F(x - h u), the combination D(h) - 4 D(h / 2) holds h^4 of what is smooth and all
    of the noise, of 70 times the variance of one evaluation. Steps grow until F is resolved, its change proportional to
    the step: a function that computes in less than its inputs hold is a staircase to smaller ones, and a larger step
    would take a sharp bend for noise.
    """
    directions = runner.directions(samples, seed)
    # Off the inputs themselves: of numbers with few digits the rounding at x + h u and at x - h u cancels.
    shifts = [0.37 + shift for shift in (0.0, 1.0, -1.0, 0.5, -0.5, 0.25, -0.25)]
    found: list[Tensor] = []
    resolved: list[Tensor] = []
    steps = STEPS.get(dtype, _STEPS)
    finest = 8 * runner.finest(samples, dtype)
    for step in [each for each in steps if each >= finest] or [max(steps[-1], finest)]:
        at: list[list[Tensor]] = []
        for shift in shifts:
            moved = runner.moved(samples, directions, shift * step, dtype)
            got = runner(moved, dtype)
            at.append([rows_at(each, got, moved, batch).rows for each in asked])
        for index, each in enumerate(asked):
            zero, *others = (rows[index] for rows in at)
            second = [others[2 * k] - 2 * zero + others[2 * k + 1] for k in range(3)]
            wide, narrow = (sizes(second[k] - 4 * second[k + 1], each.rep) / 70**0.5 for k in range(2))
            noise = torch.where(narrow > wide / 4, narrow, torch.zeros_like(narrow))
            ahead, near = others[0] - others[1], others[4] - others[5]
            bent = sizes(ahead - 4 * near, each.rep).square().mean(0).sqrt()
            clear = sizes(ahead, each.rep).square().mean(0).sqrt() > 8 * bent
            if each.over is not None:  # the input moves as it should, whatever the leaf does
                clear = clear & resolved[index - 1]
            if index == len(found):
                found.append(noise)
                resolved.append(clear)
            else:
                found[index] = torch.where(resolved[index], found[index], torch.maximum(found[index], noise))
                resolved[index] = resolved[index] | clear
        if all(bool(each.all()) for each in resolved):
            break
    return [
        torch.maximum(*both)
        for both in zip(found, _by_rounding(runner, samples, dtype, asked, batch, seed), strict=True)
    ]


def _by_rounding(
    runner: Runner, samples: list[Any], dtype: torch.dtype, asked: list[Quantity], batch: int, seed: int
) -> list[Tensor]:
    """(S, M, C): what one rounding of the inputs does; a turned input is rounded anew."""
    straight = runner(samples, dtype)
    squares = [torch.zeros(1)] * len(asked)
    for k in range(2):
        moved = runner.jittered(samples, dtype, seed + k)
        got = runner(moved, dtype)
        for index, each in enumerate(asked):
            change = rows_at(each, got, moved, batch).rows - rows_at(each, straight, samples, batch).rows
            squares[index] = squares[index] + sizes(change, each.rep).square() / 2
    return [square.sqrt() for square in squares]
