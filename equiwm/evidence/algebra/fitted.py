"""The search on data alone: motions proposed by fitted networks, each decided by whether turned copies help or harm.

Two networks, one for each half of the episodes, give two matrices M of the linear problem. Their cross product has no
noise that the halves do not share, and its eigenvectors propose motions. A proposal is decided without derivatives: a
network is fitted to copies of the one half that are moved along it, and compared on the other half, as it stands, with
the network of the plain half. Copies of a symmetry are as good as data. Copies of a motion that is none contradict the
data, and an error of at least the distance between the map and its average over the motion stays. Whatever is not
clearly the one or the other makes the answer unsure, and so does a fit that explains too little.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.evidence.algebra.ensemble import Ensemble, trained
from equiwm.evidence.algebra.family import Family, family_of, fields
from equiwm.evidence.algebra.finite_data import finite_of_data
from equiwm.evidence.algebra.maps import Leaf, Map, Values
from equiwm.evidence.algebra.problem import Scales, Spectrum, System, scales_of, spectrum_of, spreads, system_of
from equiwm.evidence.algebra.recognise import Generator, recognised
from equiwm.evidence.algebra.result import DiscoverResult, GeneratorResult, NearResult
from equiwm.evidence.algebra.search import homogeneous, reps_of
from equiwm.evidence.algebra.steps import Steps
from equiwm.evidence.algebra.verify import applied, flow

FEWEST = 200
"""Transitions below which nothing is fitted."""
_POINTS = 512
"""Transitions at which derivatives are taken."""
_COPIES = 24
"""Motions of the copies of a proposal."""
_MOVE = 0.7
"""Their size at most, in units of the spread: far enough for a break, near enough to stay among the samples."""
_TRIED = 8
"""Proposals that are decided by a fit of their own, those of the smallest residuals."""
_PROPOSED = 5.0
"""A motion whose residual is more than so many times the error of the fit is none; others are tried."""
_AS_FITTED = 2.3
"""A symmetry's residual is at most so many times the error of the fit: 1.4 to 2.2 in worlds of known symmetry."""
_PROPOSED_ANGLE = 0.35
"""How far, as an angle, a motion with a name may be from those that are proposed."""
_SURE_NULL = 0.75
"""A residual of at most so many times the error of the fit asks for a symmetry that explains it."""
_GAP = 2.0
"""The smallest residual of a break over the largest of a symmetry."""
_HELPS, _HARMS = 1.03, 1.15
"""Error with copies over error without: symmetries stay below the one, with their interval, others above the other."""
_POOR = 0.08
"""Relative error of a fit that explains too little."""
_UNUSED, _USED = 1.02, 1.2
"""An input with whose values exchanged the error grows by no more than the one is not used; by less than the other,
hardly."""
_FEW_EPISODES = 8
_FAR, _LEAST = 1.5, 1e-12
"""A motion of relative size 1 that is so many times the samples' extent along it, a coordinate, leads out of them; and
the least variance, relative to the spread."""
_DRAWS = 200
"""Bootstrap draws of episodes."""


@dataclass(frozen=True, eq=False)
class _Data:
    """Steps in the units of a fit."""

    steps: Steps
    built: Map
    family: Family
    middle: Tensor
    unit: Tensor
    increment: Tensor
    increment_unit: Tensor
    halves: tuple[Tensor, Tensor]

    def inputs(self, values: Values) -> Tensor:
        """States and actions as a network takes them."""
        return (torch.cat(list(values), -1) - self.middle) / self.unit

    def outputs(self, state: Tensor, following: Tensor) -> Tensor:
        """Increments as a network gives them."""
        return (following - state - self.increment) / self.increment_unit


@dataclass(frozen=True, eq=False)
class _Proposal:
    """A motion that may be a symmetry.

    Attributes:
        generator: the motion.
        residual: of the linear problem.
        base: error of the fit without copies.
        ratio: error with its copies over error without.
        low: lower end of the interval of the ratio.
        high: upper end.
        error: the relative error with its copies.
    """

    generator: Generator
    residual: float
    base: float
    ratio: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    error: float = float("nan")

    @property
    def holds(self) -> bool:
        """Whether its copies are as good as data, and its residual is what the error of the fit makes it."""
        return self.high <= _HELPS and self.residual <= _AS_FITTED * self.base

    @property
    def breaks(self) -> bool:
        """Whether its copies contradict the data, or its residual is far above the error of the fit."""
        return self.low >= _HARMS or self.residual > _PROPOSED * self.base


