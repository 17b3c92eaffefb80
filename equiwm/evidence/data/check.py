"""`check_data`: is a log consistent with a symmetry of its world, does it refute it, or can it not tell?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equiwm.checks import as_path, as_seed
from equiwm.errors import DataError
from equiwm.evidence.data.frames import Frames, frames_of, in_frame, seen_frames, vector_copies
from equiwm.evidence.data.judged import Drift, Judged, Test
from equiwm.evidence.data.observed import Observed, Part, of_logs, of_transitions
from equiwm.evidence.data.result import ChannelResult, DataResult, EffectResult
from equiwm.evidence.data.seen import all_seen, regions
from equiwm.evidence.data.smoother import standardised
from equiwm.evidence.data.words import augmentation, sentence
from equiwm.logs.episodes import Logs, load_logs
from equiwm.logs.spec import LogSpec, read_spec
from equiwm.results.result import UNKNOWN
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import Transitions

LEVEL = 0.05
IN_SPACE = 0.01
"""Under all rotations of space a rejection at a level between this and `LEVEL` is left open: of 32 symmetric logs of a
velocity field 6 are rejected at 5%, 1 at 1% (docs/logs.md)."""
MOST_ROWS = 20_000
"""Transitions that are tested; of more, whole episodes are drawn."""
FEWEST_EPISODES = 12
FEWEST_ROWS = 200
DEPENDENT = 0.02
"""Share of the frame that the state explains, beyond which the error of the fits may multiply to something."""
STRONGLY, WELL = 0.5, 0.99
"""Beyond the first share of the frame a rejection is not trusted unless the changes are explained to the second."""
DETERMINED = 0.95
"""Beyond it there is no frame left to vary."""
_AS_LARGE = 2.0
"""A statistic of the data is not explained by that of a placebo, which may understate it, if it is so many times it."""
_PLACEBO = 0.01
"""Level of the placebo: rows that share a neighbour depend on each other, which its law does not know."""
_AS_CLEAR, _CLEARER, _MUCH, _FAR = 0.95, 1.05, 0.1, 3.0
"""What has to be left of a statistic when rows are weighed by precision: the first share, or the second where more than
the third of the frame is explained and the statistic is less than so many times its critical value. Set on symmetric
outcomes of the states and actions of human demonstrations, and on breaks in PushT (docs/logs.md)."""
_POWER = 1.645
_NORMAL = 1.96


def check_data(
    data: str | Path | Logs | Transitions,
    group: str | Group,
    *,
    reps: str | Path | LogSpec | None = None,
    observation_rep: Rep | None = None,
    action_rep: Rep | None = None,
    seed: int = 1000,
) -> DataResult:
    """Test of H0: p(g s' | g s, g a) = p(s' | s, a) for all g of a group, from recorded transitions alone.

    A frame g(s) that turns with the state is read off it; u = g^-1 (s, a) and v = g^-1 (s' - s). Under H0 v is
    independent
    of g given u. Two cross-fitted regressions, of v and of functions of g on u, leave residuals whose products are
    summed; random signs of the episodes' sums give the law of the largest sum (`equiwm.evidence.data.statistic`).

    Args:
        data: a log (npz, csv, parquet, hdf5; a Zarr, Minari or LeRobot folder), what `load_logs` read, or a world's
            transitions.
        group: its name or the group: so2, o2, se2, e2, so3, o3, se3, e3, those about an axis, and finite ones.
        reps: the `reps.yaml` of a path, or what it says; not for the others.
        observation_rep: of a world's transitions, and of them alone.
        action_rep: of a world's transitions, and of them alone.
        seed: of folds, centres and signs.

    Returns:
        The verdict: `broken` at a level of 5%, `consistent`, or `cannot tell`; with effect, region, what would have
        been seen, and which orientations were.

    Raises:
        DataError: what is wrong with the log, with file, column and row; no episodes; no vector to read a frame off.
        ConfigError, RepError, GroupError: a `reps.yaml`, rep or group that is none, or does not fit.
        MissingExtraError: the library that reads the log is not installed.

    Source: Shah and Peters (2020), Annals of Statistics 48(3); Chiu and Bloem-Reddy (2023) for conditional symmetry.
    """
    group = group if isinstance(group, Group) else Group.parse(group)
    return check_observed(_observed(data, reps, observation_rep, action_rep), group, seed=as_seed(seed, "check_data"))


def _observed(
    data: str | Path | Logs | Transitions,
    reps: str | Path | LogSpec | None,
    observation_rep: Rep | None,
    action_rep: Rep | None,
) -> Observed:
    if isinstance(data, Transitions):
        if observation_rep is None or action_rep is None:
            raise DataError("transitions of a world need observation_rep and action_rep.")
        return of_transitions(data, observation_rep, action_rep)
    if isinstance(data, Logs):
        return of_logs(data)
    if not isinstance(data, str | Path):
        kind = type(data).__name__
        raise DataError(f"check_data: got {kind}, expected the path of a log, logs, or a world's transitions.")
    if reps is None:
        raise DataError(f"{data}: reps is missing: the path of a reps.yaml, which says how its columns transform.")
    spec = reps if isinstance(reps, LogSpec) else read_spec(as_path(reps, "reps", "a reps.yaml"))
    return of_logs(load_logs(Path(data), spec))


@dataclass(frozen=True, eq=False)
class _Prepared:
    data: Observed
    frames: Frames
    cluster: NDArray[np.int64]
    notes: list[str]


def check_observed(data: Observed, group: Group, *, seed: int = 1000) -> DataResult:
    """As `check_data`, of transitions whose parts are typed.

    Raises:
        DataError, GroupError: as `check_data`.
    """
    prepared = _prepare(data, group, seed)
    data, frames, cluster = prepared.data, prepared.frames, prepared.cluster
    u, changes = in_frame(data, frames)
    change = np.concatenate(changes, 1)
    if not (change.std(0) > 0).any():
        raise DataError(f"{data.source}: nothing moves: every state is followed by itself.")
    if not standardised(u).shape[1]:
        raise DataError(
            f"{data.source}: seen from its frame every state and action is the same; nothing can be fitted."
        )
    episodes = int(cluster.max()) + 1
    if episodes < FEWEST_EPISODES or len(cluster) < FEWEST_ROWS:
        why = (
            f"{len(cluster):,} transitions of {episodes} episodes; expected at least {FEWEST_ROWS} of "
            f"{FEWEST_EPISODES}: what "
            "is independent is counted in episodes"
        )
        return _untold(prepared, group, [why], seed)
    test = Test(u, frames, cluster, seed)
    copies = vector_copies(data)
    judged = test.judge(change, _starts([part for part in data.parts if part.change is not None], data))
    return _verdict(prepared, group, test, judged, change, [(index, name) for index, _, name in copies], seed)


def _prepare(data: Observed, group: Group, seed: int) -> _Prepared:
    """The transitions that have a frame, at most so many, and what was left out."""
    notes = list(data.notes)
    if len(np.unique(data.episode)) < 2:
        raise DataError(f"{data.source}: one episode; what is independent of each other is counted in episodes.")
    if len(data) > MOST_ROWS:
        names, sizes = np.unique(data.episode, return_counts=True)
        order = np.random.default_rng([seed, 41]).permutation(len(names))
        kept = names[order[np.cumsum(sizes[order]) <= MOST_ROWS]]
        notes.append(
            f"{int(sizes[np.isin(names, kept)].sum()):,} of {len(data):,} transitions were tested, in whole "
            "episodes drawn at random"
        )
        data = data.take(np.isin(data.episode, kept))
    whole = frames_of(data, group)
    found, frames = seen_frames(data, whole)
    if len(found) < len(data):
        notes.append(f"{len(data) - len(found):,} transitions have no frame ({frames.vector} is zero or parallel)")
    if not len(found):
        raise DataError(f"{data.source}: no transition has a frame: {frames.vector} is always zero.")
    _, cluster = np.unique(found.episode, return_inverse=True)
    return _Prepared(found, frames, cluster.astype(np.int64), notes)


def _verdict(
    prepared: _Prepared,
    group: Group,
    test: Test,
    judged: Judged,
    change: NDArray[np.float64],
    copies: list[tuple[int, str]],
    seed: int,
) -> DataResult:
    data, frames, cluster = prepared.data, prepared.frames, prepared.cluster
    states = [part for part in data.parts if part.change is not None]
    reasons: list[str] = []
    verdict, placebo_p = "consistent", UNKNOWN
    detectable = _detectable(judged, states, copies)
    fixed = [name for name, share in test.explained.items() if share > DETERMINED]
    if judged.p <= LEVEL:
        verdict = "broken"
        if frames.all_of_space and judged.p > IN_SPACE:
            verdict = "cannot tell"
            reasons.append(
                f"under all rotations of space this test rejects too often at 5%: p = {judged.p:.3f} is not below "
                f"{IN_SPACE:g}"
            )
        elif test.deciding(judged) > DEPENDENT:
            placebo_p, doubt = _doubt(test, judged, change, _starts(states, data))
            if doubt:
                verdict = "cannot tell"
                reasons.append(doubt)
    elif fixed:
        verdict = "cannot tell"
        reasons.append(f"the state fixes the {fixed[0]} of its frame: no situation was seen in another")
    elif detectable and all(each.size > _moved(states, each.column) for each in detectable):
        verdict = "cannot tell"
        reasons.append("too little was seen: a break as large as the changes themselves would not have shown")
    arcs, whole, seen = all_seen(frames, cluster)
    effect, region = _effect(judged, test, data, frames, states, copies) if judged.p <= LEVEL else (None, [])
    coverage_p = test.coverage_p()
    even = coverage_p > LEVEL and test.dependence <= DEPENDENT and whole
    shown = effect if verdict == "broken" else None
    return DataResult(
        verdict=verdict,
        sentence=sentence(verdict, str(group), shown, reasons, detectable, seen, whole),
        reasons=reasons + prepared.notes,
        group=group.name,
        p_value=judged.p,
        level=LEVEL,
        effect=effect,
        detectable=detectable,
        seen_deg=arcs,
        all_seen=whole,
        region=region,
        channels=_channels(judged, states, copies, detectable),
        frame=frames.vector,
        dependence=test.dependence,
        coverage_symmetric=even,
        coverage_p=coverage_p,
        augmentation=augmentation(verdict, str(group), arcs, whole),
        placebo_p=placebo_p,
        transitions=len(data),
        episodes=int(cluster.max()) + 1,
        seed=seed,
    )


def _doubt(test: Test, judged: Judged, change: NDArray[np.float64], vectors: list[int]) -> tuple[float, str]:
    """Where the frame depends on the state, is a rejection to be trusted? The placebo's p, and why not, or nothing.

    What both fits miss multiplies to something then, and looks like a break. Three signs of it: nearly all of the frame
    is explained while the changes are not; outcomes that are symmetric by construction are rejected as well; or what
    speaks against the symmetry comes from where the changes are badly fitted, so that it is less clear once rows are
    weighed by the precision of the fit. A break of the world that is everywhere is clearer then.
    """
    share = test.deciding(judged)
    depends = f"the frame depends on the state ({share:.0%} of it is explained)"
    placebo = test.judge(test.placebo(change), vectors)
    untrusted = f"so the p = {judged.p:.3f} of the data is not to be trusted"
    if placebo.p <= _PLACEBO and judged.largest < _AS_LARGE * placebo.largest:
        return placebo.p, (
            f"{depends} and the fit of the changes is imperfect: outcomes that are symmetric by construction are "
            "rejected as "
            f"well (p = {placebo.p:.3f}), {untrusted}"
        )
    if share > STRONGLY and judged.explained[~judged.exact].min() < WELL:
        return placebo.p, (
            f"{depends}, strongly, and the fit of the changes is imperfect (it explains "
            f"{judged.explained[~judged.exact].min():.0%} of the worst): what both miss looks like a break, {untrusted}"
        )
    weighed = test.judge(change, vectors, by_precision=True)
    clearer = weighed.largest / judged.largest
    if clearer < _AS_CLEAR or (clearer < _CLEARER and share > _MUCH and judged.largest < _FAR):
        return placebo.p, (
            f"{depends}, and what speaks against the symmetry is not clearer where the changes are well fitted "
            "(largest "
            f"statistic {judged.largest:.1f} of the critical value, {weighed.largest:.1f} weighed by precision), "
            f"{untrusted}"
        )
    return placebo.p, ""


def _untold(prepared: _Prepared, group: Group, reasons: list[str], seed: int) -> DataResult:
    """Where nothing was tested."""
    arcs, whole, seen = all_seen(prepared.frames, prepared.cluster)
    return DataResult(
        verdict="cannot tell",
        sentence=sentence("cannot tell", str(group), None, reasons, [], seen, whole),
        reasons=reasons + prepared.notes,
        group=group.name,
        p_value=UNKNOWN,
        level=LEVEL,
        effect=None,
        detectable=[],
        seen_deg=arcs,
        all_seen=whole,
        region=[],
        channels=[],
        frame=prepared.frames.vector,
        dependence=UNKNOWN,
        coverage_symmetric=False,
        coverage_p=UNKNOWN,
        augmentation=augmentation("cannot tell", str(group), arcs, whole),
        placebo_p=UNKNOWN,
        transitions=len(prepared.data),
        episodes=int(prepared.cluster.max()) + 1,
        seed=seed,
    )


def _starts(states: list[Part], data: Observed) -> list[int]:
    offsets = np.cumsum([0, *(part.rep.dim for part in states)])
    return [int(offsets[index]) + at for index, at, _ in vector_copies(data)]


def _moved(states: list[Part], column: str) -> float:
    """RMS of the change of the part that a column is of."""
    part = next(each for each in states if column.partition("[")[0] == each.name.partition("[")[0])
    assert part.change is not None
    return float(part.change.square().mean().sqrt())


def _detectable(judged: Judged, states: list[Part], copies: list[tuple[int, str]]) -> list[EffectResult]:
    """For each vector the smallest drift that is found with probability 0.95, whatever its direction."""
    if judged.first is None:
        return []
    critical = judged.first.critical(LEVEL / 2)
    found = []
    for drift in judged.drifts:
        index, name = copies[drift.index]
        worst = math.sqrt(max(float(np.linalg.eigvalsh(drift.covariance)[-1]), 0.0))
        size = (critical + _POWER) * worst
        found.append(EffectResult(name, size, UNKNOWN, UNKNOWN, states[index].unit, [], ""))
    return found


def _effect(
    judged: Judged, test: Test, data: Observed, frames: Frames, states: list[Part], copies: list[tuple[int, str]]
) -> tuple[EffectResult, list]:
    """The break of the statistic that decides, and where it is strongest."""
    if judged.drift_decides:
        assert judged.first is not None
        drift = judged.drifts[int(judged.first.sizes.argmax())]
        index, name = copies[drift.index]
        effect = _drift_effect(drift, frames, name, states[index].unit)
        return effect, regions(data, frames, drift.rows @ drift.size)
    found = test.strongest(judged)
    entry = int(np.abs(found.weights).argmax())
    part, _offset = _part_at(states, entry)
    assert part.change is not None
    deviation = float(part.change.square().mean().sqrt())
    times = " times a coordinate of the state" if found.coordinate >= 0 else ""
    effect = EffectResult(
        part.name, found.rms * deviation, UNKNOWN, UNKNOWN, part.unit, [], f"{found.block} of the frame{times}"
    )
    return effect, regions(data, frames, found.rows)


def _part_at(states: list[Part], entry: int) -> tuple[Part, int]:
    for part in states:
        if entry < part.rep.dim:
            return part, entry
        entry -= part.rep.dim
    raise AssertionError("an entry of no part")


def _drift_effect(drift: Drift, frames: Frames, name: str, unit: str) -> EffectResult:
    size = float(np.linalg.norm(drift.size))
    towards = drift.size / max(size, 1e-300)
    error = math.sqrt(max(float(towards @ drift.covariance @ towards), 0.0))
    direction = (frames.lab @ towards).tolist()
    return EffectResult(name, size, size - _NORMAL * error, size + _NORMAL * error, unit, direction, "")


def _channels(
    judged: Judged, states: list[Part], copies: list[tuple[int, str]], detectable: list[EffectResult]
) -> list[ChannelResult]:
    """One entry for each part: of its vectors the one with the largest drift."""
    critical = judged.first.critical(LEVEL / 2) if judged.first is not None else UNKNOWN
    found, start = [], 0
    for index, part in enumerate(states):
        own = [k for k, drift in enumerate(judged.drifts) if copies[drift.index][0] == index]
        best = max(own, key=lambda k: judged.first.sizes[k] if judged.first else 0.0, default=None)
        explained = float(judged.explained[start : start + part.rep.dim].min())
        start += part.rep.dim
        found.append(
            ChannelResult(
                part.name,
                str(part.rep.linear_part),
                explained,
                UNKNOWN if best is None or judged.first is None else float(judged.first.sizes[best]),
                UNKNOWN if best is None else critical,
                UNKNOWN if best is None else detectable[best].size,
                part.unit,
            )
        )
    return found
