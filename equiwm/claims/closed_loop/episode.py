"""One task of a closed loop over its orbit, as a cell of a grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import torch

from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.claims.closed_loop.result import Paths, TaskResult
from equiwm.claims.probe import held_out_seed
from equiwm.config import PlanningConfig
from equiwm.devices import DTYPES
from equiwm.errors import ConfigError
from equiwm.loading import load_run
from equiwm.planning.arena import Arena
from equiwm.planning.arenas import build_arena
from equiwm.planning.control import Goal, PlannerPolicy, Policy, ReplayPolicy, build_planner, run_episodes
from equiwm.planning.goals import centroid_goal, dynamics_goal, goal_kind, model_goal
from equiwm.planning.variants import parse_variant
from equiwm.results import door
from equiwm.subject import Subject
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep
from equiwm.worlds.cloud.world import TASK_STEPS, Cloud

Line = Literal["model", "centroid", "dynamics", "replay"]
"""What drives the episodes: the planner with the model, with the centroid's closed form alone, with the true dynamics,
or the actions that the task was made with."""

REFERENCES: dict[Line, str] = {
    "centroid": "centroid only, no world model",
    "dynamics": "true dynamics in the model's place",
    "replay": "replay of the task's own actions",
}


@dataclass(frozen=True, eq=False)
class Stage:
    """A run and its world as a place to act in."""

    subject: Subject
    arena: Arena


def set_stage(subject: Subject) -> Stage:
    """The stage of a run, its frames fitted to the data it was trained on.

    Raises:
        DataError: a world in which there is nothing to reach.
    """
    return Stage(subject, build_arena(subject.world, subject.train_transitions.observation))


@lru_cache(maxsize=2)
def _stage(run: str, checkpoint: str, dtype: str, device: str) -> Stage:
    """The stage of a run, kept from cell to cell; another checkpoint at the same place is another stage."""
    return set_stage(load_run(run, DTYPES[dtype], device))


def check_line(stage: Stage, line: Line, config: PlanningConfig) -> str:
    """The kind of goal (`planning.goals.goal_kind`) of a line.

    Raises:
        ConfigError: planning settings out of range, a goal that the model cannot express, or a reference line in a
            world that does not have it.
    """
    if line != "model" and not isinstance(stage.subject.world, Cloud):
        raise ConfigError(f"the line '{line}' is one of the cloud world, not of '{stage.subject.world.name}'.")
    return goal_kind(config, stage.subject.model, stage.arena)


def _goal(stage: Stage, line: Line, config: PlanningConfig) -> Goal:
    kind, world = check_line(stage, line, config), stage.subject.world
    if line == "centroid":
        return centroid_goal(config, stage.arena)
    if line == "dynamics":
        assert isinstance(world, Cloud)  # check_line
        return dynamics_goal(config, kind, stage.arena, world)
    return model_goal(config, kind, stage.subject.model, stage.arena)


def _replay(world: Cloud, task: int, seed: int, g: Elements, steps: int) -> Policy:
    held = world.tasks(task + 1, seed=seed).action[[task] * len(g)]
    turned = world.action_rep.transform(held, g).reshape(len(g), 1, -1, 3)
    return ReplayPolicy(turned.expand(-1, TASK_STEPS, -1, -1), steps)


def orbit_cell(params: dict[str, Any]) -> dict[str, Any]:
    """One task at the identity and at every element of the orbit, with one planner seed.

    Args:
        params: `run`, `checkpoint` (its hash), `dtype`, `device`, `line`, `planner` (the variant), `planning` (its
            settings), `task` (its number), `orbit` (as `parse_orbit` takes it; null is the identity alone), `seed` (of
            tasks, planner and orbit) and `record` (whether to keep what a figure needs).

    Returns:
        A `TaskResult` as JSON data; with `record` its points as well.
    """
    stage = _stage(params["run"], params["checkpoint"], params["dtype"], params["device"])
    world, arena = stage.subject.world, stage.arena
    config, variant, seed = PlanningConfig(**params["planning"]), parse_variant(params["planner"]), params["seed"]
    g = world.group.identity(1)
    if params["orbit"] is not None:
        orbit = parse_orbit(params["orbit"], world, seed).elements
        g = Elements(torch.cat([g.linear, orbit.linear]), torch.cat([g.translation, orbit.translation]))
    task = params["task"]
    tasks = arena.turned(arena.tasks(task + 1, held_out_seed(seed)).take([task] * len(g)), g)
    policy: Policy
    if params["line"] == "replay":
        assert isinstance(world, Cloud)
        policy = _replay(world, task, held_out_seed(seed), g, config.steps)
    else:
        # One seed for the task, whichever way it is turned: paired.
        seeds = [[seed, task]] * len(g)
        goal = _goal(stage, params["line"], config)
        policy = PlannerPolicy(
            arena,
            build_planner(config, variant),
            variant,
            goal,
            world.action_rep,
            seeds,
            told=g,
            shrink=config.shrink,
        )
    episodes = run_episodes(arena, tasks, policy, steps=config.steps, replan=config.replan)
    angle, distance = arena.pose_error(episodes.observations, tasks.goal[:, None])
    moved, _ = arena.pose_error(episodes.observations[:, -1], episodes.observations[:, 0])
    result = TaskResult(angle.tolist(), distance.tolist(), moved.tolist(), list(episodes.excluded))
    if params["record"]:
        track, aim = arena.track(episodes.observations), arena.track(tasks.goal)
        points = Rep(((track.shape[-2], "p"),), world.group.d)
        back = g.inverse()
        paths = Paths(
            parts=list(arena.parts),
            track=track.tolist(),
            goal=aim.tolist(),
            track_back=points.transform(track, back[:, None]).tolist(),
            goal_back=points.transform(aim, back).tolist(),
        )
        result = replace(result, points=paths)
    return door.to_builtins(result)
