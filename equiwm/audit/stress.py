"""Stress inputs: what the samples do not reach and users meet. Each kind is measured and judged on a line of its own.

Points and vectors of the samples are put into a plane, on a line, on the axes of the laboratory and on a lattice, far
away, close together, on top of each other, to zero; structures with a free number of nodes get eight times as many. The
declared symmetry holds there as anywhere. What is not a break:

- an output that rounding decides there (a principal axis of points on a line): one rounding of the inputs changes it as
  much as a turn does. It is called unstable;
- NaN and infinity at every orientation: a formula that is singular there. They are named. Where they are met at some
  orientations only, and the finite outputs at the others are stable, the orientation decides, and that is a break.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from equiwm.audit.calling import cast
from equiwm.audit.judgement import (
    APPROX,
    BROKEN,
    EXPLAINED,
    LEVELS,
    LOW_BRANCH,
    Judged,
    judge_quantity,
)
from equiwm.audit.measure import Measured, measure
from equiwm.audit.preflight import Preflight
from equiwm.audit.pytree import is_array, leaves, replaced
from equiwm.audit.result import StressResult
from equiwm.audit.running import CallFailed, Outputs, Runner
from equiwm.audit.typed import TypedLeaf
from equiwm.errors import DataError, EquiwmError
from equiwm.symmetry.elements import Elements

ELEMENTS = 16
"""How many elements each kind is turned by."""
FAR, DENSE, CROWD = 100.0, 0.1, 8
"""How far away, in units of the spread; how close together; and how many times as many nodes."""
_NORMAL = (0.48, -0.6, 0.64)
"""A direction that is none of the laboratory's."""

Change = Callable[[Tensor, Tensor, int], Tensor]
"""(N, d) points or vectors of one sample, their centre (1, d), and the number of the sample -> the same, changed."""


@dataclass(frozen=True)
class Kind:
    """One kind of stress.

    Attributes:
        name: what the inputs then are.
        change: of one cloud or set of vectors.
        points: whether it is for points alone.
        dimensions: in which it means something.
    """

    name: str
    change: Change
    points: bool = False
    dimensions: tuple[int, ...] = (2, 3)


def _generic(x: Tensor) -> Tensor:
    return torch.tensor(_NORMAL[: x.shape[-1]], dtype=x.dtype) / math.hypot(*_NORMAL[: x.shape[-1]])


def _in_plane(x: Tensor, centre: Tensor, _: int) -> Tensor:
    n = _generic(x)
    return x - ((x - centre) @ n)[:, None] * n


def _in_plane_of_axes(x: Tensor, centre: Tensor, k: int) -> Tensor:
    kept = torch.ones(x.shape[-1], dtype=x.dtype)
    kept[-1 - k % x.shape[-1]] = 0.0
    return centre * (1 - kept) + x * kept


def _on_line(x: Tensor, centre: Tensor, _: int) -> Tensor:
    n = _generic(x)
    return centre + ((x - centre) @ n)[:, None] * n


def _on_axis(x: Tensor, centre: Tensor, k: int) -> Tensor:
    kept = torch.zeros(x.shape[-1], dtype=x.dtype)
    kept[-1 - k % x.shape[-1]] = 1.0
    return x * kept


def _on_lattice(x: Tensor, centre: Tensor, _: int) -> Tensor:
    h = _spread(x, centre)
    return torch.round(x / h) * h


def _far_away(x: Tensor, centre: Tensor, _: int) -> Tensor:
    return x + FAR * _spread(x, centre) * _generic(x)


def _dense(x: Tensor, centre: Tensor, _: int) -> Tensor:
    return centre + DENSE * (x - centre)


def _duplicated(x: Tensor, centre: Tensor, _: int) -> Tensor:
    return torch.cat([x[:1], x[:1], x[2:]]) if len(x) > 1 else x


def _nothing(x: Tensor, centre: Tensor, _: int) -> Tensor:
    return centre.expand_as(x)


def _spread(x: Tensor, centre: Tensor) -> float:
    return float((x - centre).square().mean().sqrt()) or 1.0


KINDS = (
    Kind("in a plane", _in_plane, dimensions=(3,)),
    Kind("in a plane of axes", _in_plane_of_axes, dimensions=(3,)),
    Kind("on a line", _on_line),
    Kind("on an axis", _on_axis),
    Kind("on a lattice", _on_lattice),
    Kind("far away", _far_away, points=True),
    Kind("dense", _dense, points=True),
    Kind("duplicated", _duplicated),
    Kind("zero", _nothing),
)
"""What is tried, but for a larger number of nodes."""


def stress(state: Preflight, judged: Sequence[Judged], elements: Elements, seed: int) -> list[StressResult]:
    """Every kind of stress that the inputs can be put under; none where no input has points or vectors.

    Args:
        state: how the model is called.
        judged: what the audit has found at the samples: their scales are the least that a residual is relative to.
        elements: of which some are taken, spread over all.
        seed: of directions.
    """
    chosen = elements[torch.linspace(0, len(elements) - 1, min(ELEMENTS, len(elements))).round().long().unique()]
    found = []
    for name, samples in stressed(state, seed):
        found.append(_row(name, samples, state, judged, chosen, seed))
    return found


