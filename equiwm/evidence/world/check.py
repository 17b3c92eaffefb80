"""`check_world`: set a state, act, compare with the transformed copy."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from equiwm.audit.verdict import Verdict
from equiwm.checks import as_seed, at_least_one
from equiwm.errors import DataError
from equiwm.evidence.world.acting import motions
from equiwm.evidence.world.centre import fixed_point
from equiwm.evidence.world.judge import Judged, judge, region
from equiwm.evidence.world.outcome import Part, judge_observation, judge_reward, judge_termination
from equiwm.evidence.world.preflight import preflight
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.result import ChannelResult, PartResult, RegionResult, WorldResult
from equiwm.evidence.world.rollouts import Measured, measure
from equiwm.evidence.world.words import sentence

HORIZONS = (1, 5, 20, 60)
"""Steps after which the copies are compared."""
STATES, COPIES, ROUNDED = 24, 2, 2
"""Rollouts, transformed copies and rounded copies of each: 120 rollouts in all."""


GUESSES = ("cones", "solver")
"""Causes that break a symmetry only at times: where nothing breaks they are not told."""


def check_world(
    probe: WorldProbe,
    *,
    horizons: Sequence[int] = HORIZONS,
    states: int = STATES,
    copies: int = COPIES,
    seed: int = 1000,
) -> WorldResult:
    """Whether a simulator carries a group: T(g s, g a) = g T(s, a).

    States are set, plans of actions carried out, and the whole is done again from g s under g a; beside it from s and a
    one ulp away, without any g. A difference that one ulp explains is none (`judge`). The residual of a channel is its
    RMS difference over the pairs, relative to how far the channel has moved from its start.

    Args:
        probe: the world and the symmetry.
        horizons: steps after which they are compared; cut to the plans where the probe gives plans.
        states: rollouts.
        copies: transformed copies of each.
        seed: of states, actions, group elements and roundings.

    Raises:
        DataError: a world that nothing can be said of: a state that does not hold, what is not deterministic, hides a
            state or never moves; an action on states that is none of the group, or changes nothing.
        GroupError: an unknown group.
    """
    given: object = probe
    if not isinstance(given, WorldProbe):
        raise DataError(f"check_world: got {type(given).__name__}, expected a WorldProbe.")
    seed = as_seed(seed, "check_world")
    at_least_one("check_world", states=states, copies=copies, **{f"horizon {h}": h for h in horizons})
    begun = time.process_time()
    measured, judged = compared(probe, max(horizons), states=states, copies=copies, seed=seed)
    steps = [h for h in sorted(set(horizons)) if h <= measured.steps]
    if not steps:
        raise DataError(f"the plans have {measured.steps} steps; the horizons {list(horizons)} are longer.")
    return _result(probe, measured, judged, steps, seed, begun)


def compared(
    probe: WorldProbe, horizon: int, *, states: int = STATES, copies: int = COPIES, seed: int = 1000
) -> tuple[Measured, Judged]:
    """The rollouts with their copies, and the verdict on them; arguments as those of `check_world`."""
    starts = probe.starts(states, seed)
    plans = probe.plans(len(starts), horizon, seed)
    elements, names = motions(probe.symmetry, len(starts) * copies, seed, probe.sigma)
    eps, complete = preflight(probe, starts, plans, elements)
    measured = measure(probe, starts, plans, elements, names, eps=eps, rounded=ROUNDED, seed=seed, complete=complete)
    return measured, judge(measured)


def _result(
    probe: WorldProbe, measured: Measured, judged: Judged, steps: list[int], seed: int, begun: float
) -> WorldResult:
    pairs = judged.relative.max(-1)
    by_channel = np.sqrt(np.square(judged.relative).mean((0, 1)))
    order = np.argsort(-by_channel[steps[-1]])
    motions_of = np.array(measured.motions).reshape(pairs.shape[:2])
    cosets = {
        name: [float(np.sqrt(np.square(judged.relative[motions_of == name][:, h]).mean(0)).max()) for h in steps]
        for name in dict.fromkeys(measured.motions)
    }
    residual = [float(by_channel[h].max()) for h in steps]
    growth = [float(np.median(judged.rounding[:, h])) for h in steps]
    grown = [float(judged.rounding[:, h].max()) for h in steps]
    where = ""
    if judged.verdict.breaks:
        start = measured.straight[0].states[0]
        wide = [column for column in measured.columns if len(column.index) > 1 and column.kind == "number"]
        centres = {column.name: fixed_point(probe, column, start, measured.elements) for column in wide}
        where = region(measured, judged, centres)
    until = measured.steps if judged.blind_from is None else judged.blind_from - 1
    said = sentence(
        judged.verdict,
        probe.name,
        str(probe.group),
        residual=residual,
        growth=grown if judged.verdict is Verdict.LIMITED else growth,
        horizons=steps,
        where=where,
        says_until=until,
        channel=measured.columns[int(order[0])].name,
    )
    causes = probe.causes(measured.elements) if probe.causes else []
    if not judged.verdict.breaks:
        causes = [cause for cause in causes if cause.name not in GUESSES]
        if causes:
            said += f" Only where states that were tried reach: {causes[0].text}"
    return WorldResult(
        verdict=judged.verdict,
        sentence=said,
        world=probe.name,
        group=str(probe.group),
        horizons=steps,
        residual=residual,
        median=[float(np.median(pairs[:, :, h])) for h in steps],
        worst=[float(pairs[:, :, h].max()) for h in steps],
        rounding_growth=growth,
        rounding_worst=grown,
        says_until=until,
        channels=[
            ChannelResult(measured.columns[int(k)].name, [float(by_channel[h, k]) for h in steps]) for k in order
        ],
        cosets=cosets,
        reward=_part(judge_reward(measured, judged)),
        terminated=_part(judge_termination(measured, judged)),
        observation=_part(judge_observation(probe, measured, seed)),
        causes=causes,
        region=RegionResult(where, [judged.share(h) for h in steps]),
        map=None,
        states=pairs.shape[0],
        copies=pairs.shape[1],
        seed=seed,
        seconds=time.process_time() - begun,
    )


def _part(part: Part) -> PartResult:
    return PartResult(part.verdict, part.residual, part.note)
