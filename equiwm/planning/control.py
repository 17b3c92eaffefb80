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
from equiwm.planning.ranking import Cost, Scored
from equiwm.planning.sampling import Plan, PlanSeed, SamplingPlanner
from equiwm.planning.task import ControlTask, Tasks
from equiwm.planning.variants import Variant
from equiwm.planning.view import PlannerView
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep

Goal = Callable[[Tensor, Tensor, int], Cost]
"""From what is observed and what is to be observed, (T, C, d) each, to the cost of sequences of so many actions (an
`Objective` may be ranked in float32 first)."""


class Policy(Protocol):
    """What drives an episode."""

    def __call__(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        """Actions (T, h, *action_rep.shape) float64, h >= 1, to carry out next.

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
        scored: how the candidates of their plans were scored.
    """

    observations: Tensor
    excluded: list[str | None]
    scored: Scored = Scored()


def build_planner(config: PlanningConfig, variant: Variant) -> SamplingPlanner:
    """The planner of section `planning`, with the constraint and the refit of the variant.

    Raises:
        ConfigError: a setting out of its range.
    """
    shared = {name: getattr(config, name) for name in ("samples", "iterations", "sigma", "reach")}
    shared |= {
        "horizon": config.horizon // config.hold,
        "constraint": variant.constraint,
        "refit": variant.refit,
        "carry": config.carry,
    }
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
        action_rep: of one action.
        seeds: one an episode; an episode and its turned copy have the same.
        oracle: the elements that the scenes were turned by; only the variant `paper` looks at them.
        shrink: a plan ends with the episode at the latest. A plan of constant length, whose cost looks at its end, is
            never in a hurry: with 12 steps, renewed every 6, half of the way is left each time.
        hold: steps that an action of a plan is held; the planner's horizon is in actions.
        warm: begin each plan from what is left of the last one.

    Attributes:
        scored: how the candidates of all its plans so far were scored.
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
        hold: int = 1,
        warm: bool = False,
    ) -> None:
        self._control, self._planner, self._variant, self._goal = control, planner, variant, goal
        self._action_rep, self._oracle, self._shrink = action_rep, oracle, shrink
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._hold, self._warm = hold, warm
        self._last: tuple[Tensor, int] | None = None
        self.scored = Scored()

    def __call__(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        return held(self._control.physical(self.plan(observation, goal, remaining).actions), self._hold, 1)

    def plan(self, observation: Tensor, goal: Tensor, remaining: int, *, start: Tensor | None = None) -> Plan:
        """The plan itself, in the planner's unit; each action of it is held `hold` steps.

        Args:
            observation, goal, remaining: as of `Policy`.
            start: (T, h, *action_rep.shape), what the first samples are drawn about, no action after its end; None is
                what is left of the last plan where the planner is warm, else no action.
        """
        planner, hold = self._within(remaining), self._hold
        axes = self._control.frames(observation).axes if self._variant.frame == "state" else None
        frame = self._variant.noise_frame(state=axes, oracle=self._oracle)
        objective, physical = self._goal(observation, goal, hold * planner.horizon), self._control.physical
        rough = objective.rough if isinstance(objective, Objective) else None
        plan = planner.plan(
            lambda actions: objective(held(physical(actions), hold, 2)),
            self._action_rep,
            self._generators,
            frame=frame,
            start=self._start(start, planner.horizon, remaining),
            rough=None if rough is None else lambda actions: rough(held(physical(actions), hold, 2)),
        )
        self._last = plan.actions, remaining
        self.scored += plan.scored
        return plan

    def costs(self, observation: Tensor, goal: Tensor, remaining: int, plans: Tensor) -> Tensor:
        """What plans cost by the model, (T, N) float64: those that `plan` would choose from.

        Args:
            observation, goal, remaining: as of `Policy`.
            plans: (T, N, h, *action_rep.shape), in the planner's unit; no action after their ends.
        """
        planner, hold = self._within(remaining), self._hold
        whole = torch.stack([_filled(plan, planner.horizon) for plan in plans.unbind(1)], 1)
        objective = self._goal(observation, goal, hold * planner.horizon)
        return objective(held(self._control.physical(whole), hold, 2)).double()

    def _within(self, remaining: int) -> SamplingPlanner:
        """The planner, of plans that end with the episode where they have to."""
        if self._shrink and remaining < self._hold * self._planner.horizon:
            return replace(self._planner, horizon=-(-remaining // self._hold))
        return self._planner

    def _start(self, given: Tensor | None, horizon: int, remaining: int) -> Tensor | None:
        """What is given, or what the last plan has left after the steps since then, and no action after it."""
        if given is None:
            if not self._warm or self._last is None:
                return None
            plan, then = self._last
            given = plan[:, (then - remaining) // self._hold :]
        return _filled(given, horizon)


def _filled(plan: Tensor, horizon: int) -> Tensor:
    """A plan (T, h, ...) as one of another length, (T, horizon, ...): no action after its end."""
    begun = plan[:, :horizon]
    return torch.cat([begun, begun.new_zeros(len(begun), horizon - begun.shape[1], *begun.shape[2:])], 1)


def held(actions: Tensor, steps: int, axis: int) -> Tensor:
    """Every action of that axis so many times, one after another."""
    return actions if steps == 1 else actions.repeat_interleave(steps, axis)


class ReplayPolicy:
    """Carries out given actions (T, S, *action_rep.shape), whatever is observed, and after them none.

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
    while len(observations) <= steps and not bool(simulation.stopped.all()):
        remaining = steps + 1 - len(observations)
        plan = policy(simulation.observation, tasks.goal, remaining)
        for actions in plan[:, : min(replan, remaining)].unbind(1):
            simulation.advance(actions)
            observations.append(simulation.observation.clone())
    observations += observations[-1:] * (steps + 1 - len(observations))  # every episode has ended: it stays as it is
    return Episodes(torch.stack(observations, 1), simulation.excluded)
