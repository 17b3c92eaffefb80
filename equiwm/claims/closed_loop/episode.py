"""One task of a closed loop over its orbit, as a cell of a grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.claims.closed_loop.result import Paths, TaskResult
from equiwm.claims.probe import held_out_seed
from equiwm.config import PlanningConfig
from equiwm.devices import DTYPES
from equiwm.errors import ConfigError, DataError
from equiwm.loading import load_run
from equiwm.planning.control import Goal, PlannerPolicy, Policy, ReplayPolicy, build_planner, run_episodes
from equiwm.planning.goals import centroid_goal, dynamics_goal, goal_kind, model_goal
from equiwm.planning.task import REFERENCES, Controller, ControlTask
from equiwm.planning.variants import parse_variant
from equiwm.results import door
from equiwm.subject import Subject
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import ControlWorld


@dataclass(frozen=True, eq=False)
class ControlledRun:
    """A run, and what there is to do in its world."""

    subject: Subject
    control: ControlTask


def controlled(subject: Subject) -> ControlledRun:
    """A run with the tasks of its world, whose frames are fitted to the data it was trained on.

    Raises:
        DataError: a world in which there is nothing to reach.
    """
    world = subject.world
    if not isinstance(world, ControlWorld):
        raise DataError(f"the world '{world.name}' has no tasks, so no loop can be closed in it: give it a `control`.")
    return ControlledRun(subject, world.control(subject.train_transitions.observation))


@lru_cache(maxsize=2)
def _controlled(run: str, checkpoint: str, trust: tuple[str, ...], dtype: str, device: str) -> ControlledRun:
    """A run and its tasks, kept from cell to cell; another checkpoint at the same place is another one."""
    return controlled(load_run(run, DTYPES[dtype], device, trust=trust))


def check_controller(run: ControlledRun, controller: Controller, config: PlanningConfig) -> str:
    """The kind of goal (`planning.goals.goal_kind`) of a controller.

    Raises:
        ConfigError: planning settings out of range, a goal that the model cannot express, or a reference that the
            world does not have.
    """
    if controller != "model" and controller not in run.control.references:
        raise ConfigError(
            f"the world '{run.subject.world.name}' has no line '{controller}' ({REFERENCES[controller]}); it has: "
            f"{', '.join(run.control.references) or 'none'}."
        )
    return goal_kind(config, run.subject.model, run.control)


def _goal(run: ControlledRun, controller: Controller, config: PlanningConfig) -> Goal:
    kind = check_controller(run, controller, config)
    if controller == "centroid":
        return centroid_goal(config, run.control)
    if controller == "dynamics":
        return dynamics_goal(config, kind, run.control, run.subject.world.observation_rep)
    return model_goal(config, kind, run.subject.model, run.control)


def _idle(action_rep: Rep, steps: int) -> ReplayPolicy:
    """No action in any step of one episode."""
    return ReplayPolicy(torch.zeros(1, steps, *action_rep.shape, dtype=torch.float64), steps)


@torch.no_grad()
def orbit_cell(params: dict[str, Any]) -> dict[str, Any]:
    """One task at the identity and at every element of the orbit, with one planner seed.

    Args:
        params: `run`, `checkpoint` (its hash), `trust`, `dtype`, `device`, `controller`, `planner` (variant),
            `planning` (its settings), `task` (its number), `orbit` (as `parse_orbit` takes it; null is the identity
            alone), `seed` (of tasks, planner and orbit) and `record` (whether to keep what a figure needs).

    Returns:
        A `TaskResult` as JSON data; with `record` its points as well.
    """
    run = _controlled(
        params["run"], params["checkpoint"], tuple(params.get("trust", ())), params["dtype"], params["device"]
    )
    world, control = run.subject.world, run.control
    config, variant, seed = PlanningConfig(**params["planning"]), parse_variant(params["planner"]), params["seed"]
    g = world.group.identity(1)
    if params["orbit"] is not None and control.unturned is None:
        orbit = parse_orbit(params["orbit"], world, seed).elements
        g = Elements.cat([g, orbit])
    task = params["task"]
    tasks = control.tasks(task + 1, held_out_seed(seed)).take([task] * len(g))
    tasks = tasks if control.unturned else control.turned(tasks, g)
    policy: Policy
    if params["controller"] == "replay":
        assert tasks.actions is not None  # check_controller
        policy = ReplayPolicy(tasks.actions, config.steps)
    else:
        # One seed for the task, whichever way it is turned: paired.
        seeds = [[seed, task]] * len(g)
        goal = _goal(run, params["controller"], config)
        policy = PlannerPolicy(
            control,
            build_planner(config, variant),
            variant,
            goal,
            world.action_rep,
            seeds,
            oracle=g,
            shrink=config.shrink,
        )
    episodes = run_episodes(control, tasks, policy, steps=config.steps, replan=config.replan)
    angle, distance = control.pose_error(episodes.observations, tasks.goal[:, None])
    moved, _ = control.pose_error(episodes.observations[:, -1], episodes.observations[:, 0])
    errors = control.channel_errors(episodes.observations, tasks.goal[:, None])
    result = TaskResult(
        angle.tolist(),
        distance.tolist(),
        moved.tolist(),
        list(episodes.excluded),
        channels={name: error.tolist() for name, error in errors.items()},
    )
    if params["controller"] == "model":
        left_alone = run_episodes(
            control, tasks.take([0]), _idle(world.action_rep, config.steps), steps=config.steps, replan=config.steps
        )
        steered, _ = control.pose_error(episodes.observations[:1, -1], left_alone.observations[:, -1])
        result = replace(result, steered_deg=float(steered[0]))
    if params["record"]:
        track, aim = control.track(episodes.observations), control.track(tasks.goal)
        points = Rep(((track.shape[-2], "p"),), world.group.d)
        back = g.inverse()
        paths = Paths(
            parts=list(control.parts),
            track=track.tolist(),
            goal=aim.tolist(),
            track_back=points.transform_samples(track, back[:, None]).tolist(),
            goal_back=points.transform_samples(aim, back).tolist(),
        )
        result = replace(result, points=paths)
    return door.to_builtins(result)
