"""Training objectives. Both see a model only through `encode` and `predict`, so they fit every architecture.

Both are losses over H steps: the model is rolled out from E(x_0) with the true actions, z_h = f(z_{h-1}, a_h), and
every z_h is held against what was observed. The paper's is H = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equiwm.errors import DataError
from equiwm.models.world_model import WorldModel
from equiwm.training.data import parts_of
from equiwm.worlds.world import Sequences, Transitions


@dataclass(frozen=True)
class Loss:
    """A loss and its parts: `total = prediction + weight * variance`."""

    total: Tensor
    prediction: Tensor
    variance: Tensor


def columns(data: Transitions | Sequences) -> tuple[Tensor, Tensor, Tensor]:
    """What an objective is given of each transition or sequence: its start, its actions and what followed.

    Returns:
        Observations (n, C, d) with, of transitions, actions (n, ...) and next observations (n, C, d); of sequences,
        actions (n, H, ...) and the H observations that followed, (n, H, C, d).
    """
    if isinstance(data, Transitions):
        return data.observation, data.action, data.next_observation
    return data.observations[:, 0], data.actions, data.observations[:, 1:]


def variance_hinge(latent: Tensor) -> Tensor:
    """mean_d relu(1 - std_batch(z_d)): what keeps a latent from collapsing (VICReg; paper, section 3)."""
    return torch.relu(1.0 - latent.std(0)).mean()


class JEPA:
    """mean_h |z_h - sg(E_ema(x_h))|^2 + c mean_d relu(1 - std_batch(E(x_0)_d)), z_0 = E(x_0), z_h = f(z_{h-1}, a_h).

    With H = 1 it is the paper's (section 3), mean |f(E(x), a) - sg(E_ema(x'))|^2 and the hinge. With H > 1 the
    gradient runs back through all steps, so that a predictor is trained on the latents that it makes itself, as a
    planner uses it.

    Args:
        target: the EMA copy of the encoder; no gradient reaches it.
        variance_weight: c.
    """

    def __init__(self, target: nn.Module, variance_weight: float) -> None:
        self.target, self.variance_weight = target, variance_weight

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        """The loss on a batch of `columns`."""
        latent = model.encode(observation)
        several = next_observation.dim() > observation.dim()
        with torch.no_grad():
            target = self.target(next_observation.flatten(0, 1) if several else next_observation)
        predicted = model.unroll(latent, action).flatten(0, 1) if several else model.predict(latent, action)
        prediction = (predicted - target).square().mean()
        variance = variance_hinge(latent)
        return Loss(prediction + self.variance_weight * variance, prediction, variance)


class Forward:
    """State error weighted per channel and step: mean_{h,c} |z_h,c - E(x_h)_c|^2 / E|E(x_h)_c - E(x_0)_c|^2.

    E is the identity, which takes points off their mean, and z_0 = E(x_0). A channel that hardly moves (the block)
    then counts as much as one that moves a lot (the agent), and a near step as much as a far one. The weight of a
    vector is one number, so the weighted loss is invariant under rotations.

    Args:
        encoder: E, an `IdentityEncoder`.
        data: the training data, from which the weights are taken.
        like: a tensor of the dtype and on the device that this is computed in; None is as the data are.

    Raises:
        DataError: a channel that never moves.
    """

    def __init__(self, encoder: nn.Module, data: Transitions | Sequences, like: Tensor | None = None) -> None:
        first, _, following = columns(data)
        several = following.dim() > first.dim()
        like = first if like is None else like
        moved = torch.zeros((), dtype=like.dtype, device=like.device)
        for part in parts_of(len(first)):
            given = (first[part].to(like), following[part].to(like))
            start, reached = (encoder(each).unflatten(-1, each.shape[-2:]) for each in given)
            of_part = (reached - (start[:, None] if several else start)).square().sum(-1).mean(0)  # (C,) or (H, C)
            moved = moved + of_part * (len(given[0]) / len(first))
        if bool((moved <= 0).any()):
            still = sorted({int(place[-1]) for place in torch.nonzero(moved <= 0)})
            raise DataError(
                f"channels {still} never move in the training data: their weight in training.objective forward would "
                "be infinite."
            )
        self.weight = (1.0 / moved)[..., None]

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        """The loss on a batch of `columns`."""
        several = next_observation.dim() > observation.dim()
        predicted = (model.rollout if several else model)(observation, action)
        error = (predicted - model.encode(next_observation)).square().reshape(next_observation.shape)
        loss = (error * self.weight).sum(-1).mean()
        return Loss(loss, loss, torch.zeros_like(loss))