def stressed(state: Preflight, seed: int) -> Iterator[tuple[str, list[Any]]]:
    """The samples under each kind of stress, float64."""
    runner = state.runner
    samples = [cast(sample, torch.float64) for sample in runner.probe.samples]
    typed = [leaf for leaf in runner.inputs if leaf.rep.structured]
    for kind in KINDS:
        asked = [leaf for leaf in typed if leaf.rep.has_points or not kind.points]
        if asked and runner.probe.d in kind.dimensions:
            yield kind.name, [_changed(sample, k, kind, asked, state) for k, sample in enumerate(samples)]
    crowded = _crowded(samples, runner, seed)
    if crowded is not None:
        yield "crowded", crowded


def _changed(sample: Any, number: int, kind: Kind, asked: list[TypedLeaf], state: Preflight) -> Any:
    there, new = leaves(sample), {}
    for leaf in asked:
        flat = leaf.flat(there[leaf.path]).detach().cpu()
        rows = flat if state.batch else flat[None]
        made = [_cloud(row, leaf, kind, k if state.batch else number) for k, row in enumerate(rows)]
        new[leaf.path] = leaf.restored(torch.stack(made) if state.batch else made[0], there[leaf.path])
    return replaced(sample, new)


def _cloud(flat: Tensor, leaf: TypedLeaf, kind: Kind, number: int) -> Tensor:
    """(*lead, dim) of one sample: its copies are the points of a cloud; of one copy the last axis before it is."""
    rep = leaf.rep
    copies = flat.unflatten(-1, (rep.multiplicity, rep.d))
    clouds = copies.reshape(-1, rep.multiplicity, rep.d) if rep.multiplicity > 1 else copies.reshape(1, -1, rep.d)
    made = []
    for cloud in clouds:
        centre = cloud.mean(0, keepdim=True) if rep.has_points else torch.zeros(1, rep.d, dtype=cloud.dtype)
        made.append(kind.change(cloud, centre, number))
    return torch.stack(made).reshape(flat.shape)


def _crowded(samples: list[Any], runner: Runner, seed: int) -> list[Any] | None:
    """Structures with more nodes, where the number of nodes is free and every array has one entry a node."""
    if not isinstance(runner.probe.inputs, list):
        return None
    steps = iter(range(1, CROWD * len(samples)))
    found = []
    for sample in samples:
        arrays = {path: leaf for path, leaf in leaves(sample).items() if is_array(leaf) and leaf.ndim}
        if len({len(leaf) for leaf in arrays.values()}) != 1:
            return None
        parts = [sample]
        for _ in range(CROWD - 1):
            parts += runner.moved([sample], runner.directions([sample], seed + next(steps)), 1.0, torch.float64)
        held = [leaves(part) for part in parts]
        new = {
            path: torch.cat([torch.as_tensor(each[path]) for each in held]).to(torch.as_tensor(leaf))
            for path, leaf in arrays.items()
        }
        found.append(
            replaced(
                sample, {path: made if isinstance(arrays[path], Tensor) else made.numpy() for path, made in new.items()}
            )
        )
    return found


# One kind


def _row(
    name: str, samples: list[Any], state: Preflight, judged: Sequence[Judged], elements: Elements, seed: int
) -> StressResult:
    try:
        singular = _singular(samples, state, elements, seed)
        if singular is not None:
            return StressResult(name, singular[0], math.nan, math.nan, math.nan, "", singular[1])
        there = _judged(samples, state, judged, elements, seed)
    except CallFailed as error:
        return StressResult(name, "not judged", math.nan, math.nan, math.nan, "", f"The model raised: {error}.")
    except (DataError, EquiwmError) as error:
        return StressResult(name, "not judged", math.nan, math.nan, math.nan, "", str(error))
    outputs = [each for each in there if each.best.quantity.over is None]
    worst = max(outputs, key=lambda each: (each.verdict, float(each.best.residual[each.worst])))
    place, channel = worst.worst
    best, low = worst.best, worst.low
    residual, rounding = float(best.residual[place, channel]), float(best.rounding[place, channel])
    verdict, text = str(LEVELS[worst.verdict]), ""
    if worst.verdict in (APPROX, BROKEN):
        rounding = max(rounding, _rounding_turned(worst, samples, state, elements, seed))
        if residual <= EXPLAINED * rounding:
            verdict = "unstable"
            text = "One rounding of the inputs changes the output as much as an element does: nothing is said there."
    return StressResult(
        name,
        verdict,
        residual,
        rounding,
        float(low.residual[place, channel]),
        f"{best.quantity.name}, {best.quantity.channels[channel].name}",
        text,
    )


