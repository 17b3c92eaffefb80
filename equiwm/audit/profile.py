"""What else does a network carry? Motions, permutations, scalings and signs, declared or not, one at a time.

A network with a symmetry that its world lacks is forced to wrong predictions; one that lacks what its world has must
learn it. Every row is measured with the reps of the probe: under O(3), say, what a vector does there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.calling import cast
from equiwm.audit.channels import sizes
from equiwm.audit.judgement import EXACT, LEVELS, VACUOUS, Judged, judge_quantity
from equiwm.audit.measure import Measured, measure, rows_at
from equiwm.audit.preflight import Preflight
from equiwm.audit.pytree import Path, is_array, leaves, replaced
from equiwm.audit.result import SymmetryOutput, SymmetryResult
from equiwm.audit.running import CallFailed, Outputs
from equiwm.errors import DataError, EquiwmError
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
    maps = _Maps(state, seed)
    alike = state.runner.probe.alike.items()
    described = [maps.row(name, change, lambda values: values, declared=True) for name, change in alike]
    return [*_motions(maps, seed), *described, *_permutation(maps, seed), *_scalings(maps)]


def _motions(maps: _Maps, seed: int) -> Iterator[SymmetryResult]:
    state = maps.state
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
        yield maps.motion(name, elements, declared=declared)


def _row(name: str, declared: bool, judged: list[Judged] | None) -> SymmetryResult:
    if not judged:
        return SymmetryResult(name, declared, float("nan"), "not judged", "")
    worst = max(judged, key=lambda each: float(each.best.residual[each.worst]))
    levels = [each.verdict for each in judged if each.verdict != VACUOUS]
    return SymmetryResult(
        name,
        declared,
        float(worst.best.residual[worst.worst]),
        LEVELS[max(levels)] if levels else LEVELS[VACUOUS],
        worst.best.quantity.name,
        [
            SymmetryOutput(
                each.best.quantity.name,
                LEVELS[each.verdict],
                float(each.best.residual[each.worst]),
                float(each.best.rounding[each.worst]),
            )
            for each in judged
        ],
    )


def _permutation(maps: _Maps, seed: int) -> Iterator[SymmetryResult]:
    """Items exchanged along the axis before the rep's, in every leaf that has as many there."""
    state = maps.state
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
    name = "permutations of items"
    if any(_unclear(state, sample, count) for sample in samples):
        yield _row(name, False, None)
        return
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))

    def exchanged(tree: Any) -> Any:
        there = leaves(tree)
        new: dict[Path, Any] = {}
        typed = {leaf.path: leaf for leaf in state.runner.inputs}
        for path, leaf in there.items():
            if path in typed:
                new[path] = typed[path].restored(_along(typed[path].flat(leaf), order, count), leaf)
            elif is_array(leaf):
                axes = [axis for axis in range(leaf.ndim) if leaf.shape[axis] == count]
                if axes:
                    new[path] = leaf[(slice(None),) * axes[0] + (order,)]
        return replaced(tree, new)

    yield maps.row(name, exchanged, lambda values: _along(values, order, count))


def _unclear(state: Preflight, sample: Any, count: int) -> bool:
    """Whether a leaf without a rep may count items otherwise: twice, or by numbers that are places of items."""
    typed = {leaf.path for leaf in state.runner.inputs}
    for path, leaf in leaves(sample).items():
        if path in typed or not is_array(leaf) or math.prod(leaf.shape) < 2:
            continue
        times = sum(size == count for size in leaf.shape)
        dtype = torch.as_tensor(leaf).dtype
        if times > 1 or (not times and not dtype.is_floating_point and dtype != torch.bool):
            return True
    return False


def _dims(state: Preflight, leaf: Any) -> int:
    return int(leaf.flat(leaves(state.runner.probe.samples[0])[leaf.path]).dim())


def _along(values: Tensor, order: Tensor, count: int) -> Tensor:
    """Rows (*lead, dim) with the items of the last leading axis exchanged, where it counts them."""
    if values.dim() < 2 or values.shape[-2] != count:
        return values
    return values.index_select(-2, order.to(values.device))


