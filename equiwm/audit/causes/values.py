"""Causes in the values: a grid, a constant, a branch, a small part that the rest hides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from equiwm.audit.causes.experiments import FEW, Experiments
from equiwm.audit.judgement import BRANCH, FOLLOWS, LEVELS, NO_ROUNDING, Judged
from equiwm.audit.measure import Quantity
from equiwm.audit.preflight import Finding
from equiwm.audit.running import Runner
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.reps import Rep

RARE = 0.1
"""A share of the pairs below this is none of a wrong rep, of a mode or a constant: these break most."""
CONSTANT = 0.02
"""What the best constant leaves of Delta where there is one: at most 2e-12 in the zoo where one was planted, at least
0.33 where none was; float32 leaves 1e-3 of a break of 1e-4."""


def grid(tried: Experiments) -> Iterator[Finding]:
    """Values on a grid: as coarse with every operation in float64 as without."""
    if not tried.state.runner.promote:
        return
    for each in (each for each in tried.failing if each.best.quantity.over is None):
        place, channel = each.worst
        high, low = (float(side.rounding[place, channel]) for side in (each.best, each.low))
        if not bool(each.inside[place, channel]) or high <= FOLLOWS * low:
            continue
        name = each.best.quantity.name
        if high > NO_ROUNDING:
            text = (
                f"{name}: one rounding of the inputs changes it by {high:.1e} of its variation, in float64 too: it is "
                "chaotic, or these inputs stand on a branch; whether it is symmetric cannot be told at them."
            )
            yield Finding("amplified rounding", text)
        else:
            text = (
                f"{name} jumps by {high:.1e} of its variation between neighbouring inputs, with every operation in "
                "float64 too: values are rounded to a grid, counted or looked up; no precision cures that."
            )
            yield Finding("values on a grid", text)
        return


def constant(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """A constant in a channel that turns: Delta = (rho(g) - 1) c for one c and every sample."""
    samples, elements = tried.few(tried.probe.samples), tried.sample(n=2 * FEW)
    runner = tried.state.runner
    straight = runner(samples, tried.dtype)
    for each in (each for each in tried.failing if each.best.quantity.over is None):
        rep = each.best.quantity.rep
        delta = _delta(runner, each.best.quantity, straight, samples, elements, tried.dtype)
        length, left = _fitted_constant(rep, elements, delta)
        if delta.shape[-1] > 1 and left <= CONSTANT * float(delta.norm()):
            yield Finding(
                "a constant",
                f"{each.best.quantity.name} holds a constant that does not turn, of length "
                f"{length:.2g}: a bias, or a default, in a channel of {rep}.",
            )


def _delta(
    runner: Runner, quantity: Quantity, straight: Any, samples: list[Any], elements: Elements, dtype: torch.dtype
) -> Tensor:
    """(G, dim, rows): Delta of every element, a column a row of the output."""
    path, rep = quantity.leaf.path, quantity.rep
    rows = []
    for k in range(len(elements)):
        got = runner(runner.turned(samples, elements[k], dtype), dtype)
        parts = [
            (rep.transform(before[path], elements[k]) - after[path]).reshape(-1, rep.dim)
            for before, after in zip(straight, got, strict=True)
        ]
        rows.append(torch.cat(parts).mT)
    return torch.stack(rows)


def _fitted_constant(rep: Rep, elements: Elements, delta: Tensor) -> tuple[float, float]:
    """Length of the c of which (rho(g) - 1) c fits Delta best, and the norm of what it leaves.

    rho(g) has a block a copy of a kind, so that copies are fitted apart: the matrix of a wide rep would not fit into
    memory.
    """
    squares = torch.zeros(2, dtype=torch.float64)
    start = 0
    for count, kind in rep.terms:
        one = Rep([(1, kind)], rep.d)
        turned = (one.matrix(elements) - torch.eye(one.dim, dtype=torch.float64)).flatten(0, 1)
        block = delta[:, start : start + count * one.dim].unflatten(1, (count, one.dim))
        right = block.transpose(1, 2).flatten(0, 1)  # (G kind, copies, rows)
        fit = torch.linalg.lstsq(turned, right.mean(-1), driver="gelsd").solution
        left = right - (turned @ fit)[..., None]
        squares += torch.stack([fit.square().sum(), left.square().sum()])
        start += count * one.dim
    length, left_over = squares.sqrt().tolist()
    return length, left_over


def rare(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """A branch that so few pairs show that the few elements of an experiment may miss it, and all would seem cured."""
    if all(bool(each.branches.any()) and float(_bad(each).double().mean()) < RARE for each in tried.failing):
        yield from branches(tried, names)


def _bad(each: Judged) -> Tensor:
    """(G, S): the pairs that break, in the first channel that is on a branch."""
    place, channel = (int(k) for k in torch.nonzero(each.branches)[0])
    return each.best.pairs[:, :, place, channel] / each.best.scale[place, channel] > BRANCH[torch.float64]


def branches(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """A branch that some pairs of sample and element take and others do not."""
    for each in tried.failing:
        if not bool(each.branches.any()):
            continue
        bad = _bad(each)
        share = float(bad.double().mean())
        samples = torch.nonzero(bad.any(0)).flatten().tolist()
        shown = ", ".join(map(str, samples[:5])) + (", ..." if len(samples) > 5 else "")
        yield Finding(
            "a branch",
            f"{each.best.quantity.name}: {_percent(share)} of the pairs of sample and element break, "
            f"most are exact (samples {shown}): ties, cut-offs, sorted neighbours, a cap, or the signs of a frame.",
        )
        return


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1g}"


def hidden(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """What a check of everything at once would not see."""
    for each in tried.failing:
        place, channel = each.worst
        share = float(each.best.scale[place, channel] / each.best.size.square().mean().sqrt())
        if each.best.quantity.over is not None and not any(
            other.best.quantity.leaf.path == each.best.quantity.leaf.path and other.best.quantity.over is None
            for other in tried.failing
        ):
            yield Finding(
                "hidden by the identity", f"{each.best.quantity.name} is {LEVELS[each.verdict]}; x + ... hides it."
            )
        elif share < 1e-2:
            yield Finding(
                "a small part",
                f"The channel that fails varies by {share:.1e} of the size of {each.best.quantity.name}: beside the "
                "rest it is not seen.",
            )
