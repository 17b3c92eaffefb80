"""Exactly equivariant networks for any rep and any compact group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.models.clouds import Centring
from equiwm.models.step import ResidualPredictor
from equiwm.nn.layer import Layer
from equiwm.nn.typed import TypedNetwork
from equiwm.symmetry.groups import Group
from equiwm.symmetry.irreducibles import irreducibles
from equiwm.symmetry.kinds import SCALAR, VECTOR
from equiwm.symmetry.motions import translated_directions
from equiwm.symmetry.orientations import Quaternion, left_product
from equiwm.symmetry.quaternions import as_matrices, matrix_rep
from equiwm.symmetry.reps import Rep


def refuse_points(action_rep: Rep, group: Group) -> None:
    """Refuse points among actions, where the group translates.

    Raises:
        RepError: there are some.
    """
    directions = translated_directions(group, action_rep.d)
    if action_rep.has_points and (directions is None or bool(directions.any())):
        raise RepError(
            f"actions of rep {action_rep} hold points, which {group} translates; latents hold none that they could "
            "be compared with: give them as vectors (1o), relative to something that is observed."
        )


class TypedEncoder(Layer):
    """E: observations (B, *shape) of any rep -> flat latents (B, D) of any rep, E(g x) = rho(g) E(x).

    Points are taken relative to their mean along the directions in which the group translates, and quaternions as
    rotation matrices. Source: ours.

    Args:
        observation_rep: rep of the observations.
        latent_rep: rep of the latents, without points and quaternions.
        widths: hidden widths, see `TypedNetwork`.
        group: the group.

    Raises:
        RepError: latents that hold points or quaternions.
    """

    def __init__(self, observation_rep: Rep, latent_rep: Rep, widths: Sequence[int], group: Group) -> None:
        super().__init__(observation_rep, latent_rep, "flat")
        if latent_rep.has_points or matrix_rep(latent_rep) != latent_rep:
            raise RepError(f"latents hold no points and no quaternions; got latent rep {latent_rep}.")
        self.centre = Centring(observation_rep, group)
        seen = matrix_rep(observation_rep.linear_part)
        self.network = TypedNetwork(seen, latent_rep, irreducibles(group, seen, latent_rep), widths)

    def forward(self, observation: Tensor) -> Tensor:
        flat = self.centre(observation).flatten(-len(self.in_rep.shape))
        return self.network(as_matrices(flat, self.in_rep))


class TypedPredictor(ResidualPredictor):
    """f: residual latent predictor f(z, a) = z + net([z, a]) between any reps, f(rho(g) z, g a) = rho(g) f(z, a).

    A quaternion q changes by (s, v) q, with a scalar s and a vector v of the network: it turns as q does, whatever
    the sign that stands for the orientation. Latents (B, D) flat; actions (B, *action_shape); gives (B, D).

    Args:
        latent_rep: rep of the latents, without points.
        action_rep: rep of the actions.
        widths: hidden widths, see `TypedNetwork`.
        group: the group.

    Raises:
        RepError: points among the actions, where the group translates.
    """

    def __init__(self, latent_rep: Rep, action_rep: Rep, widths: Sequence[int], group: Group) -> None:
        super().__init__(latent_rep, action_rep)
        refuse_points(action_rep, group)
        given, made = matrix_rep(latent_rep + action_rep), _change_rep(latent_rep)
        self.network = TypedNetwork(given, made, irreducibles(group, given, made), widths)

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        joined = as_matrices(self.joined(latent, action), self.in_rep + self.action_rep)
        return _as_change(self.network(joined), latent, self.in_rep)


def _change_rep(rep: Rep) -> Rep:
    """What a network gives for the change of a latent: of each quaternion a scalar and a vector."""
    terms = []
    for count, kind in rep.terms:
        terms += [(1, SCALAR), (1, VECTOR)] * count if isinstance(kind, Quaternion) else [(count, kind)]
    return Rep(terms, rep.d)


def _as_change(made: Tensor, latent: Tensor, rep: Rep) -> Tensor:
    """The change of a latent, its quaternions turned by what a tensor of `_change_rep` says of them."""
    if made.shape[-1] == rep.dim and not any(isinstance(kind, Quaternion) for _, kind in rep.terms):
        return made
    widths = [count * kind.dim(rep.d) for count, kind in rep.terms]
    parts = zip(made.split(widths, -1), latent.split(widths, -1), rep.terms, strict=True)
    return torch.cat([_turned(part, q) if isinstance(kind, Quaternion) else part for part, q, (_, kind) in parts], -1)


def _turned(change: Tensor, q: Tensor) -> Tensor:
    by, quaternions = change.unflatten(-1, (-1, 4)), q.unflatten(-1, (-1, 4))
    return (left_product(by) @ quaternions[..., None])[..., 0].flatten(-2)
