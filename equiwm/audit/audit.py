"""The audit of a probe: preflight, measure, verdict, causes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from equiwm.audit.calling import cast, in_dtype, left_as_found, own_tensors
from equiwm.audit.causes.experiments import Experiments
from equiwm.audit.causes.find import find_causes
from equiwm.audit.causes.precision import switched_off
from equiwm.audit.judgement import (
    APPROX,
    BROKEN,
    EXPLAINED,
    LEVELS,
    VACUOUS,
    Judged,
    does_otherwise,
    judge_quantity,
    tolerance,
)
from equiwm.audit.layers import LayerFit, layer_fits, where_it_breaks
from equiwm.audit.measure import MOVE, Measured, measure
from equiwm.audit.pairs import require_ours
from equiwm.audit.preflight import HIDES, Finding, Preflight, preflight
from equiwm.audit.probe import Probe
from equiwm.audit.profile import symmetry_profile
from equiwm.audit.result import AuditResult, ChannelResult, FindingResult, LayerResult, LeafResult, SymmetryResult
from equiwm.audit.running import CallFailed, Runner
from equiwm.audit.search import search as search_worst
from equiwm.audit.stress import stress as stress_inputs
from equiwm.audit.stress import worst_of
from equiwm.audit.verdict import Verdict
from equiwm.audit.words import sentence
from equiwm.checks import as_seed, at_least_one
from equiwm.devices import known_dtype
from equiwm.errors import DataError
from equiwm.symmetry.elements import Elements

ELEMENTS = 64
"""How many group elements an audit takes."""
SEED = 1000
"""Seed of elements and directions."""
MOST_CHANNELS_TOLD = 64
"""How many channels of a leaf a result lists."""


def audit(
    probe: Probe,
    *,
    elements: int = ELEMENTS,
    layers: bool = False,
    symmetries: bool = False,
    explain: bool = True,
    seed: int = SEED,
    search: bool = False,
    pair: Path | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    stress: bool = False,
) -> AuditResult:
    """Is the network of a probe equivariant?

        >>> import equiwm
        >>> equiwm.audit(probe).verdict
        <Verdict.EXACT: 'exact'>

    Args:
        probe: what is audited; its modules, the random states and the threads are left as they were found.
        elements: how many group elements: half drawn from the whole group, half that do one thing at a time.
        layers: look at every module; done anyway where something breaks and is to be explained.
        symmetries: measure what else it carries.
        explain: find out what breaks it, and which layer; without, a failure costs no more than a success.
        seed: of the elements, and of the directions in which inputs are moved.
        search: climb the residual over elements and inputs: at most `search.PAIRS` pairs, and what checks the worst.
        pair: where the pair that a search finds is kept.
        dtype: run in float32 or float64 alone; None is both: the dtype of the inputs (float32 for float64), where
            rounding shows, and float64, which decides.
        device: run there, and put everything back; None is where the model and the inputs are.
        stress: judge stress inputs too: in a plane, on an axis, dense, zero, ...

    Raises:
        RunError: what is at `pair` is none of ours, or it cannot be written.
        DataError: inputs that are not finite, or a model that raises at them.
        RepError: an input or output that does not fit its rep.
        GroupError: a group that does not act on the reps.
    """
    given: object = probe
    if not isinstance(given, Probe):
        raise DataError(
            f"audit: got {type(given).__name__}, expected Probe(fn, inputs=..., group=..., takes=..., gives=...)."
        )
    at_least_one("audit", elements=elements)
    only = None if dtype is None else known_dtype(dtype)
    asked = Asked(layers, symmetries, explain, search, pair, only, device, stress)
    return examined(probe, elements, as_seed(seed, "audit"), asked)[0]


@dataclass(frozen=True)
class Asked:
    """What is asked for besides the verdict; as `audit` takes it."""

    layers: bool = False
    symmetries: bool = False
    explain: bool = True
    search: bool = False
    pair: Path | None = None
    dtype: torch.dtype | None = None
    device: torch.device | None = None
    stress: bool = False


PLAIN = Asked()
"""Nothing besides."""


def examined(probe: Probe, elements: int, seed: int, asked: Asked = PLAIN) -> tuple[AuditResult, Runner]:
    """As `audit`, with the runner that has found out how the model is called."""
    if elements < 2:
        raise DataError(f"an audit takes at least 2 group elements; got {elements}.")
    try:
        with left_as_found(probe.modules):
            return _audit(probe, elements, seed, asked)
    except CallFailed as error:
        raise DataError(f"the model raised at turned or moved inputs: {error}") from None


def _audit(probe: Probe, elements: int, seed: int, asked: Asked) -> tuple[AuditResult, Runner]:
    if asked.pair is not None:
        require_ours(asked.pair)
    state = preflight(probe, seed, dtype=asked.dtype, device=asked.device)
    state.findings += notes(state)
    drawn, names = drawn_elements(probe, state, elements, seed)
    judged = judge(state, drawn, seed)
    if any(finding.name in HIDES for finding in state.findings):
        judged = [worse(*both) for both in zip(judged, judge_moved(state, drawn, seed), strict=True)]
    random = state.stop is not None and state.stop.stops == "not deterministic"
    switched = {} if random or not asked.explain else switched_off(Experiments(as_it_stands(state), judged, seed))
    judged = [each.limited if each.best.quantity.name in switched else each for each in judged]
    failing = asked.explain and overall(judged).breaks
    broken = broken_motions(judged, drawn, names) if failing else []
    fits = []
    if asked.layers or failing:
        fits = layer_fits(
            state.runner, probe.samples, _best(state), seed=seed, broken=broken, to_the_break=not asked.layers
        )
    causes = [] if random or not asked.explain else find_causes(Experiments(state, judged, seed, switched))
    if failing and not random:
        causes += where_it_breaks(fits)
    profile = symmetry_profile(state, seed) if asked.symmetries else []
    result = _result(probe, state, judged, drawn, names, causes, fits, profile, seed)
    if asked.search and not random:
        worst = search_worst(state, judged, seed, asked.pair)
        result = worsened(replace(result, search=worst), worst.verdict, "a search found a pair where it is not")
    if asked.stress and not random:
        result = replace(result, stress=stress_inputs(state, judged, drawn, seed))
        hit = worst_of(result.stress)
        if hit is not None:
            result = worsened(result, hit.verdict, f"at inputs {hit.name} it is not")
    return result, as_it_stands(state).runner


def worsened(result: AuditResult, verdict: str, how: str) -> AuditResult:
    """The result with what was found beyond the samples; only what breaks beyond rounding changes the verdict.

    Args:
        result: at the samples.
        verdict: approximate or broken, else nothing changes.
        how: where it was found, in words.
    """
    ranks = {"exact": 0, "precision-limited": 0, "vacuous": 0, "approximate": 1, "broken": 2}
    if ranks.get(result.verdict, 2) >= ranks.get(verdict, 0):
        return result
    said = sentence(verdict, result.group, [], dtype=result.dtype, float64=result.float64)
    at = f"{said.removesuffix('.')}: at the samples it is {result.verdict}, {how}."
    return replace(result, verdict=Verdict(verdict), sentence=at)


@runtime_checkable
class Telling(Protocol):
    """A module that has something to say of itself, as what `symmetrise` makes has."""

    def audit_note(self, samples: Sequence[Any]) -> str:
        """One or two sentences, given the inputs."""


def notes(state: Preflight) -> list[Finding]:
    """What the modules of a probe say of themselves."""
    probe = state.runner.probe
    found = []
    for module in probe.modules:
        if isinstance(module, Telling):
            with in_dtype(probe.modules, state.low), torch.set_grad_enabled(state.runner.grad):
                said = module.audit_note([cast(sample, state.low) for sample in probe.samples])
            found.append(Finding(type(module).__name__.lower(), said))
    return found


def as_it_stands(state: Preflight) -> Preflight:
    """The state with a runner that promotes nothing, where the model runs in float64 without."""
    return state if state.promoted else replace(state, runner=replace(state.runner, promote=False))


def _best(state: Preflight) -> torch.dtype:
    """The best dtype that the model runs in."""
    return torch.float64 if state.high else state.low


def drawn_elements(probe: Probe, state: Preflight, n: int, seed: int) -> tuple[Elements, list[str]]:
    """Elements of the whole group, then of each coset, translations at the scale of the data; and their names."""
    sigma = state.runner.reach(probe.samples)
    cosets = probe.acting.cosets(n, seed + 1, sigma=sigma)
    each = max(1, (n // 2) // max(1, len(cosets)))
    parts = {"": probe.acting.sample(max(1, n - each * len(cosets)), seed, sigma=sigma)}
    parts |= {name: found[:each] for name, found in cosets.items()}
    names = [name for name, part in parts.items() for _ in range(len(part))]
    return Elements.cat(list(parts.values())), names


def judge(state: Preflight, elements: Elements, seed: int) -> list[Judged]:
    """Measure and judge every quantity."""
    samples = state.runner.probe.samples
    both = {
        dtype: measure(state.runner, samples, elements, dtype, batch=state.batch, seed=seed)
        for dtype in dict.fromkeys((state.low, *([torch.float64] if state.high else [])))
    }
    low, high = both[state.low], both.get(torch.float64)
    if high is None:
        return [judge_quantity(each, None) for each in low]
    if state.runner.promote:
        return [judge_quantity(*each) for each in zip(low, high, high, strict=True)]
    judged = [judge_quantity(*each) for each in zip(low, high, strict=True)]
    if not any(bool(each.inside.any()) for each in judged):
        return judged
    pure = _promoted(state, elements, seed)
    if pure is not None and any(does_otherwise(*each) for each in zip(low, high, pure, strict=True)):
        state.runner.promote, pure = False, None
    return judged if pure is None else [judge_quantity(*each) for each in zip(low, high, pure, strict=True)]


def _promoted(state: Preflight, elements: Elements, seed: int) -> list[Measured] | None:
    """Every quantity with every operation in float64; None where that cannot be.

    Where it can, what follows (experiments, layers) runs so too: the rounding inside would hide what they look for.
    """
    state.runner.promote = True
    try:
        samples = state.runner.probe.samples
        return measure(state.runner, samples, elements, torch.float64, batch=state.batch, seed=seed)
    except (CallFailed, DataError):
        state.runner.promote = False
        return None


def judge_moved(state: Preflight, elements: Elements, seed: int) -> list[Judged]:
    """Measure and judge every quantity at moved inputs: what flat inputs hide is seen there."""
    runner, best = state.runner, _best(state)
    samples = runner.moved(runner.probe.samples, runner.directions(runner.probe.samples, seed), MOVE, best)
    found = measure(runner, samples, elements, best, batch=state.batch, seed=seed)
    return [judge_quantity(each, each if best == torch.float64 else None) for each in found]


def worse(here: Judged, moved: Judged) -> Judged:
    """What decides: the inputs as they are, unless moved ones break."""
    return moved if moved.verdict in (APPROX, BROKEN) and moved.verdict > here.verdict else here


def broken_motions(judged: list[Judged], elements: Elements, names: list[str]) -> list[str]:
    """Kinds of motion under which something is approximate or broken by itself."""
    found: list[str] = []
    for each in judged:
        if each.verdict in (APPROX, BROKEN):
            leaf = _leaf(each, elements, names)
            bound = max(tolerance(each.best.dtype), EXPLAINED * leaf.rounding)
            found += [name for name, residual in leaf.by_coset.items() if not residual <= bound]
    return list(dict.fromkeys(found))


def overall(judged: list[Judged]) -> Verdict:
    """The verdict on all quantities: the worst of the outputs, and of the increments what is broken."""
    outputs = [each for each in judged if each.best.quantity.over is None]
    increments = [each for each in judged if each.best.quantity.over is not None and each.verdict != VACUOUS]
    return LEVELS[max(each.verdict for each in (*outputs, *increments))]


def _result(
    probe: Probe,
    state: Preflight,
    judged: list[Judged],
    elements: Elements,
    names: list[str],
    causes: list[Finding],
    fits: list[LayerFit],
    profile: list[SymmetryResult],
    seed: int,
) -> AuditResult:
    stop = state.stop
    verdict = overall(judged)
    if stop is not None and stop.stops is not None:
        stopped = Verdict(stop.stops)
        if stopped == Verdict.RANDOM or verdict not in (Verdict.BROKEN, Verdict.APPROXIMATE):
            verdict = stopped
    leaves = [_leaf(each, elements, names) for each in judged]
    samples = len(probe.samples) if len(probe.samples) > 1 else max(1, state.batch)
    return AuditResult(
        verdict=verdict,
        sentence=sentence(
            verdict,
            probe.acting.name,
            leaves,
            dtype=str(state.low).removeprefix("torch."),
            float64=state.high,
            stopped=stop.text if stop is not None and verdict == stop.stops else "",
        ),
        group=probe.acting.name,
        dtype=str(state.low).removeprefix("torch."),
        float64=state.high,
        samples=samples,
        elements=len(elements),
        leaves=leaves,
        findings=[FindingResult(each.name, each.text) for each in state.findings],
        causes=[FindingResult(each.name, each.text) for each in causes],
        layers=[
            LayerResult(
                each.place.name,
                each.place.kind,
                math.nan if each.residual is None else each.residual,
                None if each.carries is None else list(each.carries),
            )
            for each in fits
            if not each.place.given
        ],
        symmetries=profile,
        parameters=sum(tensor.numel() for tensor in own_tensors(probe.modules).values() if tensor.requires_grad),
        seed=seed,
    )


def _leaf(judged: Judged, elements: Elements, names: list[str]) -> LeafResult:
    best, low = judged.best, judged.low
    place, channel = judged.worst
    pairs = best.pairs[:, :, place, channel] / best.scale[place, channel]
    per_element = best.per_element[:, place, channel]
    bound = max(tolerance(best.dtype), EXPLAINED * float(best.rounding[place, channel]))
    worst = int(per_element.argmax())
    cosets = {
        name: float(per_element[[k for k, each in enumerate(names) if each == name]].amax())
        for name in dict.fromkeys(names)
        if name
    }
    where = f", place {place}" if best.scale.shape[0] > 1 else ""
    return LeafResult(
        name=best.quantity.name,
        rep=str(best.quantity.rep),
        verdict=LEVELS[judged.verdict],
        channel=f"{best.quantity.channels[channel].name}{where}",
        residual=float(best.residual[place, channel]),
        residual_low=float(low.residual[place, channel]),
        rounding=float(best.rounding[place, channel]),
        rounding_low=float(low.rounding[place, channel]),
        scale=float(best.scale[place, channel]),
        median_pair=float(pairs.median()),
        share=float((pairs > bound).double().mean()),
        worst_sample=int(pairs.amax(0).argmax()),
        worst_element=f"{elements[worst].motion}, {float(elements[worst].angle_deg):.1f} degrees",
        by_coset=cosets,
        control=float((best.unturned / best.scale)[:, place, channel].amax()),
        channels=judged.level.numel(),
        vacuous=int((judged.level == VACUOUS).sum()),
        broken=int((judged.level >= APPROX).sum()) if judged.verdict != BROKEN else int((judged.level == BROKEN).sum()),
        by_channel=by_channel(judged),
    )


def by_channel(judged: Judged) -> list[ChannelResult]:
    """Every channel at the place that decides about it; where they are many, those of the largest residuals."""
    best = judged.best
    size = best.residual.nan_to_num(posinf=torch.finfo(torch.float64).max)
    place = (judged.level * 2.0 + size / (1.0 + size)).argmax(0)
    columns = torch.arange(len(place))
    kept = size[place, columns].topk(min(MOST_CHANNELS_TOLD, len(place))).indices.sort().values
    return [
        ChannelResult(
            name=best.quantity.channels[k].name,
            verdict=LEVELS[int(judged.level[place[k], k])],
            residual=float(best.residual[place[k], k]),
            rounding=float(best.rounding[place[k], k]),
        )
        for k in kept.tolist()
    ]
