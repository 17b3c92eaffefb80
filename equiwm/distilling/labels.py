"""What a policy learns from: states that were visited, and what the planner would do there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from equiwm.claims.closed_loop.episode import ControlledRun, planning
from equiwm.config import PlanningConfig
from equiwm.models.policy import Policy
from equiwm.planning.acting import NetworkPolicy
from equiwm.planning.task import Tasks
from equiwm.planning.variants import parse_variant

VARIANT = parse_variant("equivariant")
"""The planner that is cloned: the one that is told nothing."""

PLANS = 0xD15_72
"""Stream of the random numbers that plans are drawn with."""
_DRIVERS = 0xD15_73  # of who drives


@dataclass(frozen=True, eq=False)
class Labels:
    """n decisions.

    Attributes:
        observation: (n, *shape) float64.
        goal: likewise.
        left: (n, 1), the share of the episode's steps that was left.
        actions: (n, P, *action_rep.shape), the beginning of the planner's plan, every copy of a kind in the unit ball.
        known: (n, 1), how many of them the plan had; the others are 0, and not learnt.
    """

    observation: Tensor
    goal: Tensor
    left: Tensor
    actions: Tensor
    known: Tensor

    def __len__(self) -> int:
        return len(self.observation)

    @staticmethod
    def cat(parts: Sequence[Labels]) -> Labels:
        """One after another; of episodes that were solved before anything was decided there are none."""
        none = torch.empty(0, dtype=torch.float64)  # joins any shape
        return Labels(*(torch.cat([none, *(getattr(part, name) for part in parts)]) for name in Labels.names()))

    @staticmethod
    def names() -> list[str]:
        """Of the tensors, in order."""
        return [each.name for each in fields(Labels)]

    @staticmethod
    def of(observation: Tensor, goal: Tensor, left: Tensor, plan: Tensor, length: int) -> Labels:
        """Labels that are the first `length` actions of plans (n, H, *action_rep.shape), or all that those have."""
        actions = plan[:, :length]
        missing = actions.new_zeros(len(plan), length - actions.shape[1], *actions.shape[2:])
        known = torch.full_like(left, actions.shape[1])
        return Labels(observation, goal, left, torch.cat([actions, missing], 1), known)

    def take(self, rows: Tensor) -> Labels:
        """Some of them, by number or by a mask."""
        return Labels(*(getattr(self, name)[rows] for name in self.names()))


@dataclass(frozen=True, eq=False)
class Driven:
    """Episodes that were driven, and what of them is learnt from.

    Attributes:
        labels: of every decision that the planner was asked for.
        solved: (T,) bool.
        plans: how many were made.
    """

    labels: Labels
    solved: Tensor
    plans: int


def drive(
    run: ControlledRun,
    config: PlanningConfig,
    tasks: Tasks,
    seeds: Sequence[Sequence[int]],
    *,
    share: float,
    network: Policy | None,
    length: int = 1,
    mean: bool = True,
) -> Driven:
    """Episodes driven by planner and policy in turn: a DAgger mixture.

    Every `replan` steps the planner plans from where each episode is. With probability `share` it drives the next
    stretch itself, and all its actions are labels; else the policy does, and the plan's first action is the label of
    the state that the policy had come to.

    Args:
        run: the teacher, and the tasks of its world.
        config: how it plans.
        tasks: T tasks.
        seeds: one a task.
        share: of the stretches that the planner drives, 0 to 1.
        network: the policy; not asked where `share` is 1.
        length: actions of a label.
        mean: labels are the mean of the plan's last distribution, and not what of it is carried out.
    """
    control, steps = run.control, run.control.steps or config.steps
    g = run.subject.world.group.identity(len(tasks))
    planner = planning(run, config, VARIANT, [[PLANS, *seed] for seed in seeds], g)
    acting = None if network is None else NetworkPolicy(network, control, steps=steps, hold=config.hold)
    drivers = [np.random.default_rng([_DRIVERS, *seed]) for seed in seeds]
    simulation = control.begin(tasks)
    observations, rows, plans = [simulation.observation.clone()], [], 0
    while len(observations) <= steps and not bool(simulation.stopped.all()):
        remaining = steps + 1 - len(observations)
        plan = planner.plan(simulation.observation, tasks.goal, remaining)
        plans += int((~simulation.stopped).sum())
        drawn = torch.tensor([rng.random() < share for rng in drivers])
        # A plan that ends before the next one is begun is carried out to its end.
        for step in range(min(config.replan, remaining, config.hold * plan.actions.shape[1])):
            if step % config.hold == 0:
                now, left = simulation.observation.clone(), remaining - step
                action = plan.actions[:, step // config.hold]
                wanted = (plan.mean if mean else plan.actions)[:, step // config.hold :]
                if acting is not None and not bool(drawn.all()):
                    by_policy = acting.decide(now, tasks.goal, left)
                    action = torch.where(drawn.reshape(-1, *[1] * (action.dim() - 1)), action, by_policy)
                told = ~simulation.stopped & (drawn if step else torch.ones_like(drawn))
                share_left = torch.full((len(now), 1), left / steps, dtype=torch.float64)
                rows.append(Labels.of(now, tasks.goal, share_left, wanted, length).take(told))
            simulation.advance(control.physical(action[:, None])[:, 0])
            observations.append(simulation.observation.clone())
    return Driven(Labels.cat(rows), control.achieved(torch.stack(observations, 1), tasks.goal), plans)
