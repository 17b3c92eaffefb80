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
    """Next-state error weighted per channel: mean_c |f(x, a)_c - x'_c|^2 / E|x'_c - x_c|^2.

    A channel that hardly moves (the block) then counts as much as one that moves a lot (the agent). The weight
    of a vector is one number, so the weighted loss is invariant under rotations.

    Args:
        data: the training transitions, from which the weights are taken.
    """

    def __init__(self, data: Transitions) -> None:
        moved = (data.next_observation - data.observation).square().sum(-1).mean(0)  # (C,)
        if bool((moved <= 0).any()):
            still = [int(channel) for channel in torch.nonzero(moved <= 0)]
            raise ValueError(f"channels {still} never move in the training data: their weight would be infinite.")
        self.weight = (1.0 / moved)[:, None]

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        predicted = model(observation, action).reshape(next_observation.shape)
        error = (predicted - next_observation).square()
        loss = (error * self.weight).sum(-1).mean()
        return Loss(loss, loss, torch.zeros_like(loss))
