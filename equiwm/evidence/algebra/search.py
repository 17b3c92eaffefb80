"""The search on a map that can be asked: points, spectrum, names, finite motions, and whether the answer is sure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.evidence.algebra.derivative import carries, pushed
from equiwm.evidence.algebra.family import AXES, Family, family_of, fields
from equiwm.evidence.algebra.finite import finite_symmetries
from equiwm.evidence.algebra.maps import Leaf, Map, Refused, Values, thinned
from equiwm.evidence.algebra.recognise import Generator, recognised
from equiwm.evidence.algebra.result import DiscoverResult, GeneratorResult, NearResult
from equiwm.evidence.algebra.solve import Scales, Spectrum, System, noise_of, scales_of, spectrum_of, system_of
from equiwm.evidence.algebra.verify import Affine, Comparison, Held, applied, comparison, verified

EXACT = 1e-11
"""A singular value below this is rounding, whatever the noise."""
_NOISE = 30.0
"""A singular value of at most so many times the measured noise is rounding."""
BROKEN = 1e-5
"""A singular value above this, and above a thousand times the bound on rounding, is a break; between is doubt."""
_CLEAR = 1e3
_FLOOR, _FLOOR_SINGLE = 1e-7, 1e-3
"""Residual of a finite motion that is rounding, in float64 and in float32."""
_SMOOTH = 0.5
"""Share of the samples that have to be smooth."""
_FLAT = 1e-6
"""Samples whose extent along some direction is less than this of the largest lie in a subspace."""
_APART = 0.5
"""Step of moved copies, in units of the spread."""
_EQUATIONS = 3
"""Equations for each unknown; copies are moved until there are as many."""
_MOST_COPIES = 16
_LONGER, _INSIDE = 1e-3, 0.9
"""Inputs that cannot be so much longer stand at the border of what a map takes, and are drawn in to a part."""
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
class _Solved:
    """One pass of the linear problem."""

    built: Map
    scales: Scales
    system: System
    spectrum: Spectrum
    noise: float

    @property
    def bound(self) -> float:
        """Below this a singular value is that of a symmetry."""
        return max(EXACT, _NOISE * self.noise)

    @property
    def clear(self) -> float:
        """Above this it is that of a break."""
        return max(BROKEN, _CLEAR * self.bound)

    @property
    def null(self) -> int:
        """How many are symmetries."""
        return int((self.spectrum.values <= self.bound).sum())

    @property
    def doubtful(self) -> Tensor:
        """Singular values that are neither."""
        values = self.spectrum.values
        return values[(values > self.bound) & (values < self.clear)]


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
        built = thinned(built, -(-_EQUATIONS * unknowns // built.outputs[0].dim))
    built = _generic(_drawn_in(built), free, seed, found)
    solved = _solve(built, free, seed, found)
    if solved is None:
        return _nothing(built, source, found, seed, started, free=free)
    tried, compare = _tried(solved, seed)
    motions = [each.motion for each in tried if not each.held.holds]
    if motions:
        again = _solve(_with_motions(solved.built.checked(), motions), free, seed, found)
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
        reasons=found.reasons,
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


def _drawn_in(built: Map) -> Map:
    """The map at points inside of what it takes: an action of norm 1 may be the longest that there is."""
    for k in range(len(built.inputs)):
        longer = [tuple(x * (1 + _LONGER) if j == k else x for j, x in enumerate(point)) for point in built.points]
        try:
            takes = all(
                bool(built.rows(index, point)[1].all()) if built.separate else bool(built(index, point))
                for index, point in enumerate(longer)
            )
        except Refused:
            takes = False
        if not takes:
            drawn = [tuple(x * _INSIDE if j == k else x for j, x in enumerate(point)) for point in built.points]
            checks = built.checks and tuple(x * _INSIDE if j == k else x for j, x in enumerate(built.checks))
            built = replace(built, points=tuple(drawn), checks=checks)
    return built


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


def _flat(built: Map, family: Family) -> list[str]:
    """Blocks of vectors whose samples lie in a subspace, and others that never vary."""
    names = []
    for k, blocks in enumerate(family.input_blocks):
        rows = torch.cat([point[k].reshape(-1, point[k].shape[-1]) for point in built.points])
        for block in blocks:
            part = rows[:, block.entries]
            if block.kind is not None and block.kind.structured:
                part = part.unflatten(-1, (-1, block.width)).flatten(0, 1)
                part = part - part.mean(0) if block.kind.translates else part
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


def _generic(built: Map, free: bool, seed: int, found: _Findings) -> Map:
    """The map with as many points as its unknowns need, and points beside a subspace that they lie in."""
    family = family_of(built, free=free)
    flat = _flat(built, family)
    outputs = sum(part.numel() for k, point in enumerate(built.points) for part in built(k, point))
    copies = int(np.ceil(_EQUATIONS * len(family) / max(1, outputs))) - 1
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
            found.reasons.append(
                f"the samples of {', '.join(flat)} lie in a subspace, and others are not taken: {refused}"
            )
        else:
            found.reasons.append(f"too few samples for {len(family)} unknowns, and others are not taken: {refused}")
        return built
    if flat:
        found.notes.append(f"The samples of {', '.join(flat)} lie in a subspace; moved copies were asked for too.")
    return moved


def _moved_copies(built: Map, copies: int, seed: int) -> Map:
    rng = np.random.default_rng(seed)
    extra: list[tuple[int, Values]] = []
    sizes = [_block_spread([point[k] for point in built.points]) for k in range(len(built.inputs))]
    for _ in range(copies):
        for index, point in enumerate(built.points):
            moved = tuple(
                x + _APART * size * torch.from_numpy(rng.normal(size=tuple(x.shape)))
                for x, size in zip(point, sizes, strict=True)
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


def _with_motions(built: Map, motions: list[list[Affine]]) -> Map:
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


def _solve(built: Map, free: bool, seed: int, found: _Findings) -> _Solved | None:
    """The linear problem; None where nothing can be said, with the reason."""
    family = family_of(built, free=free)
    scales = scales_of(built, family, seed)
    if scales.constant:
        found.reasons.append("the outputs do not vary at all: every motion of the inputs leaves them as they are")
        return None
    by_gradients = carries(built, seed)
    system = system_of(built, family, scales, by_gradients=by_gradients)
    if system.refused:
        what = sorted({family.columns[k].leaf for k in system.refused})
        found.reasons.append(f"some motions of {', '.join(what)} lead to inputs that it does not take")
    if system.share < _SMOOTH:
        found.reasons.append(
            f"only {100 * system.share:.0f}% of the samples are smooth: derivatives do not exist at the others"
        )
    if not len(system.residual):
        return None
    boosts = set(family.where(["boost", "drift"]))
    solved = _spectral(
        built,
        scales,
        system.select([k for k in range(len(system.family)) if k not in boosts]),
        seed,
        by_gradients=by_gradients,
    )
    if solved is None:
        found.reasons.append("no motion of the family moves anything that it looks at")
        return None
    axes = _free_axes(solved) if boosts else []
    if not axes:
        return solved
    # A boost displaces more from step to step: it is a symmetry only where translations along it are.
    columns = system.family.columns
    keep = [k for k, c in enumerate(columns) if c.what not in ("boost", "drift") or AXES[c.index[0]] in axes]
    return _spectral(built, scales, system.select(keep), seed, by_gradients=by_gradients)


def _spectral(built: Map, scales: Scales, system: System, seed: int, *, by_gradients: bool) -> _Solved | None:
    """The spectrum of a problem and its noise; None where no column moves anything."""
    spectrum = spectrum_of(system)
    if not len(spectrum.values):
        return None
    noise = _noise(built, system, scales, spectrum, by_gradients=by_gradients, seed=seed)
    return _Solved(built, scales, system, spectrum, noise)


def _free_axes(solved: _Solved) -> list[str]:
    """Axes along which translations of everything are symmetries."""
    names = {generator.name for generator in _named_null(solved)}
    return [axis for axis in AXES[: solved.system.family.d] if f"translation along {axis}" in names]


def _noise(built: Map, system: System, scales: Scales, spectrum: Spectrum, *, by_gradients: bool, seed: int) -> float:
    """What rounding does to the smallest singular values: the same at points that are a rounding away."""
    few = max(1, int((spectrum.values < 1e-3).sum()))
    directions = spectrum.directions[:, :few]
    family = combined(system.family, directions)
    rng = np.random.default_rng(seed)
    nudged = built.at(
        [
            tuple(
                x * (1 + 2 * built.rounding * torch.from_numpy(rng.choice([-1.0, 1.0], size=tuple(x.shape))))
                for x in point
            )
            for point in built.points
        ]
    )
    try:
        here = system_of(built, family, scales, by_gradients=by_gradients)
        there = system_of(nudged, family, scales, by_gradients=by_gradients, part=0.5)
    except Refused:
        return float("inf")
    if here.residual.shape != there.residual.shape:  # a sample that is smooth here and not there
        return float(torch.linalg.matrix_norm(here.residual, 2))
    plain = Spectrum(spectrum.values[:few], torch.eye(few, dtype=torch.float64), torch.eye(few, dtype=torch.float64))
    return noise_of(here, there, plain) + built.rounding


def combined(family: Family, directions: Tensor) -> Family:
    """A family whose columns are sums of those of another: (p, q)."""

    def mixed(parts: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        return [(torch.einsum("pq,pij->qij", directions, a), directions.T @ b) for a, b in parts]

    made = family.select(range(min(len(family), directions.shape[1])))
    return replace(made, inputs=mixed(family.inputs), outputs=mixed(family.outputs))


def _tried(solved: _Solved, seed: int) -> tuple[list[_Tried], Comparison]:
    """The null space by name, each of its motions tried to the end."""
    spectrum, family = solved.spectrum, solved.system.family
    single = solved.built.rounding > 1e-10
    compare = comparison(solved.built.checked(), solved.scales, family, _FLOOR_SINGLE if single else _FLOOR, seed)
    tried = []
    for generator in _named_null(solved):
        size = float((spectrum.whitening @ generator.theta).norm())
        tried.append(_Tried(generator, *verified(family, generator, size, compare)))
    return tried, compare


def _named_null(solved: _Solved) -> list[Generator]:
    """The null space in motions that have a name."""
    null = torch.eye(len(solved.spectrum.values), dtype=torch.float64)[:, : solved.null]
    tolerance = max(1e-6, 10 * solved.bound / max(_first_broken(solved), 1e-12))
    return recognised(solved.system.family, null, solved.spectrum.whitening, tolerance)


def _first_broken(solved: _Solved) -> float:
    left = solved.spectrum.values[solved.null :]
    return float(left[0]) if len(left) else 1.0


def _gap(solved: _Solved) -> float:
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


def _judge(solved: _Solved, kept: list[Generator], found: _Findings) -> None:
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


def _near(solved: _Solved, known: list[str]) -> list[NearResult]:
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


def _bracket(solved: _Solved, kept: list[Generator]) -> float:
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


def _along_ignored(solved: _Solved, kept: list[_Tried], seed: int) -> list[str]:
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


def _entry(solved: _Solved, each: _Tried) -> GeneratorResult:
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
