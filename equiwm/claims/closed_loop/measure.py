"""Claim C: with an equivariant planner the whole closed loop is invariant. The same task, turned, ends the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from equiwm.claims.claim import Recorded
from equiwm.claims.closed_loop.claim import OWN
from equiwm.claims.closed_loop.criteria import judged
from equiwm.claims.closed_loop.episode import check_controller, controlled, orbit_cell
from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.claims.closed_loop.result import (
    POLICY,
    ChannelError,
    ClosedLoopResult,
    Exclusion,
    GapClosed,
    MeanEstimate,
    PairedTestResult,
    Ranking,
    RatioEstimate,
    Reached,
    Recording,
    ReferenceLine,
    Solved,
    Success,
    SuccessRates,
    TaskResult,
)
from equiwm.claims.probe import PROBE_SEED
from equiwm.config import planning_of
from equiwm.disk.strict_json import canonical_json
from equiwm.errors import ClosedLoopError, ConfigError, DataError
from equiwm.grid import Cell, run_grid
from equiwm.loading import load_run
from equiwm.planning.control import build_planner
from equiwm.planning.task import REFERENCES, Channel, Controller, ControlTask, Criterion
from equiwm.planning.variants import parse_variant
from equiwm.results import door
from equiwm.stats import PairedTest, bootstrap_interval, sign_flip_test, sign_test
from equiwm.subject import Subject
from equiwm.worlds.world import Progress

TIE_DEG = 1e-6
"""Paired differences up to this are rounding; the count of larger ones is reported."""

TOLERANCES_DEG = {"float32": 1.0, "float64": TIE_DEG}
"""Largest |d_i| of an invariant loop. In float32 each plan differs by its rounding, which contacts and replanning
enlarge."""

MIN_MOVED_DEG = 1.0
"""A body that is turned by less was left alone, and a loop that does nothing is invariant. So is one whose body ends
less than this from where it ends without any action: it was the world that moved it."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Episodes of one line: K tasks, M = 1 + orbit orientations, S + 1 poses.

    Attributes:
        angle, distance: (K, M, S + 1) from the goal.
        channels: of a goal by channels the error of each, (K, M, S + 1).
        moved: (K, M) degrees between first and last pose.
        steered: (K,) degrees between the last pose at the identity and that of the same episode without actions.
        excluded: K x M reasons or None.
        recorded: the task whose episodes were recorded, or None.
    """

    angle: np.ndarray
    distance: np.ndarray
    moved: np.ndarray
    steered: np.ndarray
    excluded: list[list[str | None]]
    recorded: TaskResult | None
    channels: Mapping[str, np.ndarray] = field(default_factory=dict)

    @staticmethod
    def of(tasks: Sequence[TaskResult]) -> Outcome:
        """From the results of `episode.orbit_cell`, in the order of the tasks."""
        return Outcome(
            np.array([task.angle_deg for task in tasks]),
            np.array([task.distance for task in tasks]),
            np.array([task.moved_deg for task in tasks]),
            np.array([task.steered_deg for task in tasks]),
            [task.excluded for task in tasks],
            next((task for task in tasks if task.points is not None), None),
            {name: np.array([task.channels[name] for task in tasks]) for name in tasks[0].channels},
        )

    def scored(self, criterion: Criterion, which: str) -> tuple[np.ndarray, np.ndarray]:
        """Angle and distance (K, M) of the `best` pose on the way, or of the `final` one."""
        return self._at(self.angle, criterion, which), self._at(self.distance, criterion, which)

    def scored_channels(self, criterion: Criterion, which: str) -> dict[str, np.ndarray]:
        """The error (K, M) of each channel of that pose."""
        return {name: self._at(errors, criterion, which) for name, errors in self.channels.items()}

    def _at(self, values: np.ndarray, criterion: Criterion, which: str) -> np.ndarray:
        if which == "final":
            return values[..., -1]
        at = (self.angle + criterion.degrees * self.distance).argmin(-1)[..., None]
        found: np.ndarray = np.take_along_axis(values, at, -1)[..., 0]
        return found

    def solved(self, criterion: Criterion, which: str) -> np.ndarray:
        """(K, M) whether that pose meets the criterion."""
        angle, distance = self.scored(criterion, which)
        return (angle < criterion.angle_deg) & (distance < criterion.distance)


def closed_loop(
    subject: Subject,
    *,
    tasks: int,
    planner: str = "equivariant",
    orbit: str | None = None,
    seed: int = PROBE_SEED,
    references: bool = False,
    show: int = 0,
    video: bool = False,
    goal: str | None = None,
    settings: Sequence[str] | None = None,
    task: str = OWN,
    demonstrations: Path | None = None,
    policy: Path | None = None,
    store: Path,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Recorded[ClosedLoopResult]:
    """The paired design: every task at the identity and at every element of an orbit, with one planner seed.

    Tasks are independent cells of a grid under `store`: what is finished is kept, and the same call goes on from there.

    Args:
        subject: the run, in the dtype to evaluate in; its configuration's section `planning` says how it plans.
        tasks: number of tasks K, at orientations that training has seen; none of them is training data.
        planner: variant (`planning.variants`).
        orbit: as `parse_orbit` takes it.
        seed: of tasks, planner and orbit.
        references: also run, at the identity, what needs no world model (`REFERENCES`), as far as the world has it.
        show: number of the task that is recorded.
        video: whether the recording is to become a video.
        goal: what a plan is to reach; None is what the settings say.
        settings: `planning.key=value` over the configuration's.
        task: `own`, or the name of tasks that others measure this world by (`StandardWorld`).
        demonstrations: recorded episodes, for tasks that take starts and goals from them.
        policy: run of a distilled policy that acts in the place of the planner.
        store: folder of the grid, made if it is missing.
        jobs: processes, as in `run_grid`.
        progress: called with (cells done, cells).

    Returns:
        The result, and the recording of task `show`.

    Raises:
        GroupError: an orbit that does not fit the world.
        ConfigError: a planner or a goal that does not exist, that the model cannot express, or that a policy has not; a
            policy of another world or of other reps.
        DataError: fewer than 2 tasks, a world without tasks, or no pair of episodes left after exclusions.
        RunError: the store holds another grid, or is in use.
        ClosedLoopError: a cell failed; the others are kept.
    """
    if tasks < 2:
        raise DataError(f"--tasks: got {tasks}, expected at least 2: intervals are over tasks.")
    if not 0 <= show < tasks:
        raise DataError(f"--show: got task {show}, expected 0 to {tasks - 1}.")
    assignments = [*(settings or ()), *([f"planning.goal={goal}"] if goal is not None else [])]
    if assignments:
        subject = subject.altered(planning=planning_of(subject.planning, assignments))
    config, run = subject.planning, controlled(subject, task, demonstrations)
    if policy is not None:
        run = run.driven_by(load_run(policy, subject.dtype, subject.device, trust=subject.trust))
    network = run.actor.policy
    if network is not None and (goal is not None or planner != "equivariant"):
        raise ConfigError(f"--planner, --goal: {run.actor.path} is a policy, which plans for nothing; leave them out.")
    unturned = run.control.unturned
    if unturned is not None and orbit is not None:
        raise DataError(f"--orbit {orbit}: {unturned}; leave --orbit out to measure success at seeded resets alone.")
    elements = None if unturned else parse_orbit(orbit, subject.world, seed)
    build_planner(config, parse_variant(planner))  # refused here, before any cell
    reached = check_controller(run, "model", config)
    lines: list[Controller] = ["model"]
    if references:
        lines += run.control.references
        for line in run.control.references:
            check_controller(run, line, config)  # a policy has no model whose goal they could take
    dtype = str(subject.dtype).removeprefix("torch.")
    params = {
        "run": str(subject.stored.path.resolve()),
        "checkpoint": subject.checkpoint_sha256,
        "trust": list(subject.trust),
        "dtype": dtype,
        "device": str(subject.device),
        "planner": planner,
        "planning": asdict(config),
        "seed": seed,
    }
    if task != OWN:
        params |= {"of": task, "goals": run.control.goals}
    if run.policy is not None:
        params |= {"policy": str(run.policy.stored.path.resolve()), "policy_checkpoint": run.policy.checkpoint_sha256}
    if demonstrations is not None:
        params["demonstrations"] = str(demonstrations.resolve())
    cells = [
        Cell(
            f"controller={line},task={number}",
            {
                **params,
                "controller": line,
                "task": number,
                "orbit": elements.text if elements is not None and line == "model" else None,
                "record": line == "model" and number == show,
            },
        )
        for line in lines
        for number in range(tasks)
    ]
    found, seconds = run_cells(cells, store, jobs, progress)
    outcomes = {line: Outcome.of(found[i * tasks : (i + 1) * tasks]) for i, line in enumerate(lines)}
    criterion = run.control.criterion
    result = _result(
        outcomes["model"],
        criterion,
        labels=[] if elements is None else elements.labels,
        seed=seed,
        tolerance=TOLERANCES_DEG[dtype],
        channels=run.control.channels,
        unturned=unturned or "",
        references=[_reference(line, outcomes[line], criterion) for line in lines if line != "model"],
        facts={
            **(
                {"planner": planner, "method": config.method, "goal": reached}
                if network is None
                else {"planner": POLICY, "method": "network", "goal": run.actor.name}
            ),
            "policy_sha256": None if network is None else run.actor.checkpoint_sha256,
            "group": subject.world.group.name,
            "dtype": dtype,
            "device": subject.device.type,
            "parameters": run.actor.parameter_count,
            **judged(found[:tasks], None if task == OWN else seconds[:tasks], run.control.asks),
            "task": task,
            "sees": ", ".join(name.replace("_", " ") for name in subject.world.components),
            "goals": run.control.goals,
            "ranking": _ranking(found[:tasks]),
        },
        most_excluded=run.control.most_excluded,
    )
    return Recorded(result, _recording(outcomes["model"].recorded, show, video=video))


def _ranking(tasks: Sequence[TaskResult]) -> Ranking:
    """That of all tasks together."""
    parts = [task.ranking for task in tasks]
    return Ranking(*(sum(getattr(part, each.name) for part in parts) for each in fields(Ranking)))


def _recording(task: TaskResult | None, number: int, *, video: bool) -> Recording:
    """The recording of a task that was recorded."""
    assert task is not None
    assert task.points is not None
    return Recording(number, video, task.points)


def run_cells(
    cells: list[Cell], store: Path, jobs: int, progress: Progress | None
) -> tuple[list[TaskResult], list[float]]:
    """The results of the cells, and what each has cost in CPU seconds.

    The store is named after them, so that it only ever goes on with the same ones.
    """
    name = hashlib.sha256(canonical_json([cell.id for cell in cells]).encode()).hexdigest()[:16]
    done = run_grid(
        orbit_cell,
        cells,
        store / name,
        jobs=jobs,
        resume=True,
        progress=lambda finished, total, _: progress(finished, total) if progress else None,
    )
    failed = [(cell.cell.key, cell.error) for cell in done if cell.error]
    if failed:
        key, error = failed[0]
        assert error is not None
        kept = f"The others are kept in {store}; the same command goes on from there."
        raise ClosedLoopError(
            f"{len(failed)} of {len(cells)} cells failed, the first one at {key}: {error.type}: {error.message}"
            + (f" {kept}" if len(failed) < len(cells) else "")
        )
    results = [door.read(TaskResult, cell.result) for cell in done if cell.result is not None]
    return results, [cell.seconds for cell in done]


def _interval(values: np.ndarray, over: np.ndarray | None = None) -> tuple[float, tuple[float, float]]:
    """Estimate and interval, NaN where there are too few tasks or nothing to divide by."""
    if len(values) < 2 or (over is not None and not over.mean() > 0.0):
        return math.nan, (math.nan, math.nan)
    found = bootstrap_interval(values, over, statistic="mean" if over is None else "ratio")
    return found.estimate, (found.low, found.high)


def _tested(test: PairedTest | None, n: int) -> PairedTestResult:
    """NaN where there were too few tasks for a test."""
    return PairedTestResult(math.nan, math.nan, n) if test is None else PairedTestResult(test.statistic, test.p, test.n)


def _success(solved: np.ndarray) -> SuccessRates:
    share = solved.mean(0)
    return SuccessRates(seen=float(share[0]), ood=_mean(share[1:]), each=share[1:].tolist())


def _mean(values: np.ndarray) -> float:
    """NaN of nothing."""
    return float(values.mean()) if values.size else math.nan


def _largest(values: np.ndarray) -> float:
    """NaN of nothing."""
    return float(values.max()) if values.size else math.nan


def _closed(error: np.ndarray, initial: np.ndarray) -> float:
    """1 - sum of errors / sum of initial errors; pooled, because a task that starts near its goal has no ratio. NaN
    where all start at their goals, or there is none."""
    return float(1.0 - error.mean() / initial.mean()) if initial.size and initial.mean() > 0.0 else math.nan


def _reference(line: Controller, outcome: Outcome, criterion: Criterion) -> ReferenceLine:
    error, _ = outcome.scored(criterion, criterion.scored)
    return ReferenceLine(
        name=REFERENCES[line],
        error_deg=float(error[:, 0].mean()),
        fraction_closed=_closed(error[:, 0], outcome.angle[:, 0, 0]),
        success=float(outcome.solved(criterion, "final")[:, 0].mean()),
    )


def _channels(
    outcome: Outcome, criterion: Criterion, channels: Mapping[str, Channel], pairs: np.ndarray
) -> list[ChannelError]:
    """The errors of each quantity that the goal names, and the largest difference of a pair."""
    found = []
    for name, error in outcome.scored_channels(criterion, criterion.scored).items():
        apart = _largest(np.abs(error[:, 1:] - error[:, :1])[pairs])
        found.append(ChannelError(name, channels[name].unit, channels[name].tolerance, error.tolist(), apart))
    return found


def _result(
    outcome: Outcome,
    criterion: Criterion,
    *,
    labels: list[str],
    seed: int,
    tolerance: float,
    references: list[ReferenceLine],
    facts: dict[str, Any],
    channels: Mapping[str, Channel] | None = None,
    unturned: str = "",
    most_excluded: float = ControlTask.most_excluded,
) -> ClosedLoopResult:
    error, position = outcome.scored(criterion, criterion.scored)
    final, _ = outcome.scored(criterion, "final")
    names = ["identity", *labels]
    excluded = [
        Exclusion(task, names[m], reason)
        for task, reasons in enumerate(outcome.excluded)
        for m, reason in enumerate(reasons)
        if reason is not None
    ]
    on_the_way, at_the_end = outcome.solved(criterion, "best"), outcome.solved(criterion, "final")
    kept = np.array([[reason is None for reason in reasons] for reasons in outcome.excluded])
    pairs = kept[:, 1:] & kept[:, :1]
    if labels and not pairs.any() and most_excluded < 1.0:
        raise DataError(
            f"no pair of episodes is left: every one was excluded ({excluded[0].reason}); the guard lets none of these "
            f"{len(error)} tasks through."
        )
    difference = error[:, 1:] - error[:, :1]
    of_pairs = np.abs(difference[pairs])
    of_final = np.abs((final[:, 1:] - final[:, :1])[pairs])
    # Tasks of which at least one pair is left; each counts once, whatever the size of the orbit.
    means = np.array([row[mask].mean() for row, mask in zip(difference, pairs, strict=True) if mask.any()])
    paired, paired_interval = _interval(means)
    mean, interval = _interval(difference.mean(1)) if labels else _interval(means)
    ratio, ratio_interval = _interval(error[:, 1:].mean(1), error[:, 0]) if labels else _interval(means)
    signs = sign_test(np.where(np.abs(means) > TIE_DEG, means, 0.0)) if len(means) else None
    flips = sign_flip_test(means) if len(means) > 1 else None
    moved, share = float(np.median(outcome.moved[:, 0])), 1.0 - _mean(pairs)
    steered = float(np.median(outcome.steered))
    if unturned:
        verdict, reason = "inconclusive", f"nothing is paired, {unturned}"
    elif not pairs.any():
        verdict, reason = "inconclusive", f"every pair was excluded ({excluded[0].reason})"
    else:
        verdict, reason = _judge(_largest(of_pairs), tolerance, share, most_excluded, moved, steered, criterion.measure)
    return ClosedLoopResult(
        **facts,
        tasks=len(error),
        orbit=labels,
        scored=criterion.scored,
        criterion=Reached(criterion.angle_deg, criterion.distance),
        unit=criterion.unit,
        initial_error_deg=outcome.angle[:, 0, 0].tolist(),
        error_deg=error.tolist(),
        position_error=position.tolist(),
        solved=Solved(any=on_the_way.tolist(), final=at_the_end.tolist()),
        paired_pairs=int(pairs.sum()),
        paired_excluded=share,
        paired_abs_max_deg=_largest(of_pairs),
        paired_abs_median_deg=float(np.median(of_pairs)) if of_pairs.size else math.nan,
        paired_above=int((of_pairs > TIE_DEG).sum()),
        paired_final_abs_max_deg=_largest(of_final),
        paired_ood_minus_seen=MeanEstimate(paired, paired_interval),
        ood_minus_seen=MeanEstimate(mean, interval),
        ood_over_seen=RatioEstimate(ratio, ratio_interval),
        sign_test=_tested(signs, len(means)),
        sign_flip_test=_tested(flips, len(means)),
        success_rate=Success(any=_success(on_the_way), final=_success(at_the_end)),
        fraction_closed=GapClosed(
            seen=_closed(error[:, 0], outcome.angle[:, 0, 0]),
            ood=_closed(error[:, 1:], outcome.angle[:, 1:, 0]),
        ),
        moved_deg=moved,
        steered_deg=steered,
        references=references,
        excluded=excluded,
        verdict=verdict,
        reason=reason,
        passed=verdict == "invariant",
        seed=seed,
        measure=criterion.measure,
        channels=_channels(outcome, criterion, channels or {}, pairs),
        unturned=unturned,
    )


def _judge(
    worst: float, tolerance: float, excluded: float, allowed: float, moved: float, steered: float, unit: str
) -> tuple[str, str]:
    """Verdict and its reason, one line."""
    if not worst <= tolerance:
        return "not invariant", f"max |d_i| = {worst:.1e} {unit} > {tolerance:.0e} {unit}"
    if excluded > allowed:
        return "inconclusive", f"{excluded:.0%} of the pairs were excluded, more than {allowed:.0%}"
    if not moved >= MIN_MOVED_DEG:
        how = "the body was turned by" if unit == "deg" else "what the goal names was moved by"
        return "inconclusive", f"{how} {moved:.2g} {unit}: a loop that does nothing is invariant"
    if not steered >= MIN_MOVED_DEG:  # also where it was not measured
        what = "the body" if unit == "deg" else "what the goal names"
        where = f"{what} ends {steered:.2g} {unit} from where it ends without actions"
        return "inconclusive", f"{where}: a loop that does nothing is invariant"
    return "invariant", f"max |d_i| = {worst:.1e} {unit} <= {tolerance:.0e} {unit}"