class _Maps:
    """Symmetries as they are judged in an audit: beside the rounding, in float64 and, where that says more, below."""

    def __init__(self, state: Preflight, seed: int) -> None:
        self.state, self.seed = state, seed
        self.dtype = torch.float64 if state.high else state.low
        self._bases: dict[torch.dtype, list[Measured]] = {}

    def _samples(self, dtype: torch.dtype) -> list[Any]:
        return [cast(sample, dtype) for sample in self.state.runner.probe.samples]

    def _base(self, dtype: torch.dtype) -> list[Measured]:
        """Scale and rounding of every output, which no symmetry changes."""
        if dtype not in self._bases:
            state = self.state
            still = state.runner.probe.acting.identity(1)
            found = measure(state.runner, self._samples(dtype), still, dtype, batch=state.batch, seed=self.seed)
            self._bases[dtype] = [each for each in found if each.quantity.over is None]
        return self._bases[dtype]

    def _judged(self, made: Callable[[torch.dtype], list[Measured]]) -> list[Judged] | None:
        """Float64 decides where it is exact; else float32 tells constants that were rounded to it."""
        low = self.state.low
        try:
            best = made(self.dtype)
            if self.dtype != torch.float64:
                return [judge_quantity(each, None) for each in best]
            judged = [judge_quantity(each, each) for each in best]
            if low == self.dtype or all(each.verdict in (EXACT, VACUOUS) for each in judged):
                return judged
            return [judge_quantity(*both) for both in zip(made(low), best, strict=True)]
        except (CallFailed, EquiwmError):
            return None

    def motion(self, name: str, elements: Elements, *, declared: bool) -> SymmetryResult:
        """Elements of a group of motions."""
        state = self.state

        def made(dtype: torch.dtype) -> list[Measured]:
            base = self._base(dtype)
            samples = self._samples(dtype)
            found = measure(state.runner, samples, elements, dtype, batch=state.batch, seed=self.seed, brief=True)
            outputs = [each for each in found if each.quantity.over is None]
            return [
                dataclasses.replace(each, scale=known.scale, noise=known.noise)
                for each, known in zip(outputs, base, strict=True)
            ]

        return _row(name, declared, self._judged(made))

    def row(
        self,
        name: str,
        change: Callable[[Any], Any],
        expected: Callable[[Tensor], Tensor],
        *,
        declared: bool = False,
    ) -> SymmetryResult:
        """One map of the inputs: what is expected of the outputs less what is found, of every channel.

        Args:
            name: of the symmetry.
            change: of a sample.
            expected: of an output leaf, (..., dim).
            declared: whether the probe says it.
        """
        runner, batch = self.state.runner, self.state.batch

        def made(dtype: torch.dtype) -> list[Measured]:
            samples = self._samples(dtype)
            before = runner(samples, dtype)
            after = runner([change(sample) for sample in self._samples(dtype)], dtype)
            straight = [{path: expected(values) for path, values in one.items()} for one in before]
            found = []
            for base in self._base(dtype):
                there, here = (rows_at(base.quantity, outputs, samples, batch).rows for outputs in (after, straight))
                if there.shape != here.shape:
                    raise DataError(f"{base.quantity.name} has another shape at changed inputs.")
                path = base.quantity.leaf.path
                grown = _rms(straight, path) / max(_rms(before, path), 1e-300)
                apart = sizes(base.quantity.rep.difference(here, there), base.quantity.rep)
                found.append(
                    dataclasses.replace(
                        base,
                        pairs=apart[None],
                        scale=base.scale * grown,
                        noise=base.noise * grown,
                        size=base.size * grown,
                        unturned=apart.square().mean(0).sqrt()[None],
                        motions=torch.zeros(1, dtype=torch.long),
                    )
                )
            return found

        return _row(name, declared, self._judged(made))


def _rms(outputs: Outputs, path: Path) -> float:
    return float(torch.cat([one[path].reshape(-1) for one in outputs]).square().mean().sqrt())


def _scalings(maps: _Maps) -> Iterator[SymmetryResult]:
    """F(lambda x) = lambda^k F(x) for one power k of all outputs."""
    inputs = maps.state.runner.inputs

    def scaled(by: float) -> Callable[[Any], Any]:
        def change(tree: Any) -> Any:
            there = leaves(tree)
            return replaced(
                tree,
                {leaf.path: leaf.restored(by * leaf.flat(there[leaf.path]), there[leaf.path]) for leaf in inputs},
            )

        return change

    best: SymmetryResult | None = None
    for power in POWERS:
        rows = [maps.row(f"scalings (power {power})", scaled(by), partial(torch.mul, by**power)) for by in SCALES]
        worst = max(rows, key=lambda row: row.residual)
        if any(math.isnan(row.residual) for row in rows):  # it does not take inputs of that size
            continue
        if best is None or worst.residual < best.residual:
            best = worst
    if best is not None:
        yield best