def search_data(steps: Steps, *, free: bool, seed: int, finite: bool = True) -> DiscoverResult:
    """The symmetries of p(s' | s, a), from transitions alone.

    Args:
        steps: the transitions.
        free: any matrix on states and on actions.
        seed: of halves, weights, copies and bootstrap.
        finite: whether finite symmetries are asked for too.

    Raises:
        DataError: fewer than 200 transitions, nothing that moves, or too many unknowns.
    """
    started = time.perf_counter()
    if len(steps) < FEWEST:
        raise DataError(f"{len(steps)} transitions; expected at least {FEWEST}.")
    if torch.equal(steps.state, steps.following):
        raise DataError("every state is followed by itself: nothing moves in these data.")
    if steps.state_rep is not None:  # a quaternion that is followed by its negative has not moved
        steps = replace(steps, following=steps.state + steps.state_rep.difference(steps.following, steps.state))
    data = _prepared(steps, free=free, seed=seed)
    reasons: list[str] = []
    plain = _fit(data, [(steps.state[h], steps.action[h], steps.following[h]) for h in data.halves], seed)
    base = _errors(data, plain, 0, data.halves[1])
    error = float(base.mean().sqrt())
    used = _used(data, plain, base, seed)
    reasons += [f"the next state hardly depends on {name}" for name, by in used.items() if _UNUSED < by < _USED]
    systems = _systems(data, plain, [name for name, by in used.items() if by <= _UNUSED], seed)
    spectrum, cross = _cross(systems)
    tried, untried = _proposals(data, systems, spectrum, cross, error)
    decided = _decided(data, tried, base, seed) if tried else []
    kept = [p for p in decided if p.holds]
    doubtful = [p for p in decided if not p.holds and not p.breaks]
    values = spectrum.values.tolist()
    broken = [p.residual for p in decided if p.breaks] + [v for v in values if v > _PROPOSED * error]
    low = max((p.residual for p in kept), default=error)
    gap = min(broken, default=1.0) / max(low, 1e-12)
    reasons += _doubts(data, error, kept, doubtful, untried, decided, spectrum)
    if kept and gap < _GAP:
        reasons.append(f"the gap is {gap:.1f}: what is counted and what is not differ by less than {_GAP:g} times")
    turning = any("rotation" in p.generator.name for p in kept)
    notes = finite_of_data(steps, turning=turning, seed=seed) if finite and not free else []
    return DiscoverResult(
        dimension=len(kept),
        sure=not reasons,
        reasons=reasons,
        generators=[_entry(data, p) for p in kept],
        finite=[],
        near=[NearResult(p.generator.name, p.residual, 1.0) for p in doubtful],
        singular_values=values,
        gap=gap,
        noise=error,
        resolution=max([error, *(p.error for p in kept)]),
        source="data",
        reps=reps_of(data.built, free=free),
        notes=notes or ["Finite symmetries were not looked for."],
        samples=len(steps),
        seconds=time.perf_counter() - started,
        seed=seed,
    )


