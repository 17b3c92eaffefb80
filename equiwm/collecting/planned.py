"""A trained run as the policy of episodes: it plans towards the goals of its world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equiwm.claims.closed_loop.episode import ControlledRun, check_controller, controlled
from equiwm.errors import ConfigError
from equiwm.loading import load_run
from equiwm.planning.control import PlannerPolicy, build_planner
from equiwm.planning.goals import model_goal
from equiwm.planning.task import Tasks
from equiwm.planning.variants import parse_variant
from equiwm.worlds.gym.control import GymControl
from equiwm.worlds.gym.explore import Actor
from equiwm.worlds.gym.spaces import Rows
from equiwm.worlds.gym.world import GymWorld


class PlannedRun:
    """Plans with a run, an episode towards the goal of the task of its number.

    Args:
        run: the run, and the tasks of its world.
        world: its world.
        control: its tasks.
        steps: of an episode.
    """

    def __init__(self, run: ControlledRun, world: GymWorld, control: GymControl, steps: int) -> None:
        self._run, self._world, self._control, self._steps = run, world, control, steps
        self._config = run.subject.planning
        self._goal = model_goal(
            self._config, check_controller(run, "model", self._config), run.subject.model, run.control
        )
        build_planner(self._config, parse_variant("equivariant"))  # refused before the first episode

    def actor(self, index: int, seed: int) -> Callable[[np.random.Generator], Actor]:
        """Makes the actor of episode `index`."""

        def make(rng: np.random.Generator) -> Actor:
            variant = parse_variant("equivariant")
            tasks = self._control.tasks(index + 1, seed).take([index])
            policy = PlannerPolicy(
                self._control,
                build_planner(self._config, variant),
                variant,
                self._goal,
                self._world.action_rep,
                [rng],
                oracle=self._world.group.identity(1),
                shrink=self._config.shrink,
            )
            return _Planning(self._world, policy, tasks, self._config.replan, self._steps)

        return make


class _Planning:
    """One episode: a stretch of each plan is carried out before the next one."""

    def __init__(self, world: GymWorld, policy: PlannerPolicy, tasks: Tasks, replan: int, steps: int) -> None:
        self._world, self._policy, self._tasks, self._replan, self._left = world, policy, tasks, replan, steps
        self._queue: list[Tensor] = []

    def __call__(self, observation: Rows) -> Rows:
        if not self._queue:
            seen = self._world.state.tensor(observation[None])
            plan = self._policy(seen, self._tasks.goal, max(1, self._left))
            self._queue = list(plan[0, : self._replan])
        self._left -= 1
        row: Rows = self._world.push.rows(self._world.bounds.clipped(self._queue.pop(0)[None]))[0]
        return row


def planned(path: Path, env: str, steps: int, trust: tuple[str, ...]) -> PlannedRun:
    """A run as a policy.

    Raises:
        ConfigError: a run of another world or environment.
        RunError, DataError: it cannot be loaded, or there is nothing to reach in its world.
    """
    run = controlled(load_run(path, torch.float64, "cpu", trust=trust))
    world, control = run.subject.world, run.control
    if not isinstance(world, GymWorld) or not isinstance(control, GymControl) or world.config.env != env:
        made = world.config.env if isinstance(world, GymWorld) else world.name
        raise ConfigError(f"--policy {path}: it was trained in '{made}', and cannot act in 'gym:{env}'.")
    return PlannedRun(run, world, control, steps)
