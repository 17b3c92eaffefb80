"""Ordinary networks with the interface of the equivariant ones: the baselines, and the control that must fail."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from equiwm.config import ModelConfig
from equiwm.models.clouds import Centring
from equiwm.models.step import ResidualPredictor
from equiwm.nn.layer import Layer, Sequential
from equiwm.nn.linear import DenseLinear
from equiwm.nn.nonlinear import DenseReLU
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import cleared


def mlp_network(in_rep: Rep, out_rep: Rep, widths: Sequence[int], *, norm: bool) -> Sequential:
    """Linear, (layer norm,) ReLU, ..., linear on flat tensors; the hidden units are scalars in name only."""
    layers: list[Layer] = []
    rep = in_rep
    for width in widths:
        hidden = Rep(((width, "0e"),), in_rep.d)
        layers += [DenseLinear(rep, hidden), DenseReLU(hidden, norm=norm)]
        rep = hidden
    return Sequential(*layers, DenseLinear(rep, out_rep))


class MLPEncoder(Layer):
    """E: observations (B, *shape), flattened -> flat latents (B, D). Without hidden widths it is an affine map.

    Of a set with a mask it sees zeros in empty places.

    Args:
        observation_rep: rep of the observations.
        latent_rep: rep of the latents.
        widths: hidden widths, in units.
        centre: take the mean of the points off them first, so that translations change nothing; rotations still do.
        group: the world's, which says along which directions; None is along all.
    """

    def __init__(
        self,
        observation_rep: Rep,
        latent_rep: Rep,
        widths: Sequence[int],
        *,
        centre: bool = False,
        group: Group | None = None,
    ) -> None:
        super().__init__(observation_rep, latent_rep, "flat")
        self.network = mlp_network(observation_rep, latent_rep, widths, norm=False)
        self.centre = Centring(observation_rep, group) if centre else None

    @classmethod
    def of(cls, config: ModelConfig, observation_rep: Rep, latent_rep: Rep) -> MLPEncoder:
        """Encoder `mlp` of a configuration."""
        return cls(observation_rep, latent_rep, config.encoder_widths)

    @classmethod
    def of_centred(
        cls, config: ModelConfig, observation_rep: Rep, latent_rep: Rep, *, group: Group | None = None
    ) -> MLPEncoder:
        """Encoder `mlp_centred` of a configuration."""
        return cls(observation_rep, latent_rep, config.encoder_widths, centre=True, group=group)

    def forward(self, observation: Tensor) -> Tensor:
        x = cleared(observation, self.in_rep) if self.centre is None else self.centre(observation)
        return self.network(x.flatten(-len(self.in_rep.shape)))


class MLPPredictor(ResidualPredictor):
    """f: residual latent predictor f(z, a) = z + net([z, a]); (B, D), (B, d) or (B, C, d) -> (B, D).

    Its hidden layers carry a layer norm: with it the parameter counts are the paper's (167,424 in 2D, 124,512
    in 3D, encoder included).
    """

    def __init__(self, latent_rep: Rep, action_rep: Rep, widths: Sequence[int], *, norm: bool = True) -> None:
        super().__init__(latent_rep, action_rep)
        self.network = mlp_network(latent_rep + action_rep, latent_rep, widths, norm=norm)

    @classmethod
    def of(cls, config: ModelConfig, latent_rep: Rep, action_rep: Rep) -> MLPPredictor:
        """Predictor `mlp` of a configuration; that of a forward model has no layer norm."""
        return cls(latent_rep, action_rep, config.predictor_widths, norm=config.encoder != "identity")

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        return self.network(self.joined(latent, action))
