"""A cell of augmentation on a simulator: a preset's world model, trained on transitions of the wedge turned further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from equiwm.claims.ablation.kind import Scope
from equiwm.claims.ablation.world_models import ARMS, Arm, arm_config, model_columns, sized, train_model
from equiwm.config import Config, parse
from equiwm.grid import Cell
from equiwm.symmetry.coverage import Arc
from equiwm.symmetry.groups import SO2, SO3
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Orientations, Transitions, World

_TURNS = 0x7092
"""Stream of the turns, apart from those of data and weights."""
_WEDGE_DEG = 90.0


def world_settings(scope: Scope) -> dict[str, Any]:
    """Coverage of the augmentation, and the training: the presets' own but for data and updates.

    An arc of the plane, of which the wedge of the data itself is [0, 90); the radius of a ball in space.
    """
    coverage = {2: [180, 360], 3: [90, 180]} if scope.quick else {2: [135, 180, 270, 360], 3: [90, 135, 180]}
    return {
        "coverage": {str(dim): coverage[dim] for dim in scope.dims},
        "transitions": 256 if scope.quick else 1000,
        "copies": 4 if scope.quick else 8,
        "updates": 120 if scope.quick else 1200,
        "test": 500 if scope.quick else 1000,
    }


def world_cells(scope: Scope) -> list[Cell]:
    """The preset and its baseline on the wedge alone, then the baseline at each coverage; a cell a seed."""
    given = world_settings(scope)
    found = []
    for dim in scope.dims:
        trainings: list[tuple[Arm, int | None]] = [(arm, None) for arm in ARMS]
        trainings += [("mlp", degrees) for degrees in given["coverage"][str(dim)]]
        for arm, degrees in trainings:
            copies = given["copies"] if degrees else 1
            config = sized(
                arm_config(scope.world, dim, arm), given["transitions"] * copies, updates=given["updates"]
            ).as_dict()
            cell = f"coverage={degrees or 'none'}"
            params = {
                "world": scope.world,
                "arm": arm,
                "cell": cell,
                "dim": dim,
                "coverage": degrees,
                "copies": copies,
                "config": config,
                "test": given["test"],
            }
            found += [Cell(f"dim={dim},{arm},{cell},seed={seed}", {**params, "seed": seed}) for seed in scope.seeds]
    return found


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


def world_cell(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train one world model of a preset, on turned transitions where a coverage is given, and measure it.

    OOD is the complement of the coverage in the plane, other turns over the whole circle where that is empty, and the
    whole group in space, where `seen` stays the wedge about z.
    """
    config, coverage, seed = parse(params["config"]), params["coverage"], params["seed"]
    world = build_world(config.world)
    data = world.transitions(config.training.transitions // params["copies"], seed=seed)
    if coverage is not None:
        data = turned(data, world, coverage, params["copies"], seed)
    model = train_model(config, data, seed=seed)
    unseen: Orientations = "all" if coverage is not None and coverage >= 360 else "unseen"
    row = {
        "arm": params["arm"],
        "cell": params["cell"],
        "dim": params["dim"],
        "seed": seed,
        **model_columns(model, _tested_on(config, coverage), data, unseen=unseen, transitions=params["test"]),
        "coverage": coverage,
        "updates": config.training.updates,
    }
    return {"rows": [row]}
