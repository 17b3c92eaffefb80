"""A trained run as the policy of episodes: it plans, or acts, towards the goals of its world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from equiwm.claims.closed_loop.episode import ControlledRun, acting, check_controller, controlled
from equiwm.environments.explore import Actor
from equiwm.environments.spaces import Rows
from equiwm.errors import ConfigError
from equiwm.loading import load_run
from equiwm.planning.control import Policy, build_planner
from equiwm.planning.task import Tasks
from equiwm.planning.variants import parse_variant
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep


@runtime_checkable
class ActingWorld(Protocol):
    """A world of an environment, which knows the environment's own numbers."""

    group: Group
    action_rep: Rep

    @property
    def environment_id(self) -> str:
        """Which environment."""
        ...

    def observed(self, rows: Rows) -> Tensor:
        """Observations (n, *shape) of rows (n, W)."""
        ...

    def sent(self, actions: Tensor) -> Rows:
        """Rows (n, A) of actions (n, *shape), moved into their bounds."""
        ...


class PlannedRun:
    """Plans with a run, or acts with a policy, an episode towards the goal of the task of its number.

    Args:
        run: the run, and the tasks of its world.
        world: its world.
        steps: of an episode.
    """

    def __init__(self, run: ControlledRun, world: ActingWorld, steps: int) -> None:
        self._run, self._world, self._steps = run, world, steps
        self._config = run.subject.planning
        check_controller(run, "model", self._config)
        build_planner(self._config, parse_variant("equivariant"))  # refused before the first episode

    def actor(self, index: int, seed: int) -> Callable[[np.random.Generator], Actor]:
        """Makes the actor of episode `index`."""

        def make(rng: np.random.Generator) -> Actor:
            tasks = self._run.control.tasks(index + 1, seed).take([index])
            g = self._world.group.identity(1)
            policy, replan = acting(self._run, self._config, parse_variant("equivariant"), [rng], g)
            return _Acting(self._world, policy, tasks, replan, self._steps)

        return make


class _Acting:
    """One episode: a stretch of each plan is carried out before the next one."""

    def __init__(self, world: ActingWorld, policy: Policy, tasks: Tasks, replan: int, steps: int) -> None:
        self._world, self._policy, self._tasks, self._replan, self._left = world, policy, tasks, replan, steps
        self._queue: list[Tensor] = []

    def __call__(self, observation: Rows) -> Rows:
        if not self._queue:
            plan = self._policy(self._world.observed(observation[None]), self._tasks.goal, max(1, self._left))
            self._queue = list(plan[0, : self._replan])
        self._left -= 1
        row: Rows = self._world.sent(self._queue.pop(0)[None])[0]
        return row


def planned(path: Path, env: str, steps: int, trust: tuple[str, ...]) -> PlannedRun:
    """A run as a policy.

    Raises:
        ConfigError: a run of another world or environment.
        RunError, DataError: it cannot be loaded, or there is nothing to reach in its world.
    """
    run = controlled(load_run(path, torch.float64, "cpu", trust=trust))
    world = run.subject.world
    if not isinstance(world, ActingWorld) or world.environment_id != env:
        made = world.environment_id if isinstance(world, ActingWorld) else world.name
        raise ConfigError(f"--policy {path}: it was trained in '{made}', and cannot act in 'gym:{env}'.")
    return PlannedRun(run, world, steps)
