"""One pair, as a cell of a grid: one task, turned once, done by both sides with the same random numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from equiwm.claims.closed_loop.episode import ControlledRun
from equiwm.claims.closed_loop.orbit import TRANSLATION_SIGMA
from equiwm.claims.compare.sides import Side, loaded, policy_of
from equiwm.claims.probe import held_out_seed
from equiwm.devices import DTYPES
from equiwm.errors import ConfigError, DataError
from equiwm.planning.control import run_episodes
from equiwm.planning.task import Criterion, Tasks
from equiwm.results import door
from equiwm.results.result import UNKNOWN, Real, Result
from equiwm.symmetry.groups import Elements

_STREAM = 0xC0_4A_12


@dataclass(frozen=True)
class Done(Result):
    """What a side did of a task.

    Attributes:
        success, final: whether the best pose on the way, and the last one, met the criterion.
        error_deg: angle of the scored pose.
        score: 1 - the scored pose's error over the criterion's, at least 0: of angle and position, in degrees.
        excluded: why the symmetry does not cover the episode, or None.
        met, met_last: whether any pose, and the last one, met the criterion of each source that the world knows.
        reward: the largest of the episode; not finite where the world has none.
    """

    success: bool
    final: bool
    error_deg: Real
    score: float
    excluded: str | None
    met: dict[str, bool] = field(default_factory=dict)
    met_last: dict[str, bool] = field(default_factory=dict)
    reward: Real = UNKNOWN


@dataclass(frozen=True)
class Pair(Result):
    """What both sides did of a task."""

    a: Done
    b: Done


def task_of(run: ControlledRun, number: int, seed: int) -> Tasks:
    """Task `number`, at an orientation that training has seen; none of its data."""
    return run.control.tasks(number + 1, held_out_seed(seed)).take([number])


def orientations_of(run: ControlledRun, asked: str | None, task: str) -> str:
    """How tasks are turned, `all` or `seen`: as asked, or all where they can be turned.

    Raises:
        ConfigError: `all` of tasks that cannot be turned.
    """
    fixed = run.control.unturned
    if asked == "all" and fixed is not None:
        raise ConfigError(f"--orientations all with --task {task}: {fixed}; leave --orientations out.")
    return asked or ("all" if fixed is None else "seen")


def element_of(run: ControlledRun, number: int, seed: int, orientations: str) -> Elements:
    """How that task is turned: not at all, or by an element of the world's group of its own."""
    group = run.subject.world.group
    if orientations == "seen":
        return group.identity(1)
    return group.sample(1, np.random.default_rng([_STREAM, seed, number]), sigma=TRANSLATION_SIGMA)


def require_same(a: ControlledRun, b: ControlledRun, names: tuple[str, str], seed: int) -> None:
    """Refuse two runs that do not have the same tasks.

    Raises:
        ConfigError: runs of other worlds, or of other tasks in one.
    """
    worlds = (a.subject.world.name, b.subject.world.name)
    if worlds[0] != worlds[1] or a.subject.world.group != b.subject.world.group:
        raise ConfigError(
            f"{names[0]} lives in the world '{worlds[0]}', {names[1]} in '{worlds[1]}'; expected two of one world."
        )
    first, second = (np.asarray(task_of(run, 0, seed).start, dtype=float) for run in (a, b))
    if first.shape != second.shape or not np.allclose(first, second, atol=1e-9):
        raise ConfigError(
            f"{names[0]} and {names[1]} have other tasks: their settings of the world '{worlds[0]}' differ; expected "
            "runs whose tasks begin alike."
        )


def _done(run: ControlledRun, side: Side, number: int, seed: int, orientations: str) -> Done:
    control, config = run.control, run.subject.planning
    g = element_of(run, number, seed, orientations)
    tasks = control.turned(task_of(run, number, seed), g)
    policy, replan = policy_of(side, run, [[seed, number]], g)
    episodes = run_episodes(control, tasks, policy, steps=control.steps or config.steps, replan=replan)
    reached, reward = control.judge(episodes.observations, tasks.goal[:, None])
    angle, distance = (part[0].numpy() for part in control.pose_error(episodes.observations, tasks.goal[:, None]))
    criterion = control.criterion
    error = angle + criterion.degrees * distance
    best = int(np.argmin(error))
    scored = best if criterion.scored == "best" else -1
    limit = criterion.angle_deg + criterion.degrees * criterion.distance
    score = 1.0 - float(error[scored]) / limit
    return Done(
        success=_reached(criterion, angle[best], distance[best]),
        final=_reached(criterion, angle[-1], distance[-1]),
        error_deg=float(angle[scored]),
        score=max(0.0, score) if np.isfinite(score) else 0.0,
        excluded=episodes.excluded[0],
        met={source: bool(poses.any()) for source, poses in reached.items()},
        met_last={source: bool(poses[0, -1]) for source, poses in reached.items()},
        reward=float(reward.amax()),
    )


def _reached(criterion: Criterion, angle: float, distance: float) -> bool:
    return bool(angle < criterion.angle_deg and distance < criterion.distance)


@lru_cache(maxsize=4)
def _loaded(
    side: Side,
    checkpoint: str | None,
    dtype: str,
    device: str,
    trust: tuple[str, ...],
    kind: str,
    demonstrations: Path | None,
) -> ControlledRun:
    return loaded(side, DTYPES[dtype], device, trust, kind, demonstrations)


@torch.no_grad()
def pair_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Both sides on one task.

    Args:
        params: `a` and `b` (`sides.as_params`), `kind` (of tasks), `demonstrations` (a path or null), `task` (its
            number), `seed`, `orientations`, `dtype`, `device` and `trust`.

    Returns:
        A `Pair` as JSON data.

    Raises:
        ConfigError, DataError: a policy that raises something, or gives no actions.
    """
    recorded = params["demonstrations"]
    place = (params["dtype"], params["device"], tuple(params["trust"]))
    tasks = (params["kind"], None if recorded is None else Path(recorded))
    sides = [_side(params[name]) for name in ("a", "b")]
    runs = [
        None if side.run is None else _loaded(side, params[name]["checkpoint"], *place, *tasks)
        for side, name in zip(sides, ("a", "b"), strict=True)
    ]
    host = next((run for run in runs if run is not None), None)
    if host is None:
        raise DataError("two policies without a run have no world to act in; expected a run on one side.")
    done = [
        _done(run or host, side, params["task"], params["seed"], params["orientations"])
        for run, side in zip(runs, sides, strict=True)
    ]
    return door.to_builtins(Pair(*done))


def _side(data: dict[str, Any]) -> Side:
    """A side from `sides.as_params`; its settings are in `planning` by then."""
    planning = tuple(f"planning.{key}={'null' if value is None else value}" for key, value in data["planning"].items())
    return Side(data["run"] or data["policy"], data["run"], data["policy"], data["planner"], planning)
