"""Causes in how it computes: its mode, reduced precision, rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

import torch

from equiwm.audit.causes.experiments import Experiments
from equiwm.audit.judgement import EXPLAINED, LIMITED, NO_ROUNDING, Judged, tolerance
from equiwm.audit.preflight import Finding
from equiwm.audit.pytree import leaves
from equiwm.audit.switches import Switch, all_of, switches

LESS = "computes in less inside"
"""Name of the cause that is reduced precision."""
REMOVED = 1 / 32
"""What a switch leaves of a residual that it is the cause of: TF32 keeps 13 bits less than float32, bfloat16 16, and
float32 29 less than float64; five bits are the spread of a residual over elements."""


def training_mode(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """The mode of training: dropout, and what is normalised over the batch."""
    modules = [part for module in tried.probe.modules for part in module.modules() if part.training]
    if not modules:
        return
    for part in modules:
        part.training = False
    cured = tried.holds(tried.again(tried.sample()), names)
    for part in modules:
        part.training = True
    if cured:
        yield Finding("training mode", "It is in training mode; in evaluation mode it is exact: call eval() on it.")


def switched_off(tried: Experiments) -> dict[str, str]:
    """Outputs whose residual a switch of reduced precision takes away, and which switch, in words."""
    found = {}
    for each in tried.judged:
        high = each.high
        fine = high is not None and bool((high.residual <= EXPLAINED * high.rounding).all())
        if each.best.quantity.over is None and (high is None or fine or bool(each.inside.any())):
            said = _switched_off(tried, each)
            if said is not None:
                found[each.best.quantity.name] = said
    return found


def _switched_off(tried: Experiments, each: Judged) -> str | None:
    """Which switch takes the residual of a quantity away; None where none does, nor all at once."""
    side = each.best if bool(each.inside.any()) else each.low
    place, channel = divmod(int(torch.where(side.dead, 0.0, side.residual).argmax()), side.residual.shape[1])
    name = each.best.quantity.name

    def left(switch: Switch) -> float:
        with switch():
            again = tried.again(tried.sample(), dtype=side.dtype)
        now = next((other.best for other in again or () if other.best.quantity.name == name), None)
        return math.inf if now is None else float(now.residual[min(place, len(now.residual) - 1), channel])

    if float(side.residual[place, channel]) <= tolerance(side.dtype):
        return None
    was = left(nullcontext)
    if not math.isfinite(was):  # of a channel that does not vary at all
        return None
    found = switches(side.dtype)
    together: Switch = partial(all_of, found)
    for said, switch in (*found.items(), (" and ".join(found), together)):
        now = left(switch)
        if now <= was * REMOVED:
            return f"{name}: {said} inside: with that switched off {was:.1e} becomes {now:.1e} in {_short(side.dtype)}."
    return None


def less_precision(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """A failure that is one of float32 or less."""
    for name, text in tried.switched.items():
        if name in names:
            yield Finding(LESS, text)


def limited(tried: Experiments) -> Iterator[Finding]:
    """Why the precision of the arithmetic shows."""
    for each in tried.judged:
        if each.verdict != LIMITED or each.best.quantity.over is not None:
            continue
        place, channel = each.worst
        name = each.best.quantity.name
        rounding, low = (float(side.rounding[place, channel]) for side in (each.best, each.low))
        residual = float(each.best.residual[place, channel])
        if name in tried.switched:
            yield Finding(LESS, tried.switched[name])
        elif bool(each.inside.any()) and 0.05 * low < rounding <= NO_ROUNDING:
            text = (
                f"{name}: in float64 it still rounds by {rounding:.1e}: it computes in less inside, and no switch of "
                f"torch's takes that away (autocast, float32 products, casts): {_where_less(tried)}."
            )
            yield Finding(LESS, text)
        elif bool(each.inside.any()) and rounding > NO_ROUNDING:
            yield Finding("amplified rounding", f"{name}: one rounding of the inputs changes everything.")
        elif bool(each.inside.any()):
            text = (
                f"{name} rounds by {low:.1e} in {_short(each.low.dtype)} and by {rounding:.1e} in float64: differences "
                "of large numbers, as of distances by matrix products (torch.cdist)."
            )
            yield Finding("cancellation", text)
        elif each.high is not None and residual > 1e-10:
            text = (
                f"{name}: {residual:.1e} in float64: as much as constants that were rounded to float32 leave, or a "
                "break that is as small."
            )
            yield Finding("rounded constants", text)
        else:
            offset = float(each.low.size[place, channel] / each.low.scale[place, channel])
            far = _far(tried)
            why = f": it varies by 1/{offset:.0e} of its size, the digits are used up" if offset > 1e3 else ""
            why = why or (f": the inputs lie {far:.0f} times their spread from the origin" if far > 8 else "")
            yield Finding("rounding", f"{name} is exact in float64; what is left is rounding{why}.")


def _where_less(tried: Experiments) -> str:
    if tried.state.runner.promote:
        return "its operations meet tensors of less; with every one of them in float64 it is exact"
    return "another library, a kernel or a format of its own"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _far(tried: Experiments) -> float:
    """How far points lie from the origin, in units of their spread."""
    sizes = tried.state.runner.spreads(tried.probe.samples)
    found = [0.0]
    for sample in tried.probe.samples[:8]:
        there = leaves(sample)
        for leaf in tried.state.runner.inputs:
            if leaf.rep.has_points:
                flat = leaf.flat(there[leaf.path]).detach().cpu().double()
                found.append(float(flat.reshape(-1, flat.shape[-1]).mean(0).norm()) / sizes[leaf.path])
    return max(found)
