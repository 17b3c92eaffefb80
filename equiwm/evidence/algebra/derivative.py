"""Df(x)[v] for many directions v: by automatic differentiation where the map carries it, else by differences."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equiwm.boundary import machine_error
from equiwm.evidence.algebra.maps import Map, Refused, Values

_TRIED = 4
"""Rows at which automatic differentiation is tried."""
_AGREES = 1e-2
"""How far automatic differentiation may be from differences: what does not carry derivatives is off by 1."""
_POWER = 3 / 8
_KINK = 1e-2
"""Slopes ahead and behind that are further apart than this, relative to the largest: a kink or a jump lies between."""


@dataclass(frozen=True, eq=False)
class Pushed:
    """Derivatives at one point.

    Attributes:
        outputs: Df(x)[v_k] for each output, (p, *lead, D), float64.
        rows: (n,) which rows of the first axis they are known at, where the map's rows are separate; else (1,).
        refused: (p,) share of the rows at which a direction led to inputs that the map does not take.
    """

    outputs: list[Tensor]
    rows: Tensor
    refused: Tensor


def automatic(built: Map, index: int, values: Values, directions: list[Tensor]) -> Pushed | None:
    """By automatic differentiation, where the map carries it: Df(x)[v] = d/du <Df(x)^T u, v>, two passes backwards.

    Forward differentiation would be one pass, but its first use in a process loads three seconds of code.

    Args:
        built: the map.
        index: which point.
        values: the inputs there.
        directions: (p, *lead, D) for each input.
    """
    inputs = tuple(value.detach().clone().requires_grad_() for value in values)
    found: list[list[Tensor]] = []
    try:
        with torch.enable_grad():
            outputs = built(index, inputs)
            duals = tuple(torch.zeros_like(output, requires_grad=True) for output in outputs)
            back = torch.autograd.grad(outputs, inputs, duals, create_graph=True, allow_unused=True)
            used = [k for k, part in enumerate(back) if part is not None]
            for k in range(len(directions[0])):
                total = torch.stack([(back[j] * directions[j][k]).sum() for j in used]).sum()
                made = torch.autograd.grad(total, duals, retain_graph=True, allow_unused=True)
                found.append([torch.zeros_like(o) if m is None else m for m, o in zip(made, outputs, strict=True)])
    except Exception as error:  # an operation without a second derivative, numpy inside, and whatever else
        if machine_error(error) is not None:  # it says nothing about the map
            raise
        return None
    pushed_ = [torch.stack([one[k] for one in found]).detach() for k in range(len(built.outputs))]
    if not all(bool(part.isfinite().all()) for part in pushed_):
        return None
    rows = torch.ones(len(values[0]) if built.separate else 1, dtype=torch.bool)
    return Pushed(pushed_, rows, torch.zeros(len(found)))


def differences(built: Map, index: int, values: Values, directions: list[Tensor], part: float = 1.0) -> Pushed:
    """By central differences (f(x + h v) - f(x - h v)) / 2h; rows at which the slope ahead is not the slope behind are
    left out.

    Args:
        built: the map.
        index: which point.
        values: the inputs there.
        directions: (p, *lead, D) for each input.
        part: of the step h, which is the rounding of the map to the power 3/8: truncation and rounding are alike at
            1/3, and contacts bend more than most.
    """
    step = part * built.rounding**_POWER
    count = len(directions[0])
    here = built(index, values)
    samples = len(values[0]) if built.separate else 1
    slopes: list[list[Tensor]] = []
    known, off = torch.ones(count, samples, dtype=torch.bool), torch.zeros(count, samples, dtype=torch.float64)
    sizes = torch.zeros(samples, dtype=torch.float64)
    for k in range(count):
        ahead, behind = (
            tuple(x + sign * step * v[k] for x, v in zip(values, directions, strict=True)) for sign in (1.0, -1.0)
        )
        plus, one = _taken(built, index, ahead, here)
        minus, other = _taken(built, index, behind, here)
        known[k] = one & other
        slopes.append([(a - b) / (2 * step) for a, b in zip(plus, minus, strict=True)])
        for a, b, middle, slope in zip(plus, minus, here, slopes[-1], strict=True):
            bend = (a - 2 * middle + b).abs().reshape(samples, -1).amax(1) / step
            off[k] = torch.maximum(off[k], torch.where(known[k], bend, torch.zeros_like(bend)))
            size = slope.abs().reshape(samples, -1).amax(1)
            sizes = torch.maximum(sizes, torch.where(known[k], size, torch.zeros_like(size)))
    smooth = off <= _KINK * sizes
    refused = (~known).double().mean(1)
    takes = refused < 0.5
    rows = (smooth & known)[takes].all(0) if bool(takes.any()) else torch.zeros(samples, dtype=torch.bool)
    outputs = [torch.stack([one[k] for one in slopes]) for k in range(len(built.outputs))]
    return Pushed(outputs, rows, refused)


def _taken(built: Map, index: int, values: Values, here: Values) -> tuple[Values, Tensor]:
    """The map there, and which rows it takes; where it takes none, what it gives at the point."""
    try:
        if built.separate:
            return built.rows(index, values)
        return built(index, values), torch.ones(1, dtype=torch.bool)
    except Refused:
        return here, torch.zeros(len(values[0]) if built.separate else 1, dtype=torch.bool)


def carries(built: Map, seed: int) -> bool:
    """Whether automatic differentiation says the same as differences, for every input and every output entry.

    A simulator leaves torch and comes back, and its derivative would be read as zero.
    """
    values = tuple(value[:_TRIED] for value in built.points[0]) if built.separate else built.points[0]
    rng = np.random.default_rng(seed)
    moves = [
        scale_of(value) * leaf.free * torch.from_numpy(rng.normal(size=(2, *value.shape)))
        for value, leaf in zip(values, built.inputs, strict=True)
    ]
    for moved in range(len(values)):
        directions = [move if k == moved else torch.zeros_like(move) for k, move in enumerate(moves)]
        exact = automatic(built, 0, values, directions)
        if exact is None:
            return False
        rough = differences(built, 0, values, directions)
        if not bool(rough.rows.any()):
            return False
        for one, other in zip(exact.outputs, rough.outputs, strict=True):
            if built.separate:
                one, other = one[:, rough.rows], other[:, rough.rows]
            one, other = one.reshape(-1, one.shape[-1]), other.reshape(-1, other.shape[-1])
            apart = (one - other).abs().median(0).values
            if bool((apart > _AGREES * float(other.abs().max())).any()):
                return False
    return True


def scale_of(value: Tensor) -> float:
    """RMS of a value, 1 where it is zero."""
    return float(value.square().mean().sqrt()) or 1.0


def pushed(
    built: Map, index: int, values: Values, directions: list[Tensor], *, by_gradients: bool, part: float = 1.0
) -> Pushed:
    """Derivatives in many directions; where there are more than entries, by way of the Jacobian of each row.

    Args:
        built: the map.
        index: which point.
        values: the inputs there.
        directions: (p, *lead, D) for each input.
        by_gradients: by automatic differentiation.
        part: of the step of differences.
    """
    along = automatic if by_gradients else functools.partial(differences, part=part)
    way = functools.partial(along, built, index, values)
    entries = sum(value.shape[-1] for value in values)
    flat = built.separate and all(value.dim() == 2 for value in values)
    if not flat or len(directions[0]) <= entries:
        made = way(directions)
        if made is None:
            raise Refused("the model does not carry derivatives at one of its inputs")
        return made
    units = []
    offset = 0
    for value, along_it in zip(values, directions, strict=True):
        unit = torch.zeros(entries, *value.shape, dtype=torch.float64)
        for k in torch.nonzero(along_it.flatten(0, -2).any(0)).flatten().tolist():  # a mask is moved by none
            unit[offset + k, :, k] = 1.0
        units.append(unit)
        offset += value.shape[-1]
    scales = torch.cat([torch.full((value.shape[-1],), scale_of(value), dtype=torch.float64) for value in values])
    made = way([unit * scales[:, None, None] for unit in units])
    if made is None:
        raise Refused("the model does not carry derivatives at one of its inputs")
    moves = torch.cat(list(directions), -1) / scales
    outputs = [torch.einsum("env,pne->pnv", jacobian, moves) for jacobian in made.outputs]
    return Pushed(outputs, made.rows, made.refused.new_zeros(len(moves)))
