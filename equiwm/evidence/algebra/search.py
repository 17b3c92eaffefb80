"""The search on a map that can be asked: points, spectrum, names, finite motions, and whether the answer is sure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.evidence.algebra.derivative import carries, pushed
from equiwm.evidence.algebra.family import Family, family_of, fields
from equiwm.evidence.algebra.finite import finite_symmetries
from equiwm.evidence.algebra.maps import Leaf, Map, thinned
from equiwm.evidence.algebra.points import EQUATIONS, drawn_in, generic, with_motions
from equiwm.evidence.algebra.recognise import Generator, recognised
from equiwm.evidence.algebra.result import DiscoverResult, GeneratorResult, NearResult
from equiwm.evidence.algebra.spectral import Solved, named_null, solve
from equiwm.evidence.algebra.verify import Affine, Comparison, Held, comparison, verified

_FLOOR, _FLOOR_SINGLE = 1e-7, 1e-3
"""Residual of a finite motion that is rounding, in float64 and in float32."""
NEAR, _LOOSE = 0.05, 4.0
"""Residual of what is still called nearly a symmetry; and how much more the motion that is named for it may have."""
_NEARLY = 0.1
"""How far, as an angle, the motion that is named may be from those that are nearly symmetries."""
_KERNEL = 1e-6
"""Derivatives smaller than this, relative to the largest, are zero."""
_CLOSED = 1e-4
"""How far a bracket may be from the algebra."""


@dataclass(eq=False)
class _Findings:
    """What is found on the way."""

    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    near: list[NearResult] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Tried:
    """A generator, whether it holds to the end, and a finite motion along it."""

    generator: Generator
    held: Held
    motion: list[Affine]


def search(built: Map, *, source: str, free: bool, seed: int, finite: bool = True) -> DiscoverResult:
    """The symmetries of a map.

    Args:
        built: the map.
        source: `world` or `model`.
        free: any matrix on every leaf.
        seed: of directions and moved copies.
        finite: whether finite symmetries are looked for too.

    Raises:
        DataError: too many unknowns, or a map that answers differently when it is asked again.
    """
    started = time.perf_counter()
    _require_deterministic(built)
    found = _Findings()
    if built.tied and not carries(built, seed):
        unknowns = len(family_of(built, free=free))
        built = thinned(built, -(-EQUATIONS * unknowns // built.outputs[0].dim))
    built = generic(drawn_in(built), free, seed, found.reasons, found.notes)
    solved = solve(built, free, seed, found.reasons)
    if solved is None:
        return _nothing(built, source, found, seed, started, free=free)
    tried, compare = _tried(solved, seed)
    motions = [each.motion for each in tried if not each.held.holds]
    if motions:
        again = solve(with_motions(solved.built.checked(), motions), free, seed, found.reasons)
        if again is not None and again.null < solved.null:
            solved = again
            tried, compare = _tried(solved, seed)
    kept = [each for each in tried if each.held.holds]
    _judge_failing([each for each in tried if not each.held.holds], found)
    _judge(solved, [each.generator for each in kept], found)
    names = [each.generator.name for each in kept]
    idle = _along_ignored(solved, kept, seed) if free else []
    if idle:
        found.notes.append(
            f"{len(idle)} of them move only along directions that it ignores, by lengths that depend on the place: "
            f"{'; '.join(idle)}."
        )
    every = finite_symmetries(solved.built, solved.system.family, compare, names) if finite else []
    return DiscoverResult(
        dimension=len(kept),
        sure=not found.reasons,
        reasons=list(dict.fromkeys(found.reasons)),
        generators=[_entry(solved, each) for each in kept],
        finite=every,
        near=found.near,
        singular_values=[float(value) for value in solved.spectrum.values],
        gap=_gap(solved),
        noise=solved.noise,
        resolution=float("nan"),
        source=source,
        reps=reps_of(built, free=free),
        notes=found.notes,
        samples=sum(len(point[0]) if built.separate else 1 for point in built.points),
        seconds=time.perf_counter() - started,
        seed=seed,
    )


def reps_of(built: Map, *, free: bool) -> dict[str, str]:
    """Leaf -> its rep in words."""
    leaves = [*built.inputs, *built.outputs]
    return {leaf.name: "free" if free or leaf.rep is None else str(leaf.rep) for leaf in leaves}


def _nothing(built: Map, source: str, found: _Findings, seed: int, started: float, *, free: bool) -> DiscoverResult:
    """Nothing could be said."""
    return DiscoverResult(
        None, False, found.reasons, [], [], [], [], float("nan"), float("nan"), float("nan"), source,
        reps_of(built, free=free), found.notes, len(built.points), time.perf_counter() - started, seed,
    )  # fmt: skip


def _require_deterministic(built: Map) -> None:
    for index, point in enumerate(built.points[:2]):
        few = tuple(x[:4] for x in point) if built.separate else point
        first, again = built(index, few), built(index, few)
        if any(not torch.equal(one, other) for one, other in zip(first, again, strict=True)):
            raise DataError("it gives two answers for one input; expected a map that is the same whenever it is asked.")


def _tried(solved: Solved, seed: int) -> tuple[list[_Tried], Comparison]:
    """The null space by name, each of its motions tried to the end."""
    spectrum, family = solved.spectrum, solved.system.family
    single = solved.built.rounding > 1e-10
    compare = comparison(solved.built.checked(), solved.scales, family, _FLOOR_SINGLE if single else _FLOOR, seed)
    tried = []
    for generator in named_null(solved):
        size = float((spectrum.whitening @ generator.theta).norm())
        tried.append(_Tried(generator, *verified(family, generator, size, compare)))
    return tried, compare


def _gap(solved: Solved) -> float:
    values = solved.spectrum.values
    below = float(values[solved.null - 1]) if solved.null else solved.noise
    above = float(values[solved.null]) if solved.null < len(values) else 1.0
    return above / max(below, float(np.finfo(float).eps))


def _judge_failing(failing: list[_Tried], found: _Findings) -> None:
    """Motions that hold to first order and not to the end: a jump, or a region, is in between."""
    for each in failing:
        name, held = each.generator.name, each.held
        if held.judged:
            found.near.append(NearResult(name, held.residual, held.share))
        else:
            found.reasons.append(f"{name} holds to first order; no finite motion leads to inputs that it takes")
    if sum(each.held.judged for each in failing) > 1:
        found.reasons.append(
            f"{len(failing)} motions hold to first order and break after a finite motion (jumps, or a border): of "
            "their sums some may be symmetries"
        )


def _judge(solved: Solved, kept: list[Generator], found: _Findings) -> None:
    """What speaks against the dimension."""
    if len(solved.doubtful):
        values = ", ".join(f"{float(value):.1e}" for value in solved.doubtful[:4])
        found.reasons.append(
            f"{len(solved.doubtful)} singular values ({values}) are neither rounding (at most {solved.bound:.0e}) nor "
            f"a break (at least {solved.clear:.0e})"
        )
    off = _bracket(solved, kept)
    if off > max(_CLOSED, 1e2 * solved.bound):
        found.reasons.append(f"brackets of the generators lead out of them by {off:.1e}: more samples are needed")
    found.near += _near(solved, [each.name for each in kept])


def _near(solved: Solved, known: list[str]) -> list[NearResult]:
    """Motions that are nearly symmetries, by name."""
    spectrum, family = solved.spectrum, solved.system.family
    close = int((spectrum.values <= NEAR).sum())
    if close <= solved.null:
        return []
    basis = torch.eye(len(spectrum.values), dtype=torch.float64)[:, :close]
    found = []
    for generator in recognised(family, basis, spectrum.whitening, _NEARLY):
        moved = float((spectrum.whitening @ generator.theta).norm())
        residual = float((solved.system.residual @ generator.theta).norm()) / moved
        if solved.bound < residual <= _LOOSE * NEAR and generator.name not in known:
            found.append(NearResult(generator.name, residual, 1.0))
    return found


def _bracket(solved: Solved, kept: list[Generator]) -> float:
    """How far brackets of generators are from the algebra, as motions of the inputs that the map looks at."""
    if len(kept) < 2:
        return 0.0
    family, scales = solved.system.family, solved.scales
    matrices = [family.generator(g.theta) for g in kept]

    def motion(inputs: list[Tensor], outputs: list[Tensor]) -> Tensor:
        parts = []
        for index, point in enumerate(solved.built.points[:8]):
            few = tuple(x[:64] for x in point) if solved.built.separate else point
            answer = solved.built(index, few)
            every = [torch.ones_like(unit, dtype=torch.bool) for unit in scales.outputs]
            sides = ((inputs, few, scales.inputs, scales.seen), (outputs, answer, scales.outputs, every))
            for generators, values, units, seen in sides:
                moved = fields([(g[None, :-1, :-1], g[None, :-1, -1]) for g in generators], values)
                for k, (part, unit) in enumerate(zip(moved, units, strict=True)):
                    parts.append((part / unit * seen[k]).flatten())
        return torch.cat(parts)

    basis = torch.stack([motion(*pair) for pair in matrices], 1)
    basis = basis / basis.norm(dim=0)
    worst = 0.0
    for i, one in enumerate(matrices):
        for other in matrices[:i]:
            sides = [[a @ b - b @ a for a, b in zip(x, y, strict=True)] for x, y in zip(one, other, strict=True)]
            bracket = motion(*sides)
            size = float(bracket.norm())
            scale = float((motion(*one).norm() * motion(*other).norm()).sqrt())
            if size <= 1e-9 * scale:
                continue
            left = bracket - basis @ torch.linalg.lstsq(basis, bracket[:, None]).solution[:, 0]
            worst = max(worst, float(left.norm()) / max(size, 1e-3 * scale))
    return worst


def _along_ignored(solved: Solved, kept: list[_Tried], seed: int) -> list[str]:
    """Names of the generators whose linear part leads into the common kernel of all derivatives, outputs at rest."""
    built = solved.built
    if not built.separate or any(value.dim() != 2 for value in built.points[0]):
        return []
    sizes = [leaf.dim for leaf in built.inputs]
    units = torch.eye(sum(sizes), dtype=torch.float64)[:, None].expand(-1, len(built.points[0][0]), -1)
    directions = [part.contiguous() for part in units.split(sizes, -1)]
    made = pushed(built, 0, built.points[0], directions, by_gradients=carries(built, seed))
    jacobian = torch.cat([part[:, made.rows].flatten(1) for part in made.outputs], 1).T
    _, values, right = torch.linalg.svd(jacobian, full_matrices=True)
    seen = right[: int((values > _KERNEL * values[0]).sum())]
    found = []
    for each in kept:
        inputs, outputs = solved.system.family.generator(each.generator.theta)
        linear = torch.block_diag(*(part[:-1, :-1] for part in inputs))
        still = max(float(part.abs().max()) for part in outputs) <= _KERNEL * float(linear.abs().max())
        if still and float(linear.abs().max()) > 0 and float((seen @ linear).norm()) <= _KERNEL * float(linear.norm()):
            found.append(each.generator.name)
    return found


def _entry(solved: Solved, each: _Tried) -> GeneratorResult:
    matrices = homogeneous(solved.built, solved.system.family, each.generator.theta)
    return GeneratorResult(each.generator.name, matrices, each.held.residual)


def homogeneous(built: Map, family: Family, theta: Tensor) -> dict[str, list[list[float]]]:
    """Leaf -> the matrix of a generator, its largest entry 1."""
    inputs, outputs = family.generator(theta)
    largest = max(float(part.abs().max()) for part in (*inputs, *outputs))
    pairs = [*zip(built.inputs, inputs, strict=True), *zip(built.outputs, outputs, strict=True)]
    return {leaf.name: _small(part / largest, leaf) for leaf, part in pairs}


def _small(part: Tensor, leaf: Leaf) -> list[list[float]]:
    """The matrix on one channel, where every channel moves alike."""
    part = torch.where(part.abs() < 1e-9, torch.zeros_like(part), part)
    rep = leaf.rep
    if rep is not None and rep.structured and len(rep.terms) == 1 and rep.multiplicity > 1:
        d = rep.d
        blocks = [part[k * d : (k + 1) * d] for k in range(rep.multiplicity)]
        small = torch.cat([blocks[0][:, :d], blocks[0][:, -1:]], 1)
        return torch.nn.functional.pad(small, (0, 0, 0, 1)).tolist()
    return part.tolist()
