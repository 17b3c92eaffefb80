"""Vector-neuron encoders of point clouds: translations taken off by centring, rotations carried by the layers.

What happens to the invariants of a cloud:

- its mean: dropped. Latents hold no points, so nothing in them can move with a translation, and the worlds here act
  on the centred cloud without looking at where it is. (The centroid's own motion is known in closed form to whoever
  needs it: a planner.)
- its scale: kept, without a channel of its own. Vector neurons are homogeneous of degree 1, E(c x) = c E(x) for
  c > 0, and nothing here is normalised by the size of the cloud, so the lengths of the latent's vectors are the scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equiwm.config import ModelConfig
from equiwm.errors import RepError
from equiwm.models.vector_neurons import VNEncoder, Weights, real_in_space, vn_network
from equiwm.nn.layer import Layer, to_flat
from equiwm.symmetry.groups import Group
from equiwm.symmetry.motions import translated_directions
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import cleared, has_mask, present_points


class Centring:
    """x~: points less the mean of all points, everything else as it is.

    x~_p = x_p - mean_p(x) is unchanged by translations and turns as a vector: a tensor of `rep.linear_part`. Along a
    direction in which the group does not translate nothing is taken off: under SE(2) about the vertical heights stay,
    and under rotations alone a point is a vector. Of a set with a mask the mean is that of the points that are there,
    and empty places become zero.

    Args:
        rep: of what is centred.
        group: the world's; None translates in every direction.
    """

    def __init__(self, rep: Rep, group: Group | None = None) -> None:
        self.rep = rep
        self._masked = has_mask(rep)
        along = translated_directions(group, rep.d) if rep.has_points else torch.zeros(rep.d, rep.d)
        self._idle = along is not None and not bool(along.any())
        self._by_channel = along is None and rep.structured
        if not self._idle and not self._by_channel:
            shift = rep.translations  # of P points each column holds P ones
            self._mean = (shift if along is None else shift @ along) / float(shift[:, 0].sum())
            self._shift = shift.mT

    def __call__(self, x: Tensor) -> Tensor:
        """(..., *shape) -> the same shape."""
        if self._masked:
            return self._of_those_there(x)
        if self._idle:
            return x
        if not self._by_channel:
            flat = x.flatten(-len(self.rep.shape))
            return (flat - flat @ self._mean.to(x) @ self._shift.to(x)).unflatten(-1, self.rep.shape)
        if len(self.rep.terms) == 1:
            return x - x.mean(-2, keepdim=True)
        mean = split_points(x, self.rep)[0].mean(-2, keepdim=True)
        parts = zip(x.split([count for count, _ in self.rep.terms], -2), self.rep.terms, strict=True)
        return torch.cat([part - mean if kind.translates else part for part, (_, kind) in parts], -2)

    def _of_those_there(self, x: Tensor) -> Tensor:
        """The same where a mask says which points there are; whatever an empty place holds is not looked at."""
        x = cleared(x, self.rep)
        there = None if self._idle else present_points(self.rep, x)
        if there is None:
            return x
        count = there.sum(-1, keepdim=True).clamp(min=1.0) / self.rep.d
        shift = self._shift.to(x)
        return x - there * ((x * there) @ shift.mT / count @ shift)


def centred(observation: Tensor, rep: Rep, group: Group | None = None) -> Tensor:
    """`Centring(rep, group)` of an observation (..., *shape)."""
    return Centring(rep, group)(observation)


def split_points(observation: Tensor, rep: Rep) -> tuple[Tensor, Tensor]:
    """The points (..., P, d) and the other channels (..., C - P, d) of an observation (..., C, d) of `rep`."""
    parts = observation.split([count for count, _ in rep.terms], -2)
    points = [part for part, (_, kind) in zip(parts, rep.terms, strict=True) if kind.translates]
    others = [part for part, (_, kind) in zip(parts, rep.terms, strict=True) if not kind.translates]
    return torch.cat(points, -2), torch.cat(others, -2) if others else observation[..., :0, :]


class VNCloudEncoder(Layer):
    """E of a cloud whose points come in a fixed order, each of them a channel: E(x) = L x~ + net(x~), or net alone.

    Equivariant to SE(d) (translations change nothing) and with real weights to reflections too. Observations may mix
    points and vectors, `13xp+3x1o`: points are centred on their own mean, vectors pass. (B, C, d) -> flat (B, D).
    Without hidden widths it is the linear map W x~.

    Args:
        observation_rep: points, and vectors if there are any.
        latent_rep: rep of the latents, vectors only.
        widths: hidden widths, in vectors.
        weights: real or complex.
        skip: add the linear path L.

    Raises:
        RepError: a rep that holds scalars or pseudovectors.
    """

    def __init__(
        self, observation_rep: Rep, latent_rep: Rep, widths: Sequence[int], weights: Weights, *, skip: bool
    ) -> None:
        super().__init__(observation_rep, latent_rep, "flat")
        self.network = VNEncoder(observation_rep.linear_part, latent_rep, widths, weights, skip=skip)

    @classmethod
    def of(cls, config: ModelConfig, observation_rep: Rep, latent_rep: Rep) -> VNCloudEncoder:
        """Encoder `vn_cloud` of a configuration."""
        return cls(
            observation_rep,
            latent_rep,
            config.encoder_widths,
            real_in_space(config, latent_rep),
            skip=config.encoder_skip,
        )

    def forward(self, observation: Tensor) -> Tensor:
        return self.network(centred(observation, self.in_rep))


class VNSetEncoder(Layer):
    """E of a cloud whose points have no order: the same network at every point, then the mean over points.

        S = mean_p x~_p x~_p^T / t,  t = mean_p |x~_p|^2
        E(x) = mean_p net([x~_p, S x~_p, S^2 x~_p, (|x~_p|^2 / t) x~_p, v_1, ..., v_n])

    Each feature is a vector of degree 1 in the scale of the cloud; S tells a point where it lies in the whole, and
    v are the observation's vectors, given to every point. Equivariant to SE(d), with real weights to reflections,
    and unchanged by any order of the points. A cloud without extent (t = 0) is encoded as its vectors alone.
    (B, C, d) -> flat (B, D). Source: ours, after Deng et al. 2021 (pooling) and moment invariants.

    What it cannot do is tell points apart: it carries shape and orientation, not each point's place.

    Args:
        observation_rep: points, and vectors if there are any.
        latent_rep: rep of the latents, vectors only.
        widths: hidden widths of the shared network, in vectors.
        weights: real or complex.

    Raises:
        RepError: a rep that holds scalars or pseudovectors, or no points.
    """

    _features = 4

    def __init__(self, observation_rep: Rep, latent_rep: Rep, widths: Sequence[int], weights: Weights) -> None:
        super().__init__(observation_rep, latent_rep, "flat")
        self._require_vectors(observation_rep.linear_part, latent_rep)
        if not observation_rep.has_points:
            raise RepError(f"a set encoder pools over points; rep {observation_rep} holds none.")
        others = sum(count for count, kind in observation_rep.terms if not kind.translates)
        in_rep = Rep(((self._features + others, "1o"),), observation_rep.d)
        self.network = vn_network(in_rep, latent_rep, widths, weights)

    @classmethod
    def of(cls, config: ModelConfig, observation_rep: Rep, latent_rep: Rep) -> VNSetEncoder:
        """Encoder `vn_set` of a configuration."""
        return cls(observation_rep, latent_rep, config.encoder_widths, real_in_space(config, latent_rep))

    def forward(self, observation: Tensor) -> Tensor:
        points, others = split_points(observation, self.in_rep)
        x = points - points.mean(-2, keepdim=True)
        square = x.square().sum(-1, keepdim=True)
        size = square.mean(-2, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        moment = x.transpose(-1, -2) @ x / (x.shape[-2] * size)
        first = x @ moment
        features = torch.stack([x, first, first @ moment, x * (square / size)], -1)  # (B, P, d, 4)
        shared = others.transpose(-1, -2)[..., None, :, :].expand(*features.shape[:-1], -1)
        return to_flat(self.network(torch.cat([features, shared], -1)).mean(-3))
