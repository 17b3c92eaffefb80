"""World models of the presets as arms of an ablation: trained in memory, on a given number of transitions.

The arms of a world are a preset and its baseline, trained on one world, for as many updates, under one schedule; all
else (sizes, optimiser, learning rate) is each preset's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from equiwm.audit.residual import ELEMENTS, SAMPLES, equivariance_residual
from equiwm.audit.rounding import float32_rounding
from equiwm.audit.spread import latent_spread
from equiwm.claims.ablation.kind import WEDGE, WorldName
from equiwm.claims.probe import PROBE_SEED, held_out_pair
from equiwm.claims.sweep.measure import Readouts, relmse
from equiwm.config import Config, load
from equiwm.models.factory import build_model
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.training.fit import Fit
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Orientations, Transitions, World

Arm = Literal["vn", "mlp"]
ARMS: tuple[Arm, ...] = ("vn", "mlp")
TEST_TRANSITIONS = 1000


def arm_preset(world: WorldName, dim: int, arm: Arm) -> str:
    """The preset of an arm: `vn-2d` or `vn-3d` and what it is compared with, or the velocity field's."""
    return f"{arm}-field-{dim}d" if world == "field" else f"{arm}-{dim}d"


def arm_config(world: WorldName, dim: int, arm: Arm, assignments: Sequence[str] = ()) -> Config:
    """The configuration of an arm, on the world of the equivariant preset and under a cosine schedule.

    Args:
        world: the world; `paper` is PushT in the plane and clouds in space.
        dim: its dimension.
        arm: equivariant, or the baseline.
        assignments: `section.key=value` over it.
    """
    settings = [f"world.coverage={WEDGE[dim]}", "world.warmup=0"] if world == "field" else []
    settings += [assignment for assignment in assignments if assignment.startswith("world.")]
    others = [assignment for assignment in assignments if not assignment.startswith("world.")]
    config = load(arm_preset(world, dim, arm), None, ["training.schedule=cosine", *others])
    # The two presets of PushT observe different axes of the block.
    return replace(config, world=load(arm_preset(world, dim, "vn"), None, settings).world)


def epochs_for(updates: int, transitions: int, batch: int) -> int:
    """Whole epochs of at least so many updates."""
    return -(-updates // -(-transitions // batch))


def sized(config: Config, transitions: int, *, updates: int | None = None, epochs: int | None = None) -> Config:
    """The configuration on so many transitions, for so many updates (rounded up to whole epochs) or epochs.

    Batches are the configuration's, or all transitions where they are fewer.
    """
    batch = min(config.training.batch, transitions)
    if updates is not None:
        epochs = epochs_for(updates, transitions, batch)
    length = config.training.epochs if epochs is None else epochs
    return replace(config, training=replace(config.training, transitions=transitions, batch=batch, epochs=length))


def train_model(config: Config, data: Transitions, *, seed: int) -> WorldModel:
    """The model of a configuration, trained on `data` in float32, in evaluation mode.

    Args:
        config: the configuration; its epochs and batch count, its number of transitions does not.
        data: training transitions.
        seed: seed of weights and order.

    Raises:
        TrainingError: the training diverged or collapsed.
    """
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=seed)
    fit = Fit(config.training, model, data.to(torch.float32, "cpu"), seed=seed)
    while not fit.done:
        fit.run_epoch()
    return model.eval()


def model_columns(
    model: WorldModel,
    world: World,
    train: Transitions,
    *,
    unseen: Orientations = "unseen",
    transitions: int = TEST_TRANSITIONS,
    elements: int = ELEMENTS,
) -> dict[str, Any]:
    """What a row says of a trained world model, on held-out transitions that are the same for every seed.

    `seen_relmse`, `ood_relmse`, `ood_factor` (the same transitions at other orientations, outcomes the world's own) and
    `relative_residual` under the world's group, and `float32_rounding` to read it by; `latent_std`; and for models
    with a latent of their own, whose relMSE compares nothing, `readout_T`, `readout_T_ood` and `readout_T_action` of
    each target T: at seen and other orientations, and from the action alone.

    Args:
        model: the model, in float32.
        world: its world.
        train: the transitions it was trained on.
        unseen: where the other orientations lie; `all` where training has seen every one.
        transitions: held-out transitions.
        elements: group elements of the residual.
    """
    parts = [*held_out_pair(world, transitions, PROBE_SEED, unseen), train]
    seen, ood, train = (part.to(torch.float32, "cpu") for part in parts)
    few = seen.take(SAMPLES)
    residual = equivariance_residual(
        model,
        [model.observation_rep, model.action_rep],
        model.latent_rep,
        world.group.sample(elements, PROBE_SEED),
        [few.observation, few.action],
    )
    with torch.no_grad():
        spread = latent_spread(model.encode(seen.observation)).latent_std
    errors = relmse(model, seen), relmse(model, ood)
    columns: dict[str, Any] = {
        "parameters": model.parameter_count,
        "seen_relmse": errors[0],
        "ood_relmse": errors[1],
        "ood_factor": errors[1] / errors[0],
        "relative_residual": residual.relative,
        "float32_rounding": float32_rounding(model, [few.observation, few.action]),
        "latent_std": spread,
    }
    if not isinstance(model.encoder, IdentityEncoder):
        readouts = Readouts(model, world, train)
        of_seen, of_ood, of_action = readouts.errors(seen), readouts.errors(ood), readouts.action_only(seen)
        for target in of_seen:
            columns |= {
                f"readout_{target}": of_seen[target],
                f"readout_{target}_ood": of_ood[target],
                f"readout_{target}_action": of_action[target],
            }
    return columns


def train_and_measure(config: Config, *, seed: int, unseen: Orientations = "unseen") -> dict[str, Any]:
    """Train a configuration on its own transitions of `seed`, and give the columns of its row.

    Raises:
        TrainingError: the training diverged or collapsed.
        DataError: no orientation is unseen.
    """
    world = build_world(config.world)
    data = world.transitions(config.training.transitions, seed=seed)
    return model_columns(train_model(config, data, seed=seed), world, data, unseen=unseen)
