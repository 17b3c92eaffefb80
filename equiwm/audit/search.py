"""The worst case: the residual is climbed over group elements and inputs, and what is found has to stand by itself.

The audit pairs the samples with elements that are drawn. A search goes on from there, in a bounded number of pairs:

1. a scan: every one-parameter subgroup in steps of a degree, the elements of a finite group, drawn elements; inputs as
   they are, within a noise ball about a sample, between two samples, and shrunk towards their mean;
2. a climb from the best of these by differential evolution (Storn and Price 1997; scipy's), over the Lie algebra of the
   group and a few directions of the inputs at once. It climbs the logarithm of the residual: in float64 a smooth break
   shows 14 powers of ten before it does any harm. No gradients are asked of the network;
3. evidence: a found pair counts only where its residual is beyond what rounding does at that very input and at the
   turned one, in float64 and, as far as it can be seen there, in the dtype of the inputs; and where inputs nearby break
   too. An exact network may jump (a mask, a sort by length): at the jump one rounding exchanges the sides, and nowhere
   else anything is seen.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path as File

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.bracket import Bracket, bracketed
from equiwm.audit.channels import sizes
from equiwm.audit.judgement import (
    APPROX,
    APPROXIMATE,
    BRANCH,
    BROKEN,
    EXPLAINED,
    LEVELS,
    LOW_BRANCH,
    Judged,
    tolerance,
)
from equiwm.audit.measure import noise_of
from equiwm.audit.pairs import Off, Pair, Pairs, pair_from, read_pair, saved, text_of
from equiwm.audit.preflight import Preflight
from equiwm.audit.pytree import Path
from equiwm.audit.result import BracketResult, SearchResult
from equiwm.audit.running import CallFailed
from equiwm.errors import DataError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.generators import Generators

PAIRS = 4096
"""How many pairs a search evaluates at most before it looks for evidence: as many as an audit of 64 x 64."""
CLIMBS, LEGS, POPULATION = 3, 2, 32
"""How many starts are climbed from, in how many legs (each takes other directions of the inputs), and how many pairs a
generation has."""
DEGREES = 360
"""Steps of a one-parameter subgroup of rotations: a break within one degree of an angle is met."""
BALL = 1.0
"""Radius of the noise ball about a sample, in units of the inputs' spread."""
KEPT = 8
"""How many of the best pairs of the scan and of each climb are kept for the evidence."""
GOOD = 64
"""How many good pairs are kept, to go from one of them to a bad one."""
TRIED = 3
"""How many of the scan's and of each climb's are looked at: on the first that stands, the search ends."""
LARGEST = 4.0
"""The largest of 4096 normal numbers is four times their RMS."""
NEAR = {torch.float64: 1e-6}
_NEAR = 1e-3
"""How far, in units of the spread, an input nearby is: far beyond rounding, and far within any region that matters."""
JITTERS = 8
"""Draws of one rounding of the inputs, at x and at g x."""


@dataclass(frozen=True, eq=False)
class Found:
    """A pair that stands.

    Attributes:
        pair: an input and an element.
        quantity, place, channel: what breaks.
        residual: relative, in the best dtype.
        rounding: what rounding does there.
        residual_low, rounding_low: the same in the dtype of the inputs.
    """

    pair: Pair
    quantity: int
    place: int
    channel: int
    residual: float
    rounding: float
    residual_low: float
    rounding_low: float


Entry = tuple[float, int, Pair, Off]
"""Excess, a number that breaks ties, and what was found."""


def _ranked(pool: list[Entry]) -> list[Entry]:
    return sorted(pool, key=lambda entry: entry[:2], reverse=True)


