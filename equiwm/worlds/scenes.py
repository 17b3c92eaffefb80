"""Worlds whose scenes are drawn straight and then turned as a whole: all that follows from starts, plans and a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import at_least_one
from equiwm.planning.task import ControlTask, Tasks
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep
from equiwm.worlds.draws import Orientations, generator, generators
from equiwm.worlds.scene_control import SceneControl
from equiwm.worlds.world import Progress, Sequences, SymmetryResidual, Transitions, World, action_shape

_TASKS, _RESIDUAL = 2, 3  # streams of random numbers, apart from those of `scene.Scene`
TASK_NORM = (0.3, 1.0)
"""Norms of a task's action, [low, high)."""


class Scenes(World, ABC):
    """A world stepped from what is observed, whose scenes and plans are turned as a whole.

    A subclass draws `starts`, `turns` and `plans`, each scene's from random numbers of its own, and has a `step`.
    Everything is float64. `scene.Scene` draws them scene by scene and is the base to begin with.

    Attributes:
        unit: of the observations, for figures and residuals.
    """

    observation_rep: Rep
    action_rep: Rep
    equivariant: bool = True
    components: Mapping[str, int] = {}
    unit: str = "length"

    @abstractmethod
    def starts(self, n: int, seed: int) -> Tensor:
        """`n` scenes (n, *shape) before they are turned; the first m of them are `starts(m, seed)`."""

    @abstractmethod
    def turns(self, n: int, seed: int, orientations: Orientations) -> Elements:
        """How `n` scenes are turned as a whole.

        Raises:
            DataError: unknown orientations, or `unseen` where training covers all.
        """

    @abstractmethod
    def plans(self, n: int, horizon: int, seed: int) -> Tensor:
        """Actions (n, H, *action_shape) before they are turned; a shorter plan begins a longer one."""

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action: (d,), (A, d) for several vectors, or flat (dim,)."""
        return action_shape(self.action_rep)

    def turned_plans(self, plans: Tensor, turns: Elements, seed: int, orientations: Orientations) -> Tensor:
        """The plans as they are at those orientations: turned with their scenes."""
        return self.action_rep.transform(plans, turns[:, None])

    def roll(self, observation: Tensor, plans: Tensor) -> Tensor:
        """Observations (n, H + 1, *shape) under the plans (n, H, *action_shape), the start included."""
        states = [observation]
        for action in plans.unbind(1):
            states.append(self.step(states[-1], action))
        return torch.stack(states, 1)

    def collect(
        self, n: int, plans: Tensor, seed: int, orientations: Orientations, progress: Progress | None = None
    ) -> Sequences:
        """The sequences of `n` scenes and their plans, at the given orientations."""
        turns = self.turns(n, seed, orientations)
        scenes = self.observation_rep.transform_samples(self.starts(n, seed), turns)
        actions = self.turned_plans(plans, turns, seed, orientations)
        observations = self.roll(scenes, actions)
        if progress is not None:
            progress(n, n)
        return Sequences(observations, actions, episode=torch.arange(n))

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions, each from a scene of its own; the first m of them are those of `transitions(m)`.

        With one seed, `seen`, `all` and `unseen` are the same scenes and actions, turned otherwise.

        Raises:
            DataError: `n` below 1, a negative seed, unknown orientations, or `unseen` where training covers all.
        """
        at_least_one("transitions", n=n)
        data = self.sequences(n, 1, seed=seed, orientations=orientations, progress=progress)
        return Transitions(data.observations[:, 0], data.actions[:, 0], data.observations[:, 1], episode=data.episode)

    def sequences(
        self,
        n: int,
        horizon: int,
        *,
        seed: int,
        orientations: Orientations = "seen",
        progress: Progress | None = None,
    ) -> Sequences:
        """`n` sequences, each from a scene of its own; fewer, and shorter ones, are part of more and longer ones.

        With one seed, `seen`, `all` and `unseen` are the same scenes and actions, turned otherwise, each with the
        world's own outcome.

        Raises:
            DataError: `n` or `horizon` below 1, a negative seed, unknown orientations, or `unseen` where training
                covers all.
        """
        at_least_one("sequences", n=n, horizon=horizon)
        return self.collect(n, self.plans(n, horizon, seed), seed, orientations, progress)

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """max |g s_t - s_t(g s_0, g a)| over channels, steps and random rollouts, all of the kind `free`.

        Starts and actions are those of `sequences` at all orientations, g is drawn from the group. Rounding where the
        world carries its group.

        Raises:
            DataError: `rollouts` or `steps` below 1, or a negative seed.
        """
        at_least_one("symmetry_residual", rollouts=rollouts, steps=steps)
        data = self.sequences(rollouts, steps, seed=seed, orientations="all")
        worst = float(self.residuals(data, self.group.sample(rollouts, generator(_RESIDUAL, seed=seed))).max())
        return SymmetryResidual(self.unit, steps, worst={"free": worst}, rollouts={"free": rollouts})

    @torch.no_grad()
    def residuals(self, data: Sequences, g: Elements) -> Tensor:
        """(n,) largest distance of a channel between rollouts turned, g s_t, and those from g s_0 under g a."""
        rep = self.observation_rep
        expected = rep.transform_samples(data.observations, g[:, None])
        copies = self.roll(expected[:, 0], self.action_rep.transform(data.actions, g[:, None]))
        if rep.structured:
            return (expected - copies).norm(dim=-1).amax((1, 2))
        return rep.channel_squares(rep.difference(expected, copies)).sqrt().amax((1, 2))


class TaskScenes(Scenes, ABC):
    """Scenes with something to reach: what a scene becomes under one random action that is held.

    Attributes:
        task_steps: steps for which the action is held.
    """

    task_steps: int = 12

    def control(self, observations: Tensor) -> ControlTask:
        """The tasks of `tasks`, their poses compared by the best rotation of the world's points (`SceneControl`)."""
        return SceneControl(self, observations)

    def held_actions(self, n: int, seed: int) -> Tensor:
        """Actions (n, d) or (n, A, d) held in tasks: the direction of each vector is uniform, its norm in [0.3, 1)."""
        draws = generators(_TASKS, seed, range(n))
        directions = np.array([rng.normal(size=self.action_shape) for rng in draws])
        norms = np.array([rng.uniform(*TASK_NORM, (*self.action_shape[:-1], 1)) for rng in draws])
        return torch.from_numpy(norms * directions / np.linalg.norm(directions, axis=-1, keepdims=True))

    def tasks(self, n: int, *, seed: int, orientations: Orientations = "seen") -> Tasks:
        """`n` tasks: a scene, and what it becomes under one random action held for `task_steps` steps.

        Raises:
            DataError: `n` below 1, a negative seed or unknown orientations.
        """
        at_least_one("tasks", n=n)
        start = self.observation_rep.transform_samples(self.starts(n, seed), self.turns(n, seed, orientations))
        return self.held(start, self.held_actions(n, seed))

    def held(self, start: Tensor, action: Tensor) -> Tasks:
        """The tasks whose goals are reached by holding `action` (n, d) or (n, A, d) for `task_steps` steps."""
        plan = action[:, None].expand(-1, self.task_steps, *self.action_shape)
        rep = self.action_rep
        return Tasks(start, self.roll(start, plan)[:, -1], plan.reshape(*plan.shape[:2], rep.multiplicity, rep.d))
