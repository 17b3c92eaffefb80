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
from equiwm.planning.control import PlannerPolicy
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
    their mean, which reaches it by none. A plan that is searched near the policy's own (what it plans at the state, or
    what is left of its plan at the last one, whichever costs less) is never worse than that, and asks for the same way
    again. Where the planner finds one that costs less than `margin` of it, that is the label: the policy's way leads
    nowhere there.

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
    observations, visits, before = [simulation.observation.clone()], list[_Visit](), None
    while len(observations) <= steps and not bool(simulation.stopped.all()):
        now, remaining = simulation.observation.clone(), steps + 1 - len(observations)
        plans = acting.plans(now, tasks.goal, remaining)
        before = plans if before is None else before
        deciding = torch.nonzero(~simulation.stopped)[:, 0].tolist()
        visits += [_Visit(task, remaining, now[task], torch.stack([plans[task], before[task]])) for task in deciding]
        for _ in range(min(config.hold, remaining)):
            simulation.advance(control.physical(plans[:, :1])[:, 0])
            observations.append(simulation.observation.clone())
        before = torch.cat([plans[:, 1:], torch.zeros_like(plans[:, :1])], 1)
    chosen = _drawn(visits, seeds, near.states)
    labels = [_labelled(run, config, near, tasks.goal, seeds, part, length, steps) for part in _alike(chosen, config)]
    return Driven(Labels.cat(labels), control.achieved(torch.stack(observations, 1), tasks.goal), 3 * len(chosen))


@dataclass(frozen=True, eq=False)
class _Visit:
    """A decision.

    Attributes:
        task: its number.
        remaining: steps that were left.
        observation: what was seen.
        plans: (2, P, *action_rep.shape), the policy's, and what was left of its plan before.
    """

    task: int
    remaining: int
    observation: Tensor
    plans: Tensor


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
    length: int,
    steps: int,
) -> Labels:
    """The labels of visits whose plans are of one length."""
    e, number = run.subject.world.group.identity(len(part)), torch.arange(len(part))
    observation, goal = torch.stack([visit.observation for visit in part]), goals[[visit.task for visit in part]]
    left = torch.tensor([[visit.remaining / steps] for visit in part], dtype=torch.float64)
    shortest, plans = min(visit.remaining for visit in part), torch.stack([visit.plans for visit in part])

    def planner(settings: PlanningConfig, stream: int) -> PlannerPolicy:
        numbers = [[stream, *seeds[visit.task], visit.remaining] for visit in part]
        return planning(run, replace(settings, carry="best", warm=False), VARIANT, numbers, e)

    near_it, anywhere = planner(near.planning(config), _NEAR), planner(config, PLANS)
    own = plans[number, near_it.costs(observation, goal, shortest, plans).argmin(-1)]
    best = near_it.plan(observation, goal, shortest, start=own)
    other = anywhere.plan(observation, goal, shortest, start=own)
    other = near_it.plan(observation, goal, shortest, start=other.actions)
    better = other.cost < best.cost - (1.0 - near.margin) * best.cost.abs()
    chosen = torch.where(better.reshape(-1, *[1] * (own.dim() - 1)), other.actions, best.actions)
    return Labels.of(observation, goal, left, chosen, length)
