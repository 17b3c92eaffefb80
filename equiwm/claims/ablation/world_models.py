"""World models as arms of an ablation: trained in memory, on a given number of transitions, and measured."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from equiwm.audit.pooled import ELEMENTS, SAMPLES, equivariance_residual
from equiwm.audit.rounding import float32_rounding
from equiwm.audit.spread import latent_spread
from equiwm.claims.ablation.lockstep import Asking, ask
from equiwm.claims.probe import PROBE_SEED, held_out_pair
from equiwm.claims.sweep.measure import Readouts, relmse
from equiwm.config import Config
from equiwm.models.factory import build_model
from equiwm.models.step import ResidualPredictor
from equiwm.models.world_model import WorldModel
from equiwm.results.ablation import ReadoutErrors
from equiwm.stats import ratio
from equiwm.training.data import check_augmentation
from equiwm.training.fit import Fit
from equiwm.training.objective import Forward
from equiwm.training.together import train_fits
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Orientations, Transitions, World, moving

TEST_TRANSITIONS = 1000


class Change(nn.Module):
    """v(E(x), a), by which a residual predictor moves the latent: observations and actions -> (B, D).

    Raises:
        TypeError: a model with a predictor of another form.
    """

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        if not isinstance(model.predictor, ResidualPredictor):
            raise TypeError(f"{type(model.predictor).__name__} is no residual predictor: it has no change of its own.")
        self.encoder, self.predictor = model.encoder, model.predictor

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        return self.predictor.change(self.encoder(observation), action)


def train_model(
    config: Config,
    data: Transitions,
    *,
    seed: int,
    model: WorldModel | None = None,
    objective: Forward | None = None,
) -> Asking[WorldModel]:
    """The model of a configuration, trained on `data` in float32, in evaluation mode.

    Args:
        config: the configuration; its epochs and batch count, its number of transitions does not.
        data: training transitions.
        seed: seed of weights and order.
        model: trained in place of the configuration's, in place.
        objective: minimised in place of the configuration's.

    Raises:
        TrainingError: the training diverged or collapsed.
        ConfigError: augmentation in a world that does not carry its group.
    """
    world = build_world(config.world)
    check_augmentation(config.training, world)
    if model is None:
        model = build_model(config.model, world.observation_rep, world.action_rep, seed=seed, group=world.group)
    group = world.group if config.training.augment else None
    fit = Fit(config.training, model, data.to(torch.float32, "cpu"), seed=seed, objective=objective, group=group)
    yield from ask(train_fits, fit)
    return model.eval()


def model_columns(
    model: WorldModel,
    world: World,
    train: Transitions,
    *,
    unseen: Orientations = "unseen",
    transitions: int = TEST_TRANSITIONS,
    elements: int = ELEMENTS,
    probe_seed: int = PROBE_SEED,
    of: Literal["state", "change"] = "state",
) -> dict[str, Any]:
    """What a row says of a trained world model, on held-out transitions that are the same for every training seed.

    `seen_relmse`, `ood_relmse`, `ood_factor` (the same transitions at other orientations, outcomes the world's own) and
    `relative_residual` under the world's group, and `float32_rounding` to read it by; `latent_std`; and for models
    with a latent of their own, whose relMSE compares nothing, `readouts`. They are fields of `AblationRow`.

    Args:
        model: the model, in float32.
        world: its world.
        train: the transitions it was trained on.
        unseen: where the other orientations lie; `all` where training has seen every one.
        transitions: held-out transitions.
        elements: group elements of the residual.
        probe_seed: seed of the held-out transitions.
        of: whether the residual and the rounding are those of F(x, a), or of the change v(E(x), a) that a
            `ResidualPredictor` adds to E(x): a velocity, which the state beside it does not dilute.
    """
    parts = [*held_out_pair(world, transitions, probe_seed, unseen), train]
    seen, ood, train = (part.to(torch.float32, "cpu") for part in parts)
    few = seen.take(SAMPLES)
    probed = Change(model) if of == "change" else model
    residual = equivariance_residual(
        probed,
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
        "ood_factor": ratio(errors[1], errors[0]),
        "relative_residual": residual.relative,
        "float32_rounding": float32_rounding(probed, [few.observation, few.action]),
        "latent_std": spread,
    }
    if not model.latent_is_state:
        readouts = Readouts(model, world, train)
        of_seen, of_ood, of_action = readouts.errors(seen), readouts.errors(ood), readouts.action_only(seen)
        columns["readouts"] = {
            target: ReadoutErrors(seen=of_seen[target], ood=of_ood[target], action=of_action[target])
            for target in of_seen
        }
    return columns


def train_and_measure(config: Config, *, seed: int, unseen: Orientations = "unseen") -> Asking[dict[str, Any]]:
    """Train a configuration on its own transitions of `seed`, and give the columns of its row.

    Raises:
        TrainingError: the training diverged or collapsed.
        DataError: no orientation is unseen, or nothing moves in the world.
    """
    world = build_world(config.world)
    data = moving(world, world.transitions(config.training.transitions, seed=seed))
    model = yield from train_model(config, data, seed=seed)
    return model_columns(model, world, data, unseen=unseen)
