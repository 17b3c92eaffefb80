"""What a policy learns from: states that were visited, and what the planner would do there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.claims.closed_loop.episode import ControlledRun, controlled, planning
from equiwm.config import PlanningConfig
from equiwm.errors import RunError
from equiwm.loading import load_run, policy_network
from equiwm.models.policy import Policy
from equiwm.planning.acting import NetworkPolicy
from equiwm.planning.task import Tasks
from equiwm.planning.variants import parse_variant
from equiwm.runs import Run
from equiwm.tensors import read_tensors, require_tensors, size_limit

VARIANT = parse_variant("equivariant")
"""The planner that is cloned: the one that is told nothing."""

_TASKS, _PLANS, _DRIVERS = 0xD15_71, 0xD15_72, 0xD15_73  # streams of random numbers of their own
_COPIES = 64


@dataclass(frozen=True, eq=False)
class Labels:
    """n decisions.

    Attributes:
        observation: (n, *shape) float64.
        goal: likewise.
        left: (n, 1), the share of the episode's steps that was left.
        action: (n, *action_rep.shape), the planner's, every copy of a kind in the unit ball.
    """

    observation: Tensor
    goal: Tensor
    left: Tensor
    action: Tensor

    def __len__(self) -> int:
        return len(self.observation)

    @staticmethod
    def cat(parts: Sequence[Labels]) -> Labels:
        """One after another; of episodes that were solved before anything was decided there are none."""
        names = ("observation", "goal", "left", "action")
        none = torch.empty(0, dtype=torch.float64)  # joins any shape
        return Labels(*(torch.cat([none, *(getattr(part, name) for part in parts)]) for name in names))


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
        mean: labels are the mean of the plan's last distribution, and not what of it is carried out.
    """
    control, steps = run.control, run.control.steps or config.steps
    g = run.subject.world.group.identity(len(tasks))
    planner = planning(run, config, VARIANT, [[_PLANS, *seed] for seed in seeds], g)
    acting = None if network is None else NetworkPolicy(network, control, steps=steps, hold=config.hold)
    drivers = [np.random.default_rng([_DRIVERS, *seed]) for seed in seeds]
    simulation = control.begin(tasks)
    observations, rows, plans = [simulation.observation.clone()], [], 0
    while len(observations) <= steps and not bool(simulation.stopped.all()):
        remaining = steps + 1 - len(observations)
        plan = planner.plan(simulation.observation, tasks.goal, remaining)
        plans += int((~simulation.stopped).sum())
        drawn = torch.tensor([rng.random() < share for rng in drivers])
        for step in range(min(config.replan, remaining)):
            if step % config.hold == 0:
                now, left = simulation.observation.clone(), remaining - step
                action = plan.actions[:, step // config.hold]
                wanted = plan.mean[:, step // config.hold] if mean else action
                if acting is not None and not bool(drawn.all()):
                    by_policy = acting.decide(now, tasks.goal, left)
                    action = torch.where(drawn.reshape(-1, *[1] * (action.dim() - 1)), action, by_policy)
                told = ~simulation.stopped & (drawn if step else torch.ones_like(drawn))
                share_left = torch.full((len(now), 1), left / steps, dtype=torch.float64)
                rows.append(Labels(*(part[told] for part in (now, tasks.goal, share_left, wanted))))
            simulation.advance(control.physical(action[:, None])[:, 0])
            observations.append(simulation.observation.clone())
    return Driven(Labels.cat(rows), control.achieved(torch.stack(observations, 1), tasks.goal), plans)


def label_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Some tasks of a round, as a cell of a grid.

    Args:
        params: of the teacher `run`, `checkpoint` (its hash) and `trust`; `planning` (its settings) and `task` (which
            tasks); `seed` of the policy, `round`, and the numbers of the tasks, `first` and `count`; `share`; `mean`;
            and of the policy `policy` (its run, whose `resume.pt` has its weights), `weights` (their hash) and
            `policy_trust`; null in a round that the planner drives alone.

    Returns:
        `Driven` as JSON data.
    """
    run = _teacher(params["run"], params["checkpoint"], tuple(params["trust"]), params["task"])
    network = None
    if params["policy"] is not None:
        network = _network(params["policy"], params["weights"], tuple(params["policy_trust"]))
    numbers = range(params["first"], params["first"] + params["count"])
    # Of each round its own tasks, and none that an evaluation has: its seeds are drawn in another way.
    seed = int(np.random.SeedSequence((_TASKS, params["seed"], params["round"])).generate_state(1, np.uint64)[0] >> 1)
    with torch.no_grad():
        driven = drive(
            run,
            PlanningConfig(**params["planning"]),
            run.control.tasks(numbers[-1] + 1, seed).take(list(numbers)),
            [[params["seed"], params["round"], number] for number in numbers],
            share=params["share"],
            network=network,
            mean=params["mean"],
        )
    found = {name: getattr(driven.labels, name).tolist() for name in ("observation", "goal", "left", "action")}
    return {**found, "solved": driven.solved.tolist(), "plans": driven.plans}


def as_driven(result: dict[str, Any]) -> Driven:
    """What `label_cell` gave."""
    names = ("observation", "goal", "left", "action")
    labels = Labels(*(torch.tensor(result[name], dtype=torch.float64) for name in names))
    return Driven(labels, torch.tensor(result["solved"], dtype=torch.bool), int(result["plans"]))


@lru_cache(maxsize=1)
def _teacher(run: str, checkpoint: str, trust: tuple[str, ...], task: str) -> ControlledRun:
    """Kept from cell to cell; in float32, as it was trained: labels need not be exact, and cost half the time."""
    return controlled(load_run(run, torch.float32, "cpu", trust=trust), task)


@lru_cache(maxsize=1)
def _network(path: str, weights: str, trust: tuple[str, ...]) -> Policy:
    """The policy that stands in the `resume.pt` of its run."""
    run = Run.open(path, needs_checkpoint=False, trust=trust)
    from equiwm.worlds.factory import build_world

    policy = policy_network(run, build_world(run.config.world))
    state = read_tensors(run.resume_point, limit=size_limit(policy, _COPIES))
    require_tensors(state.get("policy"), policy, run.resume_point)
    if state.get("weights") != weights:
        raise RunError(f"{run.resume_point} was changed while its policy was in use; distill again with --resume.")
    policy.load_state_dict(state["policy"])
    return policy.eval()