class Search:
    """One search; the pairs that it evaluates, the best first."""

    def __init__(self, state: Preflight, judged: Sequence[Judged], seed: int) -> None:
        """What is searched.

        Args:
            state: how the model is called.
            judged: what the audit has found at the samples.
            seed: of everything that is drawn.
        """
        self.state, self.judged, self.seed = state, list(judged), seed
        self.rng = np.random.default_rng(seed + 17)
        runner = state.runner
        self.group = runner.probe.acting
        self.best = Pairs(runner, state.batch, judged[0].best.dtype, [each.best for each in judged])
        self.reach = runner.reach(runner.probe.samples)
        self.spreads = runner.spreads(runner.probe.samples)
        self.bounds = [_bound(each) for each in judged]
        self.alive = [~each.best.dead for each in judged]
        self.pools: list[list[Entry]] = []
        self.good: list[Pair] = []
        self.tie = count()
        self.left = PAIRS
        self.not_finite = 0
        self.raised = ""

    @property
    def tried(self) -> int:
        """How many pairs were tried."""
        return PAIRS - self.left

    # Evaluation

    def scores(self, pairs: Sequence[Pair]) -> np.ndarray:
        """log10 of how many times a pair exceeds its bound, the worst channel of each."""
        pairs = pairs[: max(0, self.left)]
        self.left -= len(pairs)
        try:
            found = self.best(pairs)
        except CallFailed as error:
            self.raised = str(error)
            return np.full(len(pairs), -np.inf)
        values = []
        for pair, off in zip(pairs, found, strict=True):
            value = self.excess(off)
            if not off.finite:
                self.not_finite += 1
            values.append(value)
            if math.isfinite(value):
                entry = (value, next(self.tie), pair, off)
                pool = self.pools[-1]
                (heapq.heappush if len(pool) < KEPT else heapq.heappushpop)(pool, entry)
                if value <= 0 and len(self.good) < GOOD:
                    self.good.append(pair)
        return np.array(values)

    def excess(self, off: Off) -> float:
        """log10 of the largest ratio of residual and bound; -inf where an output is not finite."""
        if not off.finite:
            return -math.inf
        worst = 0.0
        for relative, bound, alive in zip(off.relative, self.bounds, self.alive, strict=True):
            if bool(alive.any()):
                worst = max(worst, float(torch.where(alive, relative / bound, 0.0).amax()))
        return math.log10(max(worst, 1e-30))

    # What is looked at

    def scan(self) -> None:
        """Sweeps over the group at the samples, then drawn elements at moved inputs."""
        self.pools.append([])
        half = self.left // 2
        for pairs in _chunks(self.sweeps(), POPULATION * 4):
            if self.left <= PAIRS - half:
                break
            self.scores(pairs[: self.left - (PAIRS - half)])
        n = max(0, self.left // 2)
        elements = self.group.sample(max(1, n), self.seed + 5, sigma=self.reach)
        drawn = (Pair(index, self.moved(index, k), elements[k]) for k, index in enumerate(self.indices(n)))
        for pairs in _chunks(drawn, POPULATION * 4):
            self.scores(pairs)

    def sweeps(self) -> Iterator[Pair]:
        """Pairs of unmoved samples with all elements of a small group, or with every one-parameter subgroup."""
        generators = self.group.generators
        for index in self.indices(self.best.count):
            for elements in self._lines(generators):
                for k in range(len(elements)):
                    yield Pair(index, self.best.given[index], elements[k])

    def _lines(self, generators: Generators) -> Iterator[Elements]:
        still = self.group.identity(1)
        if generators.dimension:
            turns = generators.linear.flatten(1).any(1)
            for k in torch.nonzero(turns).flatten().tolist():
                times = torch.arange(1, DEGREES) * (2 * math.pi / DEGREES)
                yield still[0] @ generators.flow(times[:, None])[:, k]
        order = self.group.order
        if order is not None and order <= DEGREES:
            yield self.group.sample(order, 0)
        if not generators.dimension or bool((~generators.linear.flatten(1).any(1)).any()) or order is None:
            yield self.group.sample(DEGREES // 6, self.rng, sigma=self.reach)

    def indices(self, n: int) -> list[int]:
        """Samples in a drawn order, all of them as often as possible."""
        repeats = -(-n // self.best.count)
        return [int(k) for _ in range(repeats) for k in self.rng.permutation(self.best.count)][:n]

    def moved(self, index: int, kind: int) -> dict[Path, Tensor]:
        """A sample, or something of one within the noise ball or the hull of the samples."""
        given = self.best.given[index]
        if kind % 4 == 0:
            return given
        if kind % 4 == 1:
            size = BALL / 2 * 10.0 ** self.rng.uniform(-2, 0)
            return {
                path: values + size * step for (path, values), step in zip(given.items(), self.step(given), strict=True)
            }
        other = self.toward(index)
        share = float(self.rng.uniform())
        if kind % 4 == 2 and other is not None:
            return {path: values + share * (other[path] - values) for path, values in given.items()}
        return {path: values - share * (values - _middle(values)) for path, values in given.items()}

    def within(self, start: Pair, inputs: dict[Path, Tensor]) -> dict[Path, Tensor]:
        """The inputs, drawn back to the ball about the sample where they are farther from it than the start is."""
        given = self.best.given[start.index]
        most = max(BALL, self.apart(start.inputs, given))
        size = self.apart(inputs, given)
        if size <= most:
            return inputs
        return {path: given[path] + most / size * (values - given[path]) for path, values in inputs.items()}

    def apart(self, inputs: dict[Path, Tensor], given: dict[Path, Tensor]) -> float:
        """RMS of what is between two inputs, in units of their spread: of the leaf that is moved most."""
        return max(
            float((values - given[path]).square().mean().sqrt()) / self.spreads[path] for path, values in inputs.items()
        )

    def step(self, given: dict[Path, Tensor]) -> list[Tensor]:
        """A drawn direction of the typed inputs, of the size of their spread."""
        return [
            self.spreads[path] * torch.from_numpy(self.rng.normal(size=tuple(values.shape)))
            for path, values in given.items()
        ]

    def toward(self, index: int) -> dict[Path, Tensor] | None:
        """The inputs of another sample of the same shapes; None where there is none."""
        shapes = {path: values.shape for path, values in self.best.given[index].items()}
        alike = [
            k
            for k, given in enumerate(self.best.given)
            if k != index and {path: values.shape for path, values in given.items()} == shapes
        ]
        return self.best.given[int(self.rng.choice(alike))] if alike else None

    # The climb

    def climb(self) -> None:
        """From the best pairs of the scan, over the algebra and some directions of the inputs at once."""
        starts = [entry[2] for entry in _ranked(self.pools[-1])[:CLIMBS]]
        legs = CLIMBS * LEGS
        for done, start in enumerate(starts):
            self.pools.append([])
            for leg in range(LEGS):
                here = _ranked(self.pools[-1])[0][2] if self.pools[-1] else start
                self._climb_from(here, self.left // (legs - LEGS * done - leg))

    def _climb_from(self, start: Pair, budget: int) -> None:
        from scipy.optimize import differential_evolution  # 9 MB, which most audits never need

        generators = self.group.generators
        directions = [dict(zip(start.inputs, self.step(start.inputs), strict=True)) for _ in range(4)]
        directions = [{path: BALL / 8 * step for path, step in each.items()} for each in directions]
        for _ in range(2):
            other = self.toward(start.index)
            if other is not None:
                directions.append({path: (other[path] - values) / 2 for path, values in start.inputs.items()})
        directions.append({path: (_middle(values) - values) / 2 for path, values in start.inputs.items()})
        width = generators.dimension + len(directions)
        lowest = [-1.0] * (generators.dimension + 4) + [0.0] * (len(directions) - 4)  # 0 to 1 stays in the hull
        turns = generators.linear.flatten(1).any(1) if generators.dimension else torch.zeros(0, dtype=torch.bool)
        scale = torch.where(turns, math.pi, self.reach).double()

        def at(z: np.ndarray) -> Pair:
            motion = torch.from_numpy(z[: generators.dimension]) * scale
            element = start.element
            if generators.dimension:
                moved = torch.linalg.matrix_exp((motion[:, None, None] * generators.matrices).sum(0))
                element = Elements(moved[:-1, :-1], moved[:-1, -1]) @ element
            inputs = start.inputs
            for share, direction in zip(z[generators.dimension :], directions, strict=True):
                inputs = {path: values + float(share) * direction[path] for path, values in inputs.items()}
            return Pair(start.index, self.within(start, inputs), element)

        def climbed(z: np.ndarray) -> np.ndarray:
            pairs = [at(each) for each in z.T]
            values = self.scores(pairs)
            return -np.concatenate([values, np.full(len(pairs) - len(values), -np.inf)])

        # Near the start and far from it alike: a break may be as narrow as it likes.
        near = 10.0 ** self.rng.uniform(-4, -0.3, (POPULATION, 1)) * self.rng.normal(size=(POPULATION, width))
        near[0] = 0.0
        differential_evolution(
            climbed,
            [(low, 1.0) for low in lowest],
            init=np.clip(near, lowest, 1.0),
            maxiter=max(1, budget // POPULATION - 1),
            vectorized=True,
            updating="deferred",
            polish=False,
            tol=0.0,
            atol=-1.0,
            rng=np.random.default_rng(self.rng.integers(2**63)),
        )

    # Evidence

    def evidence(self) -> Found | None:
        """The first of the best pairs that stands by itself."""
        ranked = [[entry for entry in _ranked(pool) if entry[0] > 0] for pool in self.pools]
        ranked.sort(key=lambda pool: -pool[0][0] if pool else math.inf)
        turns = [pool[k] for k in range(TRIED) for pool in ranked if k < len(pool)]
        for _, _, pair, off in turns[: TRIED * len(self.pools)]:
            found = self.stands(pair, off)
            if found is not None:
                return found
        return None

    def stands(self, pair: Pair, off: Off) -> Found | None:
        """Whether a pair is beyond rounding at that very input, in both dtypes, and not alone."""
        quantity, place, channel = self.worst(off)
        judged = self.judged[quantity]
        floor = _floor(judged, place, channel)
        residual = float(off.relative[quantity][place, channel])
        if not residual > floor:
            return None
        step = NEAR.get(self.best.dtype, _NEAR)
        near = [
            replace(
                pair,
                inputs={
                    path: values + step * move
                    for (path, values), move in zip(pair.inputs.items(), self.step(pair.inputs), strict=True)
                },
            )
            for _ in range(4)
        ]
        there = [float(each.relative[quantity][place, channel]) for each in self.best(near)]
        if sum(each > max(floor, residual / 10) for each in there) < 3:
            return None
        rounding = local_rounding(self.best, self.state, pair, off, quantity, self.seed)[place, channel]
        if not residual > _explained(judged, place, channel) * float(rounding):
            return None
        low, low_rounding = residual, float(rounding)
        if judged.low is not judged.best and judged.low.dtype != judged.best.dtype:
            pairs = Pairs(self.state.runner, self.state.batch, judged.low.dtype, [each.low for each in self.judged])
            (here,) = pairs([pair])
            low = float(here.relative[quantity][place, channel])
            low_rounding = float(local_rounding(pairs, self.state, pair, here, quantity, self.seed)[place, channel])
            if not low + EXPLAINED * low_rounding > residual / 2:
                return None
        return Found(pair, quantity, place, channel, residual, float(rounding), low, low_rounding)

    def worst(self, off: Off) -> tuple[int, int, int]:
        """Quantity, place and channel that exceed their bound most."""
        found = (False, -1.0, 0, 0, 0)
        for k, (relative, bound, alive) in enumerate(zip(off.relative, self.bounds, self.alive, strict=True)):
            ratio = torch.where(alive, relative / bound, 0.0)
            place, channel = divmod(int(ratio.argmax()), ratio.shape[1])
            value = float(ratio[place, channel])
            output = value > 1 and self.judged[k].best.quantity.over is None  # before increments, which show the same
            found = max(found, (output, value, k, place, channel))
        return found[2:]


def _chunks(pairs: Iterator[Pair], size: int) -> Iterator[list[Pair]]:
    part: list[Pair] = []
    for pair in pairs:
        part.append(pair)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _middle(values: Tensor) -> Tensor:
    """What an input shrinks to: its mean over nodes, or zero."""
    return values.mean(0, keepdim=True) if values.dim() > 1 and len(values) > 1 else torch.zeros_like(values)


def _bound(judged: Judged) -> Tensor:
    """(M, C): what the audit itself calls explained."""
    best = judged.best
    return torch.maximum(EXPLAINED * best.rounding, torch.full_like(best.scale, tolerance(best.dtype)))


def _floor(judged: Judged, place: int, channel: int) -> float:
    """What a residual at one pair has to exceed, whatever rounding does there."""
    best = judged.best
    index = min(place, best.scale.shape[0] - 1)
    rounding = _explained(judged, index, channel) * float(best.rounding[index, channel])
    return max(BRANCH.get(best.dtype, LOW_BRANCH), rounding)


def _explained(judged: Judged, place: int, channel: int) -> float:
    """How many times the rounding explains a residual at one pair.

    In float64 the rounding there is met by jitter. A function that computes in less is a staircase to a jitter, its
    rounding is an RMS over the samples, and the largest of some thousand pairs is four times that.
    """
    index = min(place, judged.best.scale.shape[0] - 1)
    short = judged.high is None or bool(judged.inside[index, channel])
    return LARGEST * EXPLAINED if short else EXPLAINED


def local_rounding(pairs: Pairs, state: Preflight, pair: Pair, off: Off, quantity: int, seed: int) -> Tensor:
    """(M, C): what rounding does to one quantity at an input and at the turned one, relative to what `off` is.

    The largest change under one rounding of the inputs, and the noise of the network along a line through them.
    """
    runner, dtype = state.runner, pairs.dtype
    measured = pairs.measured[quantity]
    turned = {
        leaf.path: leaf.rep.transform(pair.inputs[leaf.path].to(dtype), pair.element).double() for leaf in runner.inputs
    }
    worst = torch.zeros_like(off.size[quantity])
    for inputs, value in ((pair.inputs, off.straight[quantity]), (turned, off.turned[quantity])):
        here = replace(pair, inputs=inputs)
        moved = [replace(here, inputs=_jittered(pairs, here, seed + k)) for k in range(JITTERS)]
        for rows in pairs.at(moved):
            change = sizes(measured.quantity.rep.difference(rows[quantity], value), measured.quantity.rep)
            worst = torch.maximum(worst, change.nan_to_num(nan=math.inf))
        worst = torch.maximum(worst, _noise(pairs, state, here, quantity, seed))
    eps = torch.finfo(dtype).eps / 4
    size = sizes(off.straight[quantity], measured.quantity.rep, whole=True)
    return torch.maximum(worst, eps * size) / off.local[quantity]


def _jittered(pairs: Pairs, pair: Pair, seed: int) -> dict[Path, Tensor]:
    (sample,) = pairs.runner.jittered(pairs.sample(pair.index, pair.inputs), pairs.dtype, seed)
    return pairs.typed(sample, pair.index)


def _noise(pairs: Pairs, state: Preflight, pair: Pair, quantity: int, seed: int) -> Tensor:
    """(M, C): of the network at one input."""
    samples = pairs.sample(pair.index, pair.inputs)
    asked = [each.quantity for each in pairs.measured]
    try:
        found = noise_of(state.runner, samples, pairs.dtype, asked, state.batch, seed)[quantity]
    except (CallFailed, DataError):  # not finite nearby: nothing can be said there
        return torch.full((1, 1), math.inf)
    rows = found.flatten(0, 1) if not state.batch or found.shape[0] != state.batch else found[pair.index]
    if state.batch and found.shape[0] != state.batch:
        each = found.shape[0] // state.batch
        rows = found[pair.index * each : (pair.index + 1) * each, 0]
    return rows


# The whole


def search(state: Preflight, judged: Sequence[Judged], seed: int, save: File | None = None) -> SearchResult:
    """Climb the residual; keep and check again what is found.

    Args:
        state: how the model is called.
        judged: what the audit has found at the samples.
        seed: of everything that is drawn.
        save: where the found pair is kept; None keeps it nowhere.

    Raises:
        RunError: what is at `save` is none of ours, or it cannot be written.
    """
    looking = Search(state, judged, seed)
    looking.scan()
    looking.climb()
    found = looking.evidence()
    if found is None:
        return nothing_found(looking)
    each = looking.judged[found.quantity]
    channel = each.best.quantity.channels[found.channel].name
    if save is not None:
        saved(save, found.pair, each.best.quantity.name, channel)
    # What is reported is measured at what a reader of the file gets.
    again = read_pair(save) if save is not None else pair_from(text_of(found.pair, each.best.quantity.name, channel))
    (off,) = looking.best([again])
    found = replace(found, pair=again, residual=float(off.relative[found.quantity][found.place, found.channel]))
    return _result(looking, found, channel, bracketed_at(looking, found), save)


def bracketed_at(looking: Search, found: Found) -> Bracket | None:
    """The jump that a found pair stands behind."""

    def residuals(pairs: Sequence[Pair]) -> list[tuple[float, Off]]:
        return [(float(off.relative[found.quantity][found.place, found.channel]), off) for off in looking.best(pairs)]

    low = _floor(looking.judged[found.quantity], found.place, found.channel)
    where = (found.quantity, found.place, found.channel)
    return bracketed(looking.best, looking.good, found.pair, where, residuals, low)


def nothing_found(looking: Search) -> SearchResult:
    """What is said where no pair stands."""
    text = (
        f"{looking.tried} pairs of moved inputs and elements were tried; none breaks beyond what rounding does there."
    )
    return SearchResult(
        verdict=LEVELS[0],
        text=f"{text}{_aside(looking)}",
        output="",
        channel="",
        residual=math.nan,
        rounding=math.nan,
        residual_low=math.nan,
        rounding_low=math.nan,
        sample=-1,
        moved=math.nan,
        element="",
        pairs=looking.tried,
        not_finite=looking.not_finite,
        file="",
        bracket=None,
    )


def _aside(looking: Search) -> str:
    said = ""
    if looking.not_finite:
        said += f" At {looking.not_finite} of them an output is NaN or infinite."
    if looking.raised:
        said += f" The model raised at some of them: {looking.raised}."
    return said


def _result(looking: Search, found: Found, channel: str, bracket: Bracket | None, save: File | None) -> SearchResult:
    pair, each = found.pair, looking.judged[found.quantity]
    given = looking.best.given[pair.index]
    moved = looking.apart(pair.inputs, given)
    element = f"{pair.element.motion}, {float(pair.element.angle_deg):.4g} degrees"
    where = f"sample {pair.index}" + (f" moved by {moved:.2g} of the spread of the inputs" if moved > 1e-12 else "")
    text = (
        f"{each.best.quantity.name}, channel {channel}, is off by {found.residual:.1e} (rounding there "
        f"{found.rounding:.1e}) at {where}, under a {element}; {looking.tried} pairs were tried."
    )
    if bracket is not None:
        text += f" {bracket.text}"
    if save is not None:
        text += f" The pair is in {save}, and was measured again from there."
    return SearchResult(
        verdict=LEVELS[APPROX if found.residual <= APPROXIMATE else BROKEN],
        text=f"{text}{_aside(looking)}",
        output=each.best.quantity.name,
        channel=channel,
        residual=found.residual,
        rounding=found.rounding,
        residual_low=found.residual_low,
        rounding_low=found.rounding_low,
        sample=pair.index,
        moved=moved,
        element=element,
        pairs=looking.tried,
        not_finite=looking.not_finite,
        file="" if save is None else str(save),
        bracket=None
        if bracket is None
        else BracketResult(bracket.along, bracket.what, bracket.low, bracket.high, bracket.jump, bracket.relative),
    )
