"""What a row of `ablate items` says: one network, trained on a few items of a set, asked about every number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from equiwm.audit.pooled import SAMPLES, equivariance_residual
from equiwm.audit.rounding import float32_rounding
from equiwm.claims.ablation.lockstep import Asking
from equiwm.claims.ablation.state_errors import state_errors
from equiwm.claims.ablation.world_models import train_model
from equiwm.claims.probe import PROBE_SEED, held_out_seed
from equiwm.claims.sweep.measure import Readouts, relmse
from equiwm.config import Config
from equiwm.models.world_model import WorldModel
from equiwm.results.ablation import ReadoutErrors
from equiwm.stats import ratio
from equiwm.training.data import training_data, transitions_of
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Transitions, World, moving


def columns(config: Config, *, seed: int, counts: Sequence[int], test: int) -> Asking[dict[int, dict[str, Any]]]:
    """Train a configuration on its own number of items, once; then the columns of each number.

    Of each number there are held-out transitions as training has them, and the same ones moved by an element of the
    world's group each (orientation, place and order at once), with the world's own outcome.

    Args:
        config: what is trained; its world has a setting that counts items (`WorldConfig.counts`).
        seed: of data, weights and order.
        counts: numbers of items.
        test: held-out transitions of each, the same for every arm and seed.

    Raises:
        TrainingError: the training diverged or collapsed.
    """
    world = build_world(config.world)
    train = transitions_of(training_data(config.training, world, seed=seed))
    model = yield from train_model(config, train, seed=seed)
    found = {}
    for count in counts:
        changed: dict[str, Any] = {config.world.counts: count}
        asked = build_world(replace(config.world, **changed))
        found[count] = _of_count(model, asked, train, test)
    return found


def _of_count(model: WorldModel, world: World, train: Transitions, test: int) -> dict[str, Any]:
    seen = moving(world, world.transitions(test, seed=held_out_seed(PROBE_SEED)))
    moved = seen.transform(world.group.sample(len(seen), PROBE_SEED), world.observation_rep, world.action_rep)
    moved = replace(moved, next_observation=world.step(moved.observation, moved.action))
    parts = [part.to(torch.float32, "cpu") for part in (seen, moved)]
    few = parts[0].take(SAMPLES)
    residual = equivariance_residual(
        model,
        [model.observation_rep, model.action_rep],
        model.latent_rep,
        world.group.sample(32, PROBE_SEED),
        [few.observation, few.action],
    )
    errors = [relmse(model, part) for part in parts]
    return {
        "parameters": model.parameter_count,
        "seen_relmse": errors[0],
        "ood_relmse": errors[1],
        "ood_factor": ratio(errors[1], errors[0]),
        "relative_residual": residual.relative,
        "float32_rounding": float32_rounding(model, [few.observation, few.action]),
        "readouts": state_errors(model, world, seen, moved)
        if model.latent_is_state
        else _read_out(model, world, train, parts),
    }


def _read_out(
    model: WorldModel, world: World, train: Transitions, parts: Sequence[Transitions]
) -> dict[str, ReadoutErrors]:
    """Read-outs fitted on the number of items that was trained on."""
    fitted = Readouts(model, world, train.to(torch.float32, "cpu"))
    (seen, ood), action = (fitted.errors(part) for part in parts), fitted.action_only(parts[0])
    return {name: ReadoutErrors(seen=seen[name], ood=ood[name], action=action[name]) for name in seen}
