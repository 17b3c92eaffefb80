"""A cell of augmentation on a simulator: a preset's world model, trained on transitions of the wedge turned further."""

from __future__ import annotations

from typing import Any

import numpy as np

from equiwm.claims.ablation.lockstep import Asking
from equiwm.claims.ablation.world_models import model_columns, train_model
from equiwm.config import Config
from equiwm.symmetry.coverage import Arc
from equiwm.symmetry.groups import SO2, SO3
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Orientations, Transitions, World

_TURNS = 0x7092
"""Stream of the turns, apart from those of data and weights."""
_WEDGE_DEG = 90.0


def turned(data: Transitions, world: World, coverage: float, copies: int, seed: int) -> Transitions:
    """Each transition `copies` times, each time turned as a whole by an element of its own.

    In the plane by an angle in [0, coverage - 90), from the whole circle at 360 degrees, so that scenes of the wedge
    [0, 90) come to lie in [0, coverage); in space by a Haar rotation of at most `coverage` degrees. Both worlds are
    equivariant where these transitions lie, so that a turned outcome is the true one.
    """
    n, generator = len(data) * copies, np.random.default_rng([_TURNS, seed])
    if world.group.d == 2:
        g = SO2.wedge(n, generator, low=0.0, high=360.0 if coverage >= 360 else coverage - _WEDGE_DEG)
    else:
        g = SO3.ball(n, generator, outer=coverage)
    see, act = world.observation_rep, world.action_rep
    return Transitions(
        observation=see.transform(data.observation.repeat(copies, 1, 1), g),
        action=act.transform(data.action.repeat(copies, *[1] * (data.action.ndim - 1)), g),
        next_observation=see.transform(data.next_observation.repeat(copies, 1, 1), g),
        episode=data.episode.repeat(copies),
    )


def _tested_on(config: Config, coverage: float | None) -> World:
    """The world whose `seen` is what the training covers; in space it stays the wedge about z."""
    world = build_world(config.world)
    if world.dimension == 2 and coverage is not None:
        world.coverage = Arc(0.0, float(coverage))
    return world


def turned_columns(
    config: Config, coverage: float | None, *, seed: int, copies: int, test: int
) -> Asking[dict[str, Any]]:
    """Train one world model of a preset, on turned transitions where a coverage is given; the columns of its row.

    OOD is the complement of the coverage in the plane, other turns over the whole circle where that is empty, and the
    whole group in space, where `seen` stays the wedge about z.

    Args:
        config: the model's configuration, on as many transitions as there are with the copies.
        coverage: degrees that the transitions are turned over; None leaves them as they are.
        seed: of data, turns, weights and order.
        copies: how often each transition is turned.
        test: held-out transitions.

    Raises:
        TrainingError: the training diverged or collapsed.
    """
    world = build_world(config.world)
    data = world.transitions(config.training.transitions // copies, seed=seed)
    if coverage is not None:
        data = turned(data, world, coverage, copies, seed)
    model = yield from train_model(config, data, seed=seed)
    unseen: Orientations = "all" if coverage is not None and coverage >= 360 else "unseen"
    return model_columns(model, _tested_on(config, coverage), data, unseen=unseen, transitions=test)
