"""What a row of `ablate scaling` says: several models in memory, trained on the same transitions of the whole group."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from equiwm.claims.ablation.architecture import ORBIT
from equiwm.claims.ablation.architecture_columns import closed_loop
from equiwm.claims.ablation.lockstep import Asking
from equiwm.claims.ablation.played import played
from equiwm.claims.ablation.state_errors import state_errors
from equiwm.claims.ablation.world_models import model_columns, train_model
from equiwm.claims.closed_loop.claim import OWN
from equiwm.claims.closed_loop.episode import controlled, usual_task
from equiwm.claims.probe import PROBE_SEED, held_out_pair
from equiwm.config import Config
from equiwm.errors import ConfigError, TrainingError
from equiwm.models.world_model import WorldModel
from equiwm.subject import Subject
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Transitions, World, moving

_MOVES = 0x5CA1
"""Stream of the elements that data are moved by, apart from those of data and weights."""


def whole_group(world: World, n: int, seed: int) -> Transitions:
    """`n` transitions of the world, each moved by an element of its group of its own, so that none is unseen.

    Raises:
        ConfigError: a world that does not carry its group, whose moved outcomes are none of its own.
    """
    if not world.equivariant:
        raise ConfigError(f"the world '{world.name}' does not carry {world.group}: its data cannot be moved by it.")
    data = moving(world, world.transitions(n, seed=seed))
    g = world.group.sample(n, np.random.default_rng([_MOVES, seed]))
    return data.transform(g, world.observation_rep, world.action_rep)


def columns(
    configs: Mapping[str, Config], *, n: int, seed: int, test: int, tasks: int
) -> Asking[dict[str, dict[str, Any] | TrainingError]]:
    """Each arm, trained on the same transitions: the columns of its row, or why it has none.

    Args:
        configs: arm -> configuration, all of one world.
        n: transitions.
        seed: of data, weights and order.
        test: held-out transitions, the same for every arm, size and seed.
        tasks: episodes in which it plans; 0 leaves success out.

    Raises:
        ConfigError: a world that does not carry its group.
    """
    world = build_world(next(iter(configs.values())).world)
    data = whole_group(world, n, seed)
    of_arm: dict[str, dict[str, Any] | TrainingError] = {}
    for arm, config in configs.items():
        try:
            model = yield from train_model(config, data, seed=seed)
        except TrainingError as error:
            of_arm[arm] = error
            continue
        found = model_columns(model, world, data, unseen="all", transitions=test)
        if model.latent_is_state:
            found["readouts"] = state_errors(model, world, *held_out_pair(world, test, PROBE_SEED, "all"))
        if tasks:
            found["success"] = _success(model, world, data, config, tasks)
        of_arm[arm] = found
    return of_arm


def _success(model: WorldModel, world: World, data: Transitions, config: Config, tasks: int) -> float:
    """Share of the tasks that the world is for which are solved, turned over its group where they are its own."""
    task = usual_task(world)
    if task != OWN:
        return played(copy.deepcopy(model), world, config.planning, task, tasks=tasks)["success"]
    subject = Subject(copy.deepcopy(model), world, train=data, dtype=torch.float64, config=config)
    return closed_loop(controlled(subject), tasks, ORBIT[world.dimension])["success_unseen"]