def _judged(
    samples: list[Any], state: Preflight, judged: Sequence[Judged], elements: Elements, seed: int
) -> list[Judged]:
    """As at the samples, and a residual is relative to their scale at least: an output may vanish under stress."""
    sides = []
    for dtype in dict.fromkeys((state.low, *([torch.float64] if state.high else []))):
        before = {each.best.quantity.name: each.best if dtype == each.best.dtype else each.low for each in judged}
        found = measure(state.runner, samples, elements, dtype, batch=state.batch, seed=seed)
        sides.append([_scaled(each, before.get(each.quantity.name)) for each in found])
    high = sides[-1] if state.high else None
    return [judge_quantity(low, None if high is None else high[k]) for k, low in enumerate(sides[0])]


def _scaled(here: Measured, before: Measured | None) -> Measured:
    if before is None or before.scale.shape != here.scale.shape:
        return here
    return replace(here, scale=torch.maximum(here.scale, before.scale))


def _rounding_turned(judged: Judged, samples: list[Any], state: Preflight, elements: Elements, seed: int) -> float:
    """Rounding of the deciding channel at the inputs turned by the worst element."""
    place, channel = judged.worst
    best = judged.best
    worst = int(best.per_element[:, place, channel].argmax())
    turned = state.runner.turned(samples, elements[worst], best.dtype)
    still = state.runner.probe.acting.identity(1)
    found = measure(state.runner, turned, still, best.dtype, batch=state.batch, seed=seed)
    here = next(each for each in found if each.quantity.name == best.quantity.name)
    return float(replace(here, scale=best.scale).rounding[place, channel])


def _singular(samples: list[Any], state: Preflight, elements: Elements, seed: int) -> tuple[str, str] | None:
    """Whether outputs are not finite, and whether the orientation decides that."""
    runner, dtype = state.runner, torch.float64 if state.high else state.low
    samples = [cast(sample, dtype) for sample in samples]
    runner.finite = False
    try:
        straight = runner(samples, dtype)
        inside = [_finite(straight, state)]
        turned = []
        for k in range(min(4, len(elements))):
            turned.append(runner.turned(samples, elements[k], dtype))
            inside.append(_finite(runner(turned[-1], dtype), state))
        fine = torch.stack(inside)
        if bool(fine.all()):
            return None
        mixed = fine.any(0) & ~fine.all(0)
        bad = torch.nonzero(~fine.all(0)).flatten().tolist()
        said = f"An output is NaN or infinite at {len(bad)} of {fine.shape[1]} samples ({', '.join(map(str, bad[:5]))})"
        if bool((mixed & _stable(runner, turned, fine, dtype, seed, state)).any()):
            return (
                "broken",
                f"{said}, at some orientations alone: the formula is singular on an axis of the laboratory.",
            )
        return "not finite", f"{said}: a formula that is singular there."
    finally:
        runner.finite = True


def _finite(outputs: Outputs, state: Preflight) -> Tensor:
    """(S,) whether all outputs of a sample are."""
    if state.batch:
        found = [values.reshape(state.batch, -1).isfinite().all(1) for values in outputs[0].values()]
        return torch.stack(found).all(0)
    return torch.tensor([all(bool(values.isfinite().all()) for values in entry.values()) for entry in outputs])


def _stable(
    runner: Runner, turned: list[list[Any]], fine: Tensor, dtype: torch.dtype, seed: int, state: Preflight
) -> Tensor:
    """(S,) whether at some orientation the outputs are finite and one rounding of the inputs changes little."""
    found = torch.zeros(fine.shape[1], dtype=torch.bool)
    for k, samples in enumerate(turned):
        here = runner(samples, dtype)
        good = fine[k + 1].clone()
        for draw in range(4):
            there = runner(runner.jittered(samples, dtype, seed + draw), dtype)
            good &= _finite(there, state) & _near(here, there, state)
        found |= good
    return found


def _near(one: Outputs, other: Outputs, state: Preflight) -> Tensor:
    """(S,) whether two answers agree to a thousandth."""
    if state.batch:
        parts = [(a.reshape(state.batch, -1), other[0][path].reshape(state.batch, -1)) for path, a in one[0].items()]
        return torch.stack([(a - b).norm(dim=1) <= LOW_BRANCH * a.norm(dim=1) for a, b in parts]).all(0)
    return torch.tensor(
        [
            all(float((a - there[path]).norm()) <= LOW_BRANCH * float(a.norm()) for path, a in here.items())
            for here, there in zip(one, other, strict=True)
        ]
    )


def worst_of(found: Sequence[StressResult]) -> StressResult | None:
    """The kind that is worst, of those that break; None where none does."""
    ranks: dict[str, int] = {LEVELS[APPROX]: 1, LEVELS[BROKEN]: 2}
    return max((each for each in found if each.verdict in ranks), key=lambda each: ranks[each.verdict], default=None)
