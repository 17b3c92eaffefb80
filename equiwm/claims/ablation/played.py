"""A model in memory at a task that others measure its world by."""

from __future__ import annotations

import torch

from equiwm.claims.closed_loop.episode import ControlledRun, drive
from equiwm.claims.probe import PROBE_SEED, held_out_seed
from equiwm.config import PlanningConfig
from equiwm.models.world_model import WorldModel
from equiwm.planning.variants import parse_variant
from equiwm.subject import Subject
from equiwm.worlds.world import StandardWorld, World


@torch.no_grad()
def played(model: WorldModel, world: World, config: PlanningConfig, name: str, *, tasks: int) -> dict[str, float]:
    """Success by the first criterion of a task, and the mean of the largest reward; in float64, with the equivariant
    planner.

    Args:
        model: the model; it is cast.
        world: its world.
        config: how it plans.
        name: of the task (`StandardWorld`).
        tasks: episodes.

    Raises:
        TypeError: a world that nobody else measures.
    """
    if not isinstance(world, StandardWorld):
        raise TypeError(f"the world '{world.name}' has no tasks but its own.")
    run = ControlledRun(Subject(model.double(), world, planning=config), world.standard(name, None))
    control, variant, still = run.control, parse_variant("equivariant"), world.group.identity(1)
    every = control.tasks(tasks, held_out_seed(PROBE_SEED))
    met, rewards = [], []
    for k in range(tasks):
        task = every.take([k])
        episodes = drive(run, "model", config, variant, task, still, [[PROBE_SEED, k]])
        reached, reward = control.judge(episodes.observations, task.goal[:, None])
        met.append(bool(next(iter(reached.values())).any()))
        rewards.append(float(reward.max()))
    return {"success": sum(met) / tasks, "mean_max_reward": sum(rewards) / tasks}