def _prepared(steps: Steps, *, free: bool, seed: int) -> _Data:
    """Units that favour no direction of a vector, and two halves of the episodes."""
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.permutation(len(steps))[:_POINTS])
    leaves = [Leaf("state", steps.state.shape[1], steps.state_rep)]
    values = [steps.state]
    if steps.action.shape[1]:
        leaves.append(Leaf("action", steps.action.shape[1], steps.action_rep))
        values.append(steps.action)
    points = tuple(value[rows] for value in values)
    following = replace(leaves[0], name="next state")
    built = Map(tuple(leaves), (following,), (points,), lambda index, given: given[:1], tied=True)
    family = family_of(built, free=free)
    family = family.select([k for k, c in enumerate(family.columns) if c.what not in ("boost", "drift")])
    units = [spreads(value, blocks) for value, blocks in zip(values, family.input_blocks, strict=True)]
    moved = steps.following - steps.state
    episodes = torch.unique(steps.episode)
    first = torch.isin(steps.episode, episodes[torch.from_numpy(rng.permutation(len(episodes)))[: len(episodes) // 2]])
    if len(episodes) < 2:  # one episode: its first half and its second
        first = torch.arange(len(steps)) < len(steps) // 2
    return _Data(
        steps,
        built,
        family,
        torch.cat([value.mean(0) for value in values]),
        torch.cat(units),
        moved.mean(0),
        spreads(moved, family.output_blocks[0]),
        (torch.nonzero(first).flatten(), torch.nonzero(~first).flatten()),
    )


def _fit(data: _Data, sets: list[tuple[Tensor, Tensor, Tensor]], seed: int) -> Ensemble:
    inputs = [data.inputs((state, action)) for state, action, _ in sets]
    return trained(inputs, [data.outputs(state, following) for state, _, following in sets], seed)


def _errors(data: _Data, network: Ensemble, k: int, rows: Tensor) -> Tensor:
    """(n,) mean squared error of network k, in units of the increments' variation."""
    steps = data.steps
    found = network.one(k, data.inputs((steps.state[rows], steps.action[rows])))
    return (found - data.outputs(steps.state[rows], steps.following[rows])).square().mean(1)


def _used(data: _Data, network: Ensemble, base: Tensor, seed: int) -> dict[str, float]:
    """Block of the actions -> by what the error grows where its values are those of other samples."""
    steps, rows = data.steps, data.halves[1]
    other = rows[torch.from_numpy(np.random.default_rng(seed).permutation(len(rows)))]
    found = {}
    for block in data.family.input_blocks[1] if len(data.built.inputs) > 1 else ():
        action = steps.action[rows].clone()
        action[:, block.entries] = steps.action[other][:, block.entries]
        wrong = network.one(0, data.inputs((steps.state[rows], action))) - data.outputs(
            steps.state[rows], steps.following[rows]
        )
        found[block.name] = float((wrong.square().mean() / base.mean()).sqrt())
    return found


def _systems(data: _Data, network: Ensemble, unused: list[str], seed: int) -> list[System]:
    """The linear problem of each half's network, without motions of what the next state does not depend on."""
    found = []
    scales: Scales | None = None
    for k in range(2):

        def step(index: int, values: Values, k: int = k) -> Values:
            moved = network.one(k, data.inputs(values)) * data.increment_unit + data.increment
            return (values[0] + moved,)

        built = replace(data.built, function=step)
        if scales is None:
            scales = scales_of(built, data.family, seed)
            for seen, blocks in zip(scales.seen, data.family.input_blocks, strict=True):
                for block in blocks:
                    seen[block.entries] = block.name not in unused
        found.append(system_of(built, data.family, scales, by_gradients=True))
    return found


def _cross(systems: list[System]) -> tuple[Spectrum, Tensor]:
    """Roots of the eigenvalues of the cross product of both M on the unit ball of V (of a negative one: 0); and the
    cross product itself, of columns."""
    one, other = systems
    plain = spectrum_of(replace(one, residual=(one.residual + other.residual) / 2))
    left, right = one.residual @ plain.directions, other.residual @ plain.directions
    product = (left.T @ right + right.T @ left) / 2
    values, vectors = torch.linalg.eigh(product)
    turned = Spectrum(values.clamp(min=0).sqrt(), plain.directions @ vectors, vectors.T @ plain.whitening)
    raw = (one.residual.T @ other.residual + other.residual.T @ one.residual) / 2
    return turned, raw


def _proposals(
    data: _Data, systems: list[System], spectrum: Spectrum, cross: Tensor, error: float
) -> tuple[list[_Proposal], int]:
    """Motions to be decided, the smallest residuals first; and how many are left over."""
    close = int((spectrum.values <= _PROPOSED * error).sum())
    if not close:
        return [], 0
    near = torch.eye(len(spectrum.values), dtype=torch.float64)[:, :close]
    found = []
    for generator in recognised(systems[0].family, near, spectrum.whitening, _PROPOSED_ANGLE):
        theta = generator.theta / (spectrum.whitening @ generator.theta).norm()
        residual = float((theta @ cross @ theta).clamp(min=0).sqrt())
        found.append(_Proposal(replace(generator, theta=theta), residual, error))
    found.sort(key=lambda p: p.residual)
    return found[:_TRIED], len(found) - _TRIED


def _decided(data: _Data, proposals: list[_Proposal], base: Tensor, seed: int) -> list[_Proposal]:
    """Fit moved copies of the first half along each proposal, compare on the second half."""
    steps, (first, second) = data.steps, data.halves
    sets = [_copies(data, p.generator, first, seed) for p in proposals]
    network = _fit(data, sets, seed)
    found = []
    for k, proposal in enumerate(proposals):
        moved = _errors(data, network, k, second)
        low, high = _interval(moved, base, steps.episode[second], seed)
        ratio = float((moved.mean() / base.mean()).sqrt())
        found.append(replace(proposal, ratio=ratio, low=low, high=high, error=float(moved.mean().sqrt())))
    return found


def _copies(data: _Data, generator: Generator, rows: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The rows, each moved a random way along a generator, several times."""
    rng = np.random.default_rng(seed)
    inputs, outputs = data.family.generator(generator.theta)
    steps = data.steps
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for time_ in _MOVE * rng.uniform(-1.0, 1.0, _COPIES):
        values = (steps.state[rows], steps.action[rows])[: len(inputs)]
        moved = applied([flow(part, float(time_)) for part in inputs], values)
        (after,) = applied([flow(outputs[0], float(time_))], (steps.following[rows],))
        parts.append((moved[0], moved[1] if len(moved) > 1 else steps.action[rows], after))
    state, action, following = (torch.cat(part) for part in zip(*parts, strict=True))
    return state, action, following


def _interval(moved: Tensor, base: Tensor, episode: Tensor, seed: int) -> tuple[float, float]:
    """The middle 95% of the ratio of errors over bootstrap draws of episodes."""
    _, which = torch.unique(episode, return_inverse=True)
    count = int(which.max()) + 1
    sums = [torch.zeros(count, dtype=torch.float64).index_add_(0, which, part) for part in (moved, base)]
    rng = np.random.default_rng(seed)
    draws = torch.from_numpy(rng.integers(0, count, (_DRAWS, count)))
    ratios = (sums[0][draws].sum(1) / sums[1][draws].sum(1)).sqrt()
    return float(ratios.quantile(0.025)), float(ratios.quantile(0.975))


def _doubts(
    data: _Data,
    error: float,
    kept: list[_Proposal],
    doubtful: list[_Proposal],
    untried: int,
    decided: list[_Proposal],
    spectrum: Spectrum,
) -> list[str]:
    """What speaks against the answer."""
    reasons = []
    if error > _POOR:
        reasons.append(
            f"a fitted network misses the next state by {error:.2f} of its variation (at most {_POOR} is asked)"
        )
    episodes = len(torch.unique(data.steps.episode))
    if episodes < _FEW_EPISODES:
        reasons.append(f"there are {episodes} episodes, too few to say what differs between them")
    outside = _outside(data)
    if outside:
        reasons.append(f"{outside} motions lead to where there are no samples: the data cannot tell of them")
    reasons += [
        f"{proposal.generator.name}: moved copies change the error by a factor of {proposal.ratio:.2f} "
        f"({proposal.low:.2f} to {proposal.high:.2f}; a symmetry's is below {_HELPS}, a break's above {_HARMS}), "
        f"its residual is {proposal.residual / error:.1f} times that error (a symmetry's is below {_AS_FITTED})"
        for proposal in doubtful
    ]
    explained = int((spectrum.values <= _SURE_NULL * error).sum())
    if explained > len(kept) + len(doubtful):
        reasons.append(f"{explained} motions leave the fit as it is, to its error, and only {len(kept)} could be named")
    if untried > 0 and not decided[-1].breaks:
        reasons.append(f"{untried} more motions are near the error of the fit and were not tried")
    return reasons


def _outside(data: _Data) -> int:
    """How many independent motions lead out of where the samples are, or move an input that never varies.

    A motion of relative size 1 is compared with how far the samples spread along it: where they hardly do, as a cloud
    that is never shifted, neither derivatives nor moved copies say anything.
    """
    values = torch.cat([data.steps.state, data.steps.action], 1)
    still = int((values.std(0) == 0).sum())
    rows = (values - values.mean(0)) / data.unit
    sizes, axes = torch.linalg.eigh(rows.T @ rows / len(rows))
    whitened = axes / sizes.clamp(min=_LEAST).sqrt()
    moved = torch.cat(fields(data.family.inputs, data.built.points[0]), -1) / data.unit
    motion = moved.flatten(1) / (moved.shape[1] ** 0.5)
    far = (moved @ whitened).flatten(1) / (moved.shape[1] * moved.shape[2]) ** 0.5
    _, lengths, right = torch.linalg.svd(motion.T, full_matrices=False)
    there = lengths > 1e-9 * lengths[0]
    relative = torch.linalg.svdvals(far.T @ (right[there].T / lengths[there]))
    return int((relative > _FAR).sum()) + still


def _entry(data: _Data, proposal: _Proposal) -> GeneratorResult:
    matrices = homogeneous(data.built, data.family, proposal.generator.theta)
    return GeneratorResult(proposal.generator.name, matrices, proposal.residual)
