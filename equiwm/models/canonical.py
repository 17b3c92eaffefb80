"""Canonicalisation: ordinary networks on inputs as seen from one frame, their outputs turned back.

    F(x) = Q(x) net(Q(x)^T x~),   Q(g x) = R Q(x)

is equivariant at any weights, with one pass of an ordinary network. The price is the frame: no frame of one rotation is
continuous everywhere. At an input that has no preferred axes (a direction of norm zero, two equal principal moments,
points that are as much on one side as on the other) no equivariant frame exists. The axes are completed from the
laboratory's there, so that the network is not equivariant at such an input, and close to it two inputs that hardly
differ have frames that differ by a turn: `Frame.certainty` says how close. Source: Kaba et al. 2023, "Equivariance with
Learned Canonicalization Functions"; that it cannot be continuous: Dym et al. 2024, "Equivariant Frames and the
Impossibility of Continuous Canonicalization".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.config import ModelConfig
from equiwm.errors import ConfigError, RepError
from equiwm.models.clouds import centred
from equiwm.models.mlp import mlp_network
from equiwm.models.step import ResidualPredictor
from equiwm.nn.layer import Layer
from equiwm.symmetry.frames import principal_axes
from equiwm.symmetry.reps import Rep, vectors
from equiwm.symmetry.sets import in_order

LEAST_SINE = 1e-6
"""Sine of the angle between a vector and the axes before it below which it gives no axis: rounding (1e-16) would turn
that by more than 1e-10."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame an input.

    Attributes:
        axes: Q, (..., d, d) with orthonormal columns and determinant 1.
        certainty: (...), 0 where an axis had to be taken from the laboratory. Of channels: the least length of a vector
            less its part along the axes before it, over the root of the mean square of all vectors. Of principal axes:
            the smaller of the least relative gap of two moments and the least |skewness| of a projection.
    """

    axes: Tensor
    certainty: Tensor


def read_frame(vectors: Tensor, channels: Sequence[int] = ()) -> Frame:
    """The frame of vectors (..., C, d), d = 2 or 3, computed in float64 and without gradient.

    Args:
        vectors: points taken off their mean, and vectors.
        channels: d - 1 of them, orthogonalised in this order; none takes the principal axes of all, each pointing
            where the sum of the cubes of the projections on it is positive.
    """
    with torch.no_grad():
        wide = vectors.double()
        found = _of_channels(wide, channels) if channels else _principal(wide)
        return Frame(found.axes.to(vectors.dtype), found.certainty.to(vectors.dtype))


def _of_channels(wide: Tensor, channels: Sequence[int]) -> Frame:
    tiny = torch.finfo(wide.dtype).tiny
    size = wide.square().sum(-1).mean(-1).sqrt().clamp_min(tiny)
    axes: list[Tensor] = []
    least = torch.full_like(size, torch.inf)
    for channel in channels:
        left = given = wide[..., channel, :]
        for _ in range(2):  # once leaves rounding along the first axis where two vectors are nearly parallel
            for axis in axes:
                left = left - (left * axis).sum(-1, keepdim=True) * axis
        length = left.norm(dim=-1)
        there = length > LEAST_SINE * given.norm(dim=-1)  # also not of norm zero; what is left may be rounding
        least = torch.minimum(least, torch.where(there, length / size, 0.0))
        axes.append(torch.where(there[..., None], left / length.clamp_min(tiny)[..., None], _spare(left, axes)))
    return Frame(_completed(axes), least)


def _spare(like: Tensor, axes: Sequence[Tensor]) -> Tensor:
    """The laboratory's axis that is most perpendicular to those that there are, less its part along them."""
    along = sum((axis.abs() for axis in axes), torch.zeros_like(like))
    lab = torch.nn.functional.one_hot(along.argmin(-1), like.shape[-1]).to(like)
    for axis in axes:
        lab = lab - (lab * axis).sum(-1, keepdim=True) * axis
    return torch.nn.functional.normalize(lab, dim=-1)


def _principal(wide: Tensor) -> Frame:
    axes, gaps = principal_axes(wide.mT @ wide)
    kept = axes[..., : axes.shape[-1] - 1]  # the last axis follows from the others
    along = wide @ kept
    cubes, size = along.pow(3).mean(-2), along.square().mean(-2).clamp_min(torch.finfo(wide.dtype).tiny)
    signed = torch.where(cubes[..., None, :] < 0, -kept, kept)
    skewness = (cubes.abs() / size**1.5).amin(-1)
    return Frame(_completed(list(signed.unbind(-1))), torch.minimum(gaps, skewness))


def _completed(axes: list[Tensor]) -> Tensor:
    first = axes[0]
    if first.shape[-1] == 2:
        last = torch.stack([-first[..., 1], first[..., 0]], -1)
    else:
        last = torch.linalg.cross(first, axes[1])
    return torch.stack([*axes, last], -1)


def _checked(what: str, channels: Sequence[int], most: int, expected: str) -> tuple[int, ...]:
    """Channels of a configuration.

    Raises:
        ConfigError: one that there is not, or one twice.
    """
    if len(set(channels)) < len(channels) or not all(0 <= channel < most for channel in channels):
        raise ConfigError(f"model.{what}: got {list(channels)}, expected {expected} of the channels 0 to {most - 1}.")
    return tuple(channels)


