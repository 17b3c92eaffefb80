"""Training objectives. Both see a model only through `encode` and `predict`, so they fit every architecture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equiwm.models.world_model import WorldModel
from equiwm.worlds.world import Transitions


@dataclass(frozen=True)
class Loss:
    """A loss and its parts: `total = prediction + weight * variance`."""

    total: Tensor
    prediction: Tensor
    variance: Tensor


def variance_hinge(latent: Tensor) -> Tensor:
    """mean_d relu(1 - std_batch(z_d)): what keeps a latent from collapsing (VICReg; paper, section 3)."""
    return torch.relu(1.0 - latent.std(0)).mean()


class JEPA:
    """mean |f(E(x), a) - sg(E_ema(x'))|^2 + c mean_d relu(1 - std_batch(E(x)_d)) (paper, section 3).

    Args:
        target: the EMA copy of the encoder; no gradient reaches it.
        variance_weight: c.
    """

    def __init__(self, target: nn.Module, variance_weight: float) -> None:
        self.target, self.variance_weight = target, variance_weight

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        latent = model.encode(observation)
        with torch.no_grad():
            target = self.target(next_observation)
        prediction = (model.predict(latent, action) - target).square().mean()
        variance = variance_hinge(latent)
        return Loss(prediction + self.variance_weight * variance, prediction, variance)


class Forward:
    """Next-state error weighted per channel: mean_c |f(x, a)_c - E(x')_c|^2 / E|E(x')_c - E(x)_c|^2.

    E is the identity, which takes points off their mean.

    A channel that hardly moves (the block) then counts as much as one that moves a lot (the agent). The weight
    of a vector is one number, so the weighted loss is invariant under rotations.

    Args:
        encoder: E, an `IdentityEncoder`.
        data: the training transitions, from which the weights are taken.
    """

    def __init__(self, encoder: nn.Module, data: Transitions) -> None:
        change = encoder(data.next_observation) - encoder(data.observation)
        moved = change.unflatten(-1, (-1, data.observation.shape[-1])).square().sum(-1).mean(0)  # (C,)
        if bool((moved <= 0).any()):
            still = [int(channel) for channel in torch.nonzero(moved <= 0)]
            raise ValueError(f"channels {still} never move in the training data: their weight would be infinite.")
        self.weight = (1.0 / moved)[:, None]

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        error = (model(observation, action) - model.encode(next_observation)).square()
        error = error.reshape(next_observation.shape)
        loss = (error * self.weight).sum(-1).mean()
        return Loss(loss, loss, torch.zeros_like(loss))
