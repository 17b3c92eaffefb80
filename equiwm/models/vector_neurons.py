"""Exactly equivariant networks of vector neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from equiwm.config import ModelConfig
from equiwm.errors import ConfigError
from equiwm.models.step import ResidualPredictor
from equiwm.nn.layer import Layer, Sequential, to_channels_last, to_flat
from equiwm.nn.linear import ComplexVNLinear, VNLinear
from equiwm.nn.nonlinear import VNReLU
from equiwm.symmetry.reps import Rep, vectors

Weights = Literal["real", "complex"]
LINEAR: dict[Weights, type[VNLinear] | type[ComplexVNLinear]] = {"real": VNLinear, "complex": ComplexVNLinear}


def real_in_space(config: ModelConfig, rep: Rep) -> Weights:
    """The weights of a configuration.

    Raises:
        ConfigError: complex ones where d is not 2.
    """
    if config.weights == "complex" and rep.d != 2:
        raise ConfigError(f"model.weights: complex weights need a world with d = 2; this one has d = {rep.d}.")
    return config.weights


def vn_network(in_rep: Rep, out_rep: Rep, widths: Sequence[int], weights: Weights) -> Sequential:
    """Linear, VN-ReLU, ..., linear: from `in_rep` over hidden layers of `widths` vectors to `out_rep`."""
    linear = LINEAR[weights]
    layers: list[Layer] = []
    rep = in_rep
    for width in widths:
        hidden = vectors(width, in_rep.d)
        layers += [linear(rep, hidden), VNReLU(linear(hidden, hidden))]
        rep = hidden
    return Sequential(*layers, linear(rep, out_rep))


class VNEncoder(Layer):
    """E: observations (B, C, d) of vectors -> flat latents (B, D) of vectors, E(g x) = rho(g) E(x).

    Args:
        observation_rep: rep of the observations.
        latent_rep: rep of the latents.
        widths: hidden widths, in vectors.
        weights: real or complex.
        skip: add a linear path beside the network, E(x) = L x + net(x). What the JEPA loss does not ask for (a
            block that hardly moves) then still reaches the latent: on PushT it halves the read-out error.
    """

    def __init__(
        self, observation_rep: Rep, latent_rep: Rep, widths: Sequence[int], weights: Weights, *, skip: bool
    ) -> None:
        super().__init__(observation_rep, latent_rep, "flat")
        self.network = vn_network(observation_rep, latent_rep, widths, weights)
        self.skip = LINEAR[weights](observation_rep, latent_rep) if skip else None

    @classmethod
    def of(cls, config: ModelConfig, observation_rep: Rep, latent_rep: Rep) -> VNEncoder:
        """Encoder `vn` of a configuration."""
        return cls(
            observation_rep,
            latent_rep,
            config.encoder_widths,
            real_in_space(config, latent_rep),
            skip=config.encoder_skip,
        )

    def forward(self, observation: Tensor) -> Tensor:
        x = observation.transpose(-1, -2)
        return to_flat(self.network(x) if self.skip is None else self.network(x) + self.skip(x))


class VNPredictor(ResidualPredictor):
    """f: residual latent predictor f(z, a) = z + net([z, a]), f(rho(g) z, g a) = rho(g) f(z, a).

    Latents (B, D) flat; actions (B, d) or (B, C, d); gives (B, D).
    """

    def __init__(self, latent_rep: Rep, action_rep: Rep, widths: Sequence[int], weights: Weights) -> None:
        super().__init__(latent_rep, action_rep)
        self.network = vn_network(latent_rep + action_rep, latent_rep, widths, weights)

    @classmethod
    def of(cls, config: ModelConfig, latent_rep: Rep, action_rep: Rep) -> VNPredictor:
        """Predictor `vn` of a configuration."""
        return cls(latent_rep, action_rep, config.predictor_widths, real_in_space(config, latent_rep))

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        return to_flat(self.network(to_channels_last(self.joined(latent, action), self.in_rep.d)))
