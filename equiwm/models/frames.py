"""Frame averaging: ordinary networks made exactly equivariant by canonical frames (Puny et al. 2022).

A frame is a rotation read off the input that turns with it. An ordinary network is applied to the input as seen from
the frame and its output turned back; the average over all frames that the input allows is equivariant, at any
weights. The price is the frame: it jumps where the input has no preferred axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equiwm.config import ModelConfig
from equiwm.errors import RepError
from equiwm.models.clouds import centred
from equiwm.models.mlp import mlp_network
from equiwm.nn.layer import Layer
from equiwm.symmetry.frames import NEAR, principal_axes, sign_choices
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import in_order

GAP = NEAR
"""Relative gap between two eigenvalues below which a frame begins to lose its weight."""


def principal_frames(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Canonical frames of a set of vectors: the rotations onto its principal axes.

    With eigenvectors e_1, ..., e_d of M = sum_c v_c v_c^T, largest eigenvalue first, the frames are the matrices
    with columns s_1 e_1, ..., s_d e_d for all signs with determinant 1: 4 in space, 2 in the plane. For every
    rotation R the frames of R v are R times those of v.

    Where two eigenvalues meet, the axes are not determined and no choice of finitely many frames is both continuous
    and equivariant. The rule is a weight, invariant and continuous,

        w = min(1, min_i (lambda_i - lambda_{i+1}) / (GAP lambda_1)),   0 if lambda_1 = 0,

    by which the average is multiplied: towards a degenerate input the network fades out, and at it gives zero, which
    is equivariant. The rounding of the axes grows as 1 / gap, so what reaches the output stays bounded.

    The axes are computed in float64 whatever the input, and without gradient: the derivative of an eigenvector grows
    as 1 / gap as well, and the network is as equivariant without it.

    Args:
        vectors: (..., C, d), d = 2 or 3.

    Returns:
        Frames (..., F, d, d) and weights (...), in the dtype of the input.
    """
    d = vectors.shape[-1]
    with torch.no_grad():
        wide = vectors.double()
        axes, gaps = principal_axes(wide.transpose(-1, -2) @ wide)
        weight = (gaps / GAP).clamp(0.0, 1.0)
        frames = axes[..., None, :, :] * sign_choices(d, reflections=False)[:, None, :].to(wide.device)
        return frames.to(vectors.dtype), weight.to(vectors.dtype)


class _FrameAveraged(Layer):
    """Base of encoder and predictor: an ordinary network on vectors, averaged over frames."""

    group_averaged = True

    def __init__(self, in_rep: Rep, out_rep: Rep, network_in: Rep, network_out: Rep) -> None:
        super().__init__(in_rep, out_rep, "flat")
        self.seen = in_order(in_rep)  # items of a set are seen in their order
        self._require_vectors(in_order(network_in), in_order(network_out))
        if in_rep.d not in (2, 3):
            raise RepError(f"frames are built for d = 2 and 3; got rep {in_rep} with d = {in_rep.d}.")

    @property
    def equivariant(self) -> bool:
        """True: the network is ordinary, its average over frames is not."""
        return True

    @staticmethod
    def _average(network: Layer, x: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
        """w mean_R R net(R^T x): vectors (..., C, d) with frames (..., F, d, d) -> flat (..., D)."""
        seen = x[..., None, :, :] @ frames  # rows are vectors: (R^T v)^T = v^T R
        out = network(seen.flatten(-2)).unflatten(-1, (-1, x.shape[-1])) @ frames.transpose(-1, -2)
        return (out.mean(-3) * weight[..., None, None]).flatten(-2)


class FrameEncoder(_FrameAveraged):
    """E(x) = w mean_R R mlp(R^T x~), R over the principal frames of the centred observation.

    Equivariant to SE(d), not to reflections. (B, C, d) of points and vectors -> flat latents (B, D) of vectors.
    Source: Puny et al. 2022, "Frame Averaging for Invariant and Equivariant Network Design"; the weight w after Dym
    et al. 2024 (see `principal_frames`).

    Args:
        observation_rep: points and vectors.
        latent_rep: rep of the latents, vectors only.
        widths: hidden widths of the ordinary network, in units.

    Raises:
        RepError: a rep that holds scalars or pseudovectors, or d is neither 2 nor 3.
    """

    def __init__(self, observation_rep: Rep, latent_rep: Rep, widths: Sequence[int]) -> None:
        super().__init__(observation_rep, latent_rep, observation_rep.linear_part, latent_rep)
        self.network = mlp_network(observation_rep.linear_part, latent_rep, widths, norm=False)

    @classmethod
    def of(cls, config: ModelConfig, observation_rep: Rep, latent_rep: Rep) -> FrameEncoder:
        """Encoder `frame` of a configuration."""
        return cls(observation_rep, latent_rep, config.encoder_widths)

    def forward(self, observation: Tensor) -> Tensor:
        x = centred(observation, self.in_rep).reshape(*observation.shape[: -len(self.in_rep.shape)], *self.seen.shape)
        return self._average(self.network, x, *principal_frames(x))


class FramePredictor(_FrameAveraged):
    """f(z, a) = z + w mean_R R mlp(R^T [z, a]), R over the principal frames of the latent's vectors.

    At a latent with no principal axes (all zero, isotropic, two equal eigenvalues) w = 0 and f(z, a) = z. Latents
    (B, D) flat, actions (B, d) or (B, C, d); gives (B, D). The network carries layer norms, as `MLPPredictor`.

    Args:
        latent_rep: rep of the latents, vectors only.
        action_rep: rep of the actions, vectors only.
        widths: hidden widths of the ordinary network, in units.

    Raises:
        RepError: a rep that holds anything but vectors, or d is neither 2 nor 3.
    """

    def __init__(self, latent_rep: Rep, action_rep: Rep, widths: Sequence[int]) -> None:
        super().__init__(latent_rep, latent_rep, latent_rep + action_rep, latent_rep)
        self.action_dim = action_rep.dim
        self.network = mlp_network(latent_rep + action_rep, latent_rep, widths, norm=True)

    @classmethod
    def of(cls, config: ModelConfig, latent_rep: Rep, action_rep: Rep) -> FramePredictor:
        """Predictor `frame` of a configuration."""
        return cls(latent_rep, action_rep, config.predictor_widths)

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        d = self.in_rep.d
        joined = torch.cat([latent, action.reshape(*latent.shape[:-1], self.action_dim)], -1)
        frames, weight = principal_frames(latent.unflatten(-1, (-1, d)))
        return latent + self._average(self.network, joined.unflatten(-1, (-1, d)), frames, weight)