def _frame_channels(config: ModelConfig, rep: Rep) -> tuple[int, ...]:
    found = _checked("frame", config.frame, rep.multiplicity, f"{rep.d - 1} different ones")
    if found and len(found) != rep.d - 1:
        raise ConfigError(f"model.frame: got {list(found)}, expected {rep.d - 1} channels in d = {rep.d}, or [].")
    return found


def _require_plane_or_space(rep: Rep) -> None:
    if rep.d not in (2, 3):
        raise RepError(f"frames are built for d = 2 and 3; got rep {rep} with d = {rep.d}.")


class CanonicalEncoder(Layer):
    """E(x) = [Q e_1, ..., Q e_{d-1}, Q mlp(Q^T x~)]: (B, C, d) -> flat latents (B, D) of vectors.

    The first d - 1 vectors of the latent are axes of the frame, so that the predictor `canonical` reads the same frame
    off it. Equivariant to SE(d) where the observation is made of points and vectors, not to reflections, and not to
    exchanges: items of a set are seen in their order.

    Args:
        observation_rep: points and vectors.
        latent_rep: rep of the latents, vectors only, at least d of them.
        widths: hidden widths of the ordinary network, in units.
        channels: as of `read_frame`.

    Raises:
        RepError: a rep that holds scalars or pseudovectors, d is neither 2 nor 3, or a latent of too few vectors.
    """

    def __init__(self, observation_rep: Rep, latent_rep: Rep, widths: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__(observation_rep, latent_rep, "flat")
        self.seen = in_order(observation_rep)
        self._require_vectors(self.seen.linear_part, latent_rep)
        _require_plane_or_space(observation_rep)
        d = latent_rep.d
        inner = latent_rep.multiplicity - (d - 1)
        if inner < 1:
            raise RepError(f"a canonical latent holds {d - 1} axes and at least a vector; got rep {latent_rep}.")
        self.channels = tuple(channels)
        self.network = mlp_network(self.seen.linear_part, vectors(inner, d), widths, norm=False)

    @classmethod
    def of(cls, config: ModelConfig, observation_rep: Rep, latent_rep: Rep) -> CanonicalEncoder:
        """Encoder `canonical` of a configuration.

        Raises:
            ConfigError: channels of a frame that the observation does not have.
        """
        channels = _frame_channels(config, in_order(observation_rep))
        return cls(observation_rep, latent_rep, config.encoder_widths, channels)

    @property
    def equivariant(self) -> bool:
        """True: the network is ordinary, what it sees and how its output is turned back are not."""
        return True

    def centred(self, observation: Tensor) -> Tensor:
        """x~, (..., C, d): what the frame is read off."""
        return centred(observation, self.in_rep).reshape(
            *observation.shape[: -len(self.in_rep.shape)], *self.seen.shape
        )

    def frame(self, observation: Tensor) -> Frame:
        """Q(x), as `read_frame` gives it."""
        return read_frame(self.centred(observation), self.channels)

    def forward(self, observation: Tensor) -> Tensor:
        x, axes = self.centred(observation), self.frame(observation).axes
        out = self.network((x @ axes).flatten(-2)).unflatten(-1, (-1, x.shape[-1])) @ axes.mT  # rows are vectors
        return torch.cat([axes.mT[..., :-1, :], out], -2).flatten(-2)


class CanonicalPredictor(ResidualPredictor):
    """f(z, a) = z + Q mlp(Q^T [z, a]): latents (B, D) flat, actions (B, d) or (B, C, d); gives (B, D).

    Items of a set are seen in their order, so that it is equivariant to no exchange of them.

    Args:
        latent_rep: rep of the latents, vectors only.
        action_rep: rep of the actions, vectors only.
        widths: hidden widths of the ordinary network, in units.
        channels: vectors of the latent that give the frame, as of `read_frame`.
        norm: whether the network carries layer norms, as `MLPPredictor`.

    Raises:
        RepError: a rep that holds anything but vectors, or d is neither 2 nor 3.
    """

    def __init__(
        self,
        latent_rep: Rep,
        action_rep: Rep,
        widths: Sequence[int],
        channels: Sequence[int],
        *,
        norm: bool = True,
    ) -> None:
        super().__init__(latent_rep, action_rep)
        seen = in_order(latent_rep)
        self._require_vectors(seen, in_order(action_rep))
        _require_plane_or_space(latent_rep)
        self.seen, self.channels = seen, tuple(channels)
        self.network = mlp_network(latent_rep + action_rep, latent_rep, widths, norm=norm)

    @classmethod
    def of(cls, config: ModelConfig, latent_rep: Rep, action_rep: Rep) -> CanonicalPredictor:
        """Predictor `canonical` of a configuration: the frame of the encoder `canonical` where that is the encoder.

        Raises:
            ConfigError: channels that the latent does not have.
        """
        forward = config.encoder == "identity"
        channels = tuple(range(latent_rep.d - 1))
        if config.encoder != "canonical":
            channels = _frame_channels(config, in_order(latent_rep)) if forward else ()
        return cls(latent_rep, action_rep, config.predictor_widths, channels, norm=not forward)

    @property
    def equivariant(self) -> bool:
        """True, as of the encoder."""
        return True

    def frame(self, latent: Tensor) -> Frame:
        """Q(z), as `read_frame` gives it."""
        return read_frame(latent.unflatten(-1, (-1, self.in_rep.d)), self.channels)

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        d = self.in_rep.d
        x, axes = self.joined(latent, action).unflatten(-1, (-1, d)), self.frame(latent).axes
        return (self.network((x @ axes).flatten(-2)).unflatten(-1, (-1, d)) @ axes.mT).flatten(-2)
