"""Rounds that improve a policy: it drives alone, and learns plans near its own, or far better ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from equiwm.claims.closed_loop.episode import ControlledRun, planning
from equiwm.config import PlanningConfig
from equiwm.distilling.labels import PLANS, VARIANT, Driven, Labels
from equiwm.models.policy import Policy
from equiwm.planning.acting import NetworkPolicy
from equiwm.planning.task import Tasks

_DRAWN, _NEAR = 0xD15_75, 0xD15_76  # streams of the states that are planned for, and of plans near the policy's own
_STATES = 64  # planned for at once


@dataclass(frozen=True)
class Near:
    """What plans near a policy's own are.

    Attributes:
        states: of an episode, at most, that are planned for.
        margin: share of the cost of the best plan near its own below which the planner's is learnt in its place.
        sigma: of the first samples about its own plan.
    """

    states: int
    margin: float
    sigma: float

    def planning(self, config: PlanningConfig) -> PlanningConfig:
        """A planner's settings near a plan that is there: a third of the samples, half the iterations."""
        return replace(
            config,
            sigma=self.sigma,
            samples=max(1, config.samples // 3),
            elites=max(1, config.elites // 3),
            iterations=max(1, config.iterations // 2),
            carry="best",
            warm=False,
        )


def improve(
    run: ControlledRun,
    config: PlanningConfig,
    near: Near,
    tasks: Tasks,
    seeds: Sequence[Sequence[int]],
    *,
    network: Policy,
    length: int,
) -> Driven:
    """Episodes that the policy drives alone; the label of a state begins the best plan near the policy's own there.

    Plans that reach a goal by different ways cost the same, and a network that is told now one and now another learns
    their mean, which reaches it by none. A plan that begins from the policy's own with a small sigma, and is never
    worse than that, asks for the same way again. Where the planner, beginning afresh, finds one that costs less than
    `margin` of it, that is the label: the policy's way leads nowhere there.

    Args:
        run: the teacher, and the tasks of its world.
        config: how it plans.
        near: what of it changes near the policy's own plan.
        tasks: T tasks.
        seeds: one a task.
        network: the policy.
        length: actions of a label.
    """
    control, steps = run.control, run.control.steps or config.steps
    acting = NetworkPolicy(network, control, steps=steps, hold=config.hold)
    simulation = control.begin(tasks)
    observations, visits = [simulation.observation.clone()], list[_Visit]()
    while len(observations) <= steps and not bool(simulation.stopped.all()):
        now, remaining = simulation.observation.clone(), steps + 1 - len(observations)
        action = acting.decide(now, tasks.goal, remaining)
        visits += [_Visit(task, remaining, now[task]) for task in torch.nonzero(~simulation.stopped)[:, 0].tolist()]
        for _ in range(min(config.hold, remaining)):
            simulation.advance(control.physical(action[:, None])[:, 0])
            observations.append(simulation.observation.clone())
    chosen = _drawn(visits, seeds, near.states)
    labels = [
        _labelled(run, config, near, tasks.goal, seeds, part, network, length, steps) for part in _alike(chosen, config)
    ]
    return Driven(Labels.cat(labels), control.achieved(torch.stack(observations, 1), tasks.goal), 2 * len(chosen))


@dataclass(frozen=True, eq=False)
class _Visit:
    """The number of a task, the steps that were left, and what was observed."""

    task: int
    remaining: int
    observation: Tensor


def _drawn(visits: Sequence[_Visit], seeds: Sequence[Sequence[int]], states: int) -> list[_Visit]:
    """At most so many of each task, in the order they were visited."""
    chosen = []
    for task, seed in enumerate(seeds):
        own = [visit for visit in visits if visit.task == task]
        rows = np.random.default_rng([_DRAWN, *seed]).permutation(len(own))[:states]
        chosen += [own[row] for row in sorted(rows)]
    return chosen


def _alike(chosen: Sequence[_Visit], config: PlanningConfig) -> list[list[_Visit]]:
    """What is planned for at once: plans of one length, where they end with the episode."""
    by_length: dict[int, list[_Visit]] = {}
    for visit in chosen:
        horizon = min(visit.remaining, config.horizon) if config.shrink else config.horizon
        by_length.setdefault(-(-horizon // config.hold), []).append(visit)
    return [part[k : k + _STATES] for part in by_length.values() for k in range(0, len(part), _STATES)]


def _labelled(
    run: ControlledRun,
    config: PlanningConfig,
    near: Near,
    goals: Tensor,
    seeds: Sequence[Sequence[int]],
    part: Sequence[_Visit],
    network: Policy,
    length: int,
    steps: int,
) -> Labels:
    """The labels of visits whose plans are of one length."""
    like, e = next(network.parameters()), run.subject.world.group.identity(len(part))
    observation, goal = torch.stack([visit.observation for visit in part]), goals[[visit.task for visit in part]]
    left = torch.tensor([[visit.remaining / steps] for visit in part], dtype=torch.float64)
    own = network.plans(observation.to(like), goal.to(like), left.to(like)).cpu().double()
    shortest = min(visit.remaining for visit in part)

    def planned(settings: PlanningConfig, stream: int, start: Tensor | None) -> tuple[Tensor, Tensor]:
        numbers = [[stream, *seeds[visit.task], visit.remaining] for visit in part]
        plan = planning(run, settings, VARIANT, numbers, e).plan(observation, goal, shortest, start=start)
        return plan.actions, plan.cost

    actions, cost = planned(near.planning(config), _NEAR, own)
    other, least = planned(replace(config, carry="best", warm=False), PLANS, None)
    better = least < cost - (1.0 - near.margin) * cost.abs()
    chosen = torch.where(better.reshape(-1, *[1] * (actions.dim() - 1)), other, actions)
    return Labels.of(observation, goal, left, chosen, length)
