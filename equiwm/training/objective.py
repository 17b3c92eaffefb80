"""Training objectives. Both see a model only through `encode` and `predict`, so they fit every architecture.

Both are losses over H steps: the model is rolled out from E(x_0) with the true actions, z_h = f(z_{h-1}, a_h), and
every z_h is held against what was observed. The paper's is H = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equiwm.errors import DataError
from equiwm.models.world_model import WorldModel
from equiwm.nn.layer import Layer
from equiwm.training.data import parts_of
from equiwm.worlds.world import Sequences, Transitions


@dataclass(frozen=True)
class Loss:
    """A loss and its parts: `total = prediction + weight * variance`; of a stack each is one number a model, (S,)."""

    total: Tensor
    prediction: Tensor
    variance: Tensor


def columns(data: Transitions | Sequences) -> tuple[Tensor, Tensor, Tensor]:
    """What an objective is given of each transition or sequence: its start, its actions and what followed.

    Returns:
        Observations (n, *shape) with, of transitions, actions (n, ...) and next observations (n, *shape); of sequences,
        actions (n, H, ...) and the H observations that followed, (n, H, *shape).
    """
    if isinstance(data, Transitions):
        return data.observation, data.action, data.next_observation
    return data.observations[:, 0], data.actions, data.observations[:, 1:]


def variance_hinge(latent: Tensor) -> Tensor:
    """mean_d relu(1 - std_batch(z_d)): what keeps a latent from collapsing (VICReg; paper, section 3).

    Latents (B, D) -> (), or of a stack (S, B, D) -> (S,).
    """
    return torch.relu(1.0 - latent.std(-2)).mean(-1)


def mean_of_each(x: Tensor, axis: int) -> Tensor:
    """The mean over the axes from `axis` on: of everything if it is 0, and if it is 1 of each model of a stack."""
    return x.flatten(axis).mean(-1)


class JEPA:
    """mean_h |z_h - sg(E_ema(x_h))|^2 + c mean_d relu(1 - std_batch(E(x_0)_d)), z_0 = E(x_0), z_h = f(z_{h-1}, a_h).

    With H = 1 it is the paper's (section 3), mean |f(E(x), a) - sg(E_ema(x'))|^2 and the hinge. With H > 1 the
    gradient runs back through all steps, so that a predictor is trained on the latents that it makes itself, as a
    planner uses it.

    Args:
        target: the EMA copy of the encoder; no gradient reaches it.
        variance_weight: c.

    Attributes:
        axis: the axis of the samples: 0, or 1 in a stack, where the first axis counts models.
    """

    axis = 0

    def __init__(self, target: nn.Module, variance_weight: float) -> None:
        self.target, self.variance_weight = target, variance_weight

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        """The loss on a batch of `columns`."""
        latent = model.encode(observation)
        several = next_observation.dim() > observation.dim()
        with torch.no_grad():
            target = self.target(self._rows(next_observation) if several else next_observation)
        predicted = self._rows(model.unroll(latent, action)) if several else model.predict(latent, action)
        prediction = mean_of_each((predicted - target).square(), self.axis)
        variance = variance_hinge(latent)
        return Loss(prediction + self.variance_weight * variance, prediction, variance)

    def _rows(self, steps: Tensor) -> Tensor:
        """Every step of every sample as a sample."""
        return steps.flatten(self.axis, self.axis + 1)


class Forward:
    """State error weighted per channel and step: mean_{h,c} |z_h,c - E(x_h)_c|^2 / E|E(x_h)_c - E(x_0)_c|^2.

    E is the identity, which takes points off their mean, and z_0 = E(x_0). A channel that hardly moves (the block)
    then counts as much as one that moves a lot (the agent), and a near step as much as a far one. The weight of a
    vector is one number, so the weighted loss is invariant under rotations.

    Among channels of other kinds some stand still within an episode, such as a mass: they are held against how far
    they differ between episodes, so that they are learnt to stay; what is the same everywhere has weight 1.

    Args:
        encoder: E, an `IdentityEncoder`.
        data: the training data, from which the weights are taken.
        like: a tensor of the dtype and on the device that this is computed in; None is as the data are.

    Attributes:
        axis: the axis of the samples: 0, or 1 in a stack, where the first axis counts models.

    Raises:
        DataError: a vector or point that never moves, where there are no other kinds.
    """

    axis = 0

    def __init__(self, encoder: Layer, data: Transitions | Sequences, like: Tensor | None = None) -> None:
        first, _, following = columns(data)
        rep = self.rep = encoder.out_rep
        several = following.dim() > first.dim()
        like = first if like is None else like

        def over_all(square: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            """The mean over all data of what each part of it has, (C,) or (H, C)."""
            found = torch.zeros((), dtype=like.dtype, device=like.device)
            for part in parts_of(len(first)):
                start, reached = encoder(first[part].to(like)), encoder(following[part].to(like))
                found = found + square(start, reached).mean(0) * (len(start) / len(first))
            return found

        def moves(start: Tensor, reached: Tensor) -> Tensor:
            change = rep.difference(reached, start[:, None] if several else start)
            return rep.channel_squares(change.unflatten(-1, rep.shape))

        moved = over_all(moves)
        if rep.structured and bool((moved <= 0).any()):
            still = sorted({int(place[-1]) for place in torch.nonzero(moved <= 0)})
            raise DataError(
                f"channels {still} never move in the training data: their weight in training.objective forward would "
                "be infinite."
            )
        if not rep.structured:
            mean = over_all(lambda start, _: start)
            spread = over_all(lambda start, _: rep.channel_squares(start - mean)).expand_as(moved)
            moved = torch.where(moved > 0, moved, torch.where(spread > 0, spread, torch.ones_like(moved)))
        self.weight = (1.0 / moved)[..., None]

    def weighted(self, error: Tensor) -> Tensor:
        """The mean over samples, steps and channels of |error_c|^2 in each channel's own unit; flat (..., dim)."""
        by_channel = error.unflatten(-1, self.rep.shape)
        if self.rep.structured:
            return mean_of_each((by_channel.square() * self.weight).sum(-1), self.axis)
        return mean_of_each(self.rep.channel_squares(by_channel) * self.weight[..., 0], self.axis)

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        """The loss on a batch of `columns`."""
        several = next_observation.dim() > observation.dim()
        predicted = (model.rollout if several else model)(observation, action)
        loss = self.weighted(self.rep.difference(predicted, model.encode(next_observation)))
        return Loss(loss, loss, torch.zeros_like(loss))
