"""What else does a network carry? Motions, permutations, scalings and signs, declared or not, one at a time.

A network with a symmetry that its world lacks is forced to wrong predictions; one that lacks what its world has must
learn it. Every row is measured with the reps of the probe: under O(3), say, what a vector does there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.calling import cast
from equiwm.audit.judgement import APPROX, APPROXIMATE, BROKEN, EXACT, LEVELS, VACUOUS, judge_quantity, tolerance
from equiwm.audit.measure import Measured, measure
from equiwm.audit.preflight import Preflight
from equiwm.audit.pytree import is_array, leaves, replaced
from equiwm.audit.result import SymmetryResult
from equiwm.audit.running import CallFailed
from equiwm.errors import EquiwmError
from equiwm.symmetry.elements import Elements, haar_rotations

ELEMENTS = 16
"""How many elements of each symmetry."""
SCALES = (0.5, 1.7)
"""By how much inputs are scaled."""
POWERS = (0, 1, 2, 3, -1, -2)
"""Powers of the scale that an output may follow."""


def symmetry_profile(state: Preflight, seed: int) -> list[SymmetryResult]:
    """Each symmetry, its residual, and whether the probe declares it.

    Args:
        state: how the model is called.
        seed: of the elements.
    """
    return [*_motions(state, seed), *_permutation(state, seed), *_scalings(state)]


def _motions(state: Preflight, seed: int) -> Iterator[SymmetryResult]:
    probe, d = state.runner.probe, state.runner.probe.d
    if d not in (2, 3):
        return
    rng = np.random.default_rng(seed)
    turns = haar_rotations(ELEMENTS, rng, d)
    still = torch.zeros(ELEMENTS, d, dtype=torch.float64)
    mirror = torch.eye(d, dtype=torch.float64)
    mirror[0, 0] = -1.0
    reach = state.runner.reach(probe.samples)
    moved = reach * torch.from_numpy(rng.normal(size=(ELEMENTS, d)))
    eye = torch.eye(d, dtype=torch.float64).expand(ELEMENTS, d, d)
    motions = {
        "rotations": Elements(turns, still),
        "reflections": Elements(turns @ mirror, still),
        "inversion": Elements(-eye[:1], still[:1]),
        "translations": Elements(eye, moved),
    }
    points = any(leaf.rep.has_points for leaf in state.runner.inputs)
    for name, elements in motions.items():
        if name == "translations" and not points:
            continue
        if name == "inversion" and d == 2:  # a half turn
            continue
        declared = bool(probe.acting.contains(elements.acting_on(d, probe.acting.items)).all())
        yield _row(name, declared, _measured(state, elements, seed))


def _measured(state: Preflight, elements: Elements, seed: int) -> list[Measured] | None:
    dtype = torch.float64 if state.high else state.low
    try:
        return measure(state.runner, state.runner.probe.samples, elements, dtype, batch=state.batch, seed=seed)
    except (CallFailed, EquiwmError):
        return None


def _row(name: str, declared: bool, found: list[Measured] | None) -> SymmetryResult:
    if found is None:
        return SymmetryResult(name, declared, float("nan"), "not judged", "")
    judged = [judge_quantity(each, each if each.dtype == torch.float64 else None) for each in found]
    outputs = [each for each in judged if each.best.quantity.over is None]
    worst = max(outputs, key=lambda each: float(each.best.residual[each.worst]))
    levels = [each.verdict for each in outputs if each.verdict != VACUOUS]
    verdict = LEVELS[max(levels)] if levels else LEVELS[VACUOUS]
    return SymmetryResult(name, declared, float(worst.best.residual[worst.worst]), verdict, worst.best.quantity.name)


def _permutation(state: Preflight, seed: int) -> Iterator[SymmetryResult]:
    """Items exchanged along the axis before the rep's, in every leaf that has as many there."""
    probe = state.runner.probe
    samples = probe.samples
    counts = {
        leaf.flat(leaves(samples[0])[leaf.path]).shape[-2]
        for leaf in state.runner.inputs
        if leaf.flat(leaves(samples[0])[leaf.path]).dim() >= 2
    }
    if len(counts) != 1 or (state.batch and all(_dims(state, leaf) == 2 for leaf in state.runner.inputs)):
        return
    (count,) = counts
    if count < 2:
        return
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))

    def exchanged(tree: Any) -> Any:
        new = {}
        for path, leaf in leaves(tree).items():
            if is_array(leaf) and leaf.ndim:
                axes = [axis for axis in range(leaf.ndim) if leaf.shape[axis] == count]
                if axes:
                    new[path] = leaf[(slice(None),) * axes[-1] + (order,)] if leaf.ndim > axes[-1] else leaf
        return replaced(tree, new)

    yield _by_map(state, "permutations of items", exchanged, lambda values: _along(values, order, count))


def _dims(state: Preflight, leaf: Any) -> int:
    return int(leaf.flat(leaves(state.runner.probe.samples[0])[leaf.path]).dim())


def _along(values: Tensor, order: Tensor, count: int) -> Tensor:
    axes = [axis for axis in range(values.dim() - 1) if values.shape[axis] == count]
    return values.index_select(axes[-1], order) if axes else values


def _by_map(
    state: Preflight, name: str, change: Callable[[Any], Any], expected: Callable[[Tensor], Tensor]
) -> SymmetryResult:
    """A symmetry that is one map of the inputs: RMS of what is expected less what is found, over the variation."""
    runner, samples = state.runner, state.runner.probe.samples
    dtype = torch.float64 if state.high else state.low
    copies = [cast(sample, dtype) for sample in samples]
    try:
        before, after = runner(copies, dtype), runner([change(sample) for sample in copies], dtype)
    except (CallFailed, EquiwmError):
        return SymmetryResult(name, False, float("nan"), "not judged", "")
    worst, where = 0.0, ""
    for leaf in runner.outputs:
        straight = torch.cat([expected(one[leaf.path]).reshape(-1) for one in before])
        found = torch.cat([one[leaf.path].reshape(-1) for one in after])
        if straight.shape != found.shape:
            return SymmetryResult(name, False, float("nan"), "not judged", leaf.name)
        spread = straight - straight.mean() if len(straight) > 1 else straight
        off = float((straight - found).square().mean().sqrt() / spread.square().mean().sqrt().clamp(min=1e-300))
        if off >= worst:
            worst, where = off, leaf.name
    level = EXACT if worst <= tolerance(dtype) else APPROX if worst <= APPROXIMATE else BROKEN
    return SymmetryResult(name, False, worst, LEVELS[level], where)


def _scalings(state: Preflight) -> Iterator[SymmetryResult]:
    """F(lambda x) = lambda^k F(x) for one power k of all outputs."""
    runner = state.runner

    def scaled(by: float) -> Callable[[Any], Any]:
        def change(tree: Any) -> Any:
            there = leaves(tree)
            return replaced(
                tree,
                {
                    leaf.path: leaf.restored(by * leaf.flat(there[leaf.path]), there[leaf.path])
                    for leaf in runner.inputs
                },
            )

        return change

    best: SymmetryResult | None = None
    for power in POWERS:
        rows = [_by_map(state, f"scalings (power {power})", scaled(by), partial(torch.mul, by**power)) for by in SCALES]
        worst = max(rows, key=lambda row: row.residual)
        if any(math.isnan(row.residual) for row in rows):  # it does not take inputs of that size
            continue
        if best is None or worst.residual < best.residual:
            best = worst
    if best is not None:
        yield best
