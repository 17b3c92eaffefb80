"""The world model: an encoder E and a latent predictor f."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from equiwm.config import ModelConfig
from equiwm.errors import RepError
from equiwm.models.clouds import Centring
from equiwm.nn.layer import Layer
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep


class IdentityEncoder(Layer):
    """E(x) = x, flattened: the latent is the state itself, and the model a forward model. (B, *shape) -> (B, dim).

    Points are centred on their mean, E(x) = x~, since latents hold no points: what is left out is where the cloud is,
    along the directions in which the group translates.

    Args:
        observation_rep: rep of the observations.
        group: the world's; None translates in every direction.
    """

    latent_is_state = True

    def __init__(self, observation_rep: Rep, group: Group | None = None) -> None:
        super().__init__(observation_rep, observation_rep.linear_part, "flat")
        self.centre = Centring(observation_rep, group)

    @classmethod
    def of(
        cls, config: ModelConfig, observation_rep: Rep, latent_rep: Rep, *, group: Group | None = None
    ) -> IdentityEncoder:
        """Encoder `identity` of a configuration; the latent is the state whatever the configuration asks for."""
        return cls(observation_rep, group)

    def forward(self, observation: Tensor) -> Tensor:
        return self.centre(observation).flatten(-len(self.in_rep.shape))


class WorldModel(nn.Module):
    """F(x, a) = f(E(x), a), and its rollouts.

    Equivariant when E(g x) = rho(g) E(x) and f(rho(g) z, g a) = rho(g) f(z, a); rho is `latent_rep`, which holds
    no points (paper, section 2).

    Args:
        encoder: E, from `observation_rep` to `latent_rep`.
        predictor: f, from `latent_rep` and `action_rep` to `latent_rep`.
        action_rep: rep of the actions.

    Raises:
        RepError: encoder and predictor do not meet in one latent rep, or it holds points.
    """

    def __init__(self, encoder: Layer, predictor: Layer, action_rep: Rep) -> None:
        super().__init__()
        if encoder.out_rep != predictor.in_rep or predictor.in_rep != predictor.out_rep:
            raise RepError(
                f"the encoder gives latents {encoder.out_rep} but the predictor maps {predictor.in_rep} to "
                f"{predictor.out_rep}: all three have to be the same."
            )
        if encoder.out_rep.has_points:
            raise RepError(f"latents hold no points; got latent rep {encoder.out_rep}.")
        self.encoder, self.predictor = encoder, predictor
        self.observation_rep, self.action_rep, self.latent_rep = encoder.in_rep, action_rep, encoder.out_rep

    @property
    def equivariant(self) -> bool:
        """Whether encoder and predictor are both meant to be equivariant (`Layer.equivariant`)."""
        return all(isinstance(part, Layer) and part.equivariant for part in (self.encoder, self.predictor))

    @property
    def latent_is_state(self) -> bool:
        """Whether a latent is the state itself, points centred: its channels then have the world's names."""
        return bool(getattr(self.encoder, "latent_is_state", False))

    @property
    def parameter_count(self) -> int:
        """Number of trained scalars."""
        return sum(parameter.numel() for parameter in self.parameters())

    def encode(self, observation: Tensor) -> Tensor:
        """z = E(x): (B, *shape) of `observation_rep` -> (B, D) of `latent_rep`.

        Raises:
            RepError: observations of another shape, such as a cloud with another number of points.
        """
        shape = self.observation_rep.shape
        if tuple(observation.shape[-len(shape) :]) != shape:
            raise RepError(
                f"observations of rep {self.observation_rep} have shape (B, {', '.join(map(str, shape))}); "
                f"got {tuple(observation.shape)}."
            )
        return self.encoder(observation)

    def predict(self, latent: Tensor, action: Tensor) -> Tensor:
        """z' = f(z, a): (B, D), (B, *action_shape) -> (B, D)."""
        return self.predictor(latent, action)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """F(x, a) = f(E(x), a)."""
        return self.predict(self.encode(observation), action)

    def rollout(self, observation: Tensor, actions: Tensor) -> Tensor:
        """z_h = f(z_{h-1}, a_h) from z_0 = E(x): (B, C, d), (B, H, d) or (B, H, C, d) -> (B, H, D).

        Raises:
            RepError: no actions.
        """
        if actions.shape[1] < 1:
            raise RepError("a rollout needs at least one action: actions have shape (B, H, ...) with H >= 1.")
        return self.unroll(self.encode(observation), actions)

    def unroll(self, latent: Tensor, actions: Tensor) -> Tensor:
        """z_h = f(z_{h-1}, a_h) from the latents z_0: (B, D), (B, H, d) or (B, H, C, d), H >= 1 -> (B, H, D).

        Of a stack of models (S, B, ...).
        """
        latents, step = [], latent.dim() - 1
        for action in actions.unbind(step):
            latent = self.predict(latent, action)
            latents.append(latent)
        return torch.stack(latents, step)
