"""Receding-horizon control: plan, carry out a stretch of the plan, observe, plan again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from equiwm.config import PlanningConfig
from equiwm.planning.cem import CEM
from equiwm.planning.costs import Objective
from equiwm.planning.mppi import MPPI
from equiwm.planning.sampling import PlanSeed, SamplingPlanner
from equiwm.planning.task import ControlTask, Tasks
from equiwm.planning.variants import Variant
from equiwm.planning.view import PlannerView
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep

Goal = Callable[[Tensor, Tensor, int], Objective]
"""From what is observed and what is to be observed, (T, C, d) each, to the cost of sequences of so many actions."""


class Policy(Protocol):
    """What drives an episode."""

    def __call__(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        """Actions (T, h, A, d) float64, h >= 1, to carry out next.

        Args:
            observation: (T, C, d).
            goal: (T, C, d).
            remaining: steps until the episode ends.
        """
        ...


@dataclass(frozen=True, eq=False)
class Episodes:
    """T episodes of S control steps.

    Attributes:
        observations: (T, S + 1, C, d), the start included.
        excluded: for each, why the symmetry does not cover it, or None.
    """

    observations: Tensor
    excluded: list[str | None]


def build_planner(config: PlanningConfig, variant: Variant) -> SamplingPlanner:
    """The planner of section `planning`, with the constraint and the refit of the variant.

    Raises:
        ConfigError: a setting out of its range.
    """
    shared = {name: getattr(config, name) for name in ("horizon", "samples", "iterations", "sigma")}
    shared |= {"constraint": variant.constraint, "refit": variant.refit}
    if config.method == "mppi":
        return MPPI(**shared, temperature=config.temperature)
    return CEM(**shared, elites=config.elites)


class PlannerPolicy:
    """Plans with random numbers of its own for each episode, which go on from plan to plan.

    Args:
        control: the world's tasks, which read frames off its observations.
        planner: the planner.
        variant: whose frame the noise is drawn in.
        goal: the cost of a plan.
        action_rep: A vectors in d dimensions.
        seeds: one an episode; an episode and its turned copy have the same.
        oracle: the elements that the scenes were turned by; only the variant `paper` looks at them.
        shrink: a plan ends with the episode at the latest. A plan of constant length, whose cost looks at its end, is
            never in a hurry: with 12 steps, renewed every 6, half of the way is left each time.
    """

    def __init__(
        self,
        control: PlannerView,
        planner: SamplingPlanner,
        variant: Variant,
        goal: Goal,
        action_rep: Rep,
        seeds: Sequence[PlanSeed],
        oracle: Elements,
        shrink: bool,
    ) -> None:
        self._control, self._planner, self._variant, self._goal = control, planner, variant, goal
        self._action_rep, self._oracle, self._shrink = action_rep, oracle, shrink
        self._generators = [np.random.default_rng(seed) for seed in seeds]

    def __call__(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        planner = self._planner
        if self._shrink and remaining < planner.horizon:
            planner = replace(planner, horizon=remaining)
        axes = self._control.frames(observation).axes if self._variant.frame == "state" else None
        frame = self._variant.noise_frame(state=axes, oracle=self._oracle)
        objective = self._goal(observation, goal, planner.horizon)
        return planner.plan(objective, self._action_rep, self._generators, frame=frame).actions


class ReplayPolicy:
    """Carries out given actions (T, S, A, d), whatever is observed, and after them none.

    Args:
        actions: of the whole episode, or of its beginning.
        steps: of the episode.
    """

    def __init__(self, actions: Tensor, steps: int) -> None:
        idle = actions.new_zeros(len(actions), max(0, steps - actions.shape[1]), *actions.shape[2:])
        self._actions, self._steps = torch.cat([actions, idle], 1), steps

    def __call__(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        return self._actions[:, self._steps - remaining :]


def run_episodes(control: ControlTask, tasks: Tasks, policy: Policy, *, steps: int, replan: int) -> Episodes:
    """T episodes side by side: every `replan` steps the policy sees where they are and says what to do next.

    Args:
        control: the world's tasks.
        tasks: T tasks.
        policy: gives at least one action at a time.
        steps: control steps S of an episode.
        replan: actions of a plan that are carried out.
    """
    simulation = control.begin(tasks)
    observations = [simulation.observation.clone()]
    while len(observations) <= steps:
        remaining = steps + 1 - len(observations)
        plan = policy(simulation.observation, tasks.goal, remaining)
        for actions in plan[:, : min(replan, remaining)].unbind(1):
            simulation.advance(actions)
            observations.append(simulation.observation.clone())
    return Episodes(torch.stack(observations, 1), simulation.excluded)
