"""Encoders and predictors of sets: any order of the items and any motion of the group, exactly, at any weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from equiwm.errors import RepError
from equiwm.models.clouds import Centring
from equiwm.models.step import ResidualPredictor
from equiwm.models.typed import refuse_points
from equiwm.nn.layer import Layer
from equiwm.nn.sets import SetNetwork
from equiwm.symmetry.group import Group
from equiwm.symmetry.quaternions import matrix_rep
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import has_mask, set_layout


class SetEncoder(Layer):
    """E: observations (B, dim) that hold a set -> flat latents (B, D), E(g x) = rho(g) E(x), whatever the items' order.

    Latents without a set are read off the mean over the items that are there; latents of the same set, as
    `perm5*(mask+8x0e+8x1o)`, are given item by item. Points are taken relative to the mean of those that are there,
    along the directions in which the group translates.

    Args:
        observation_rep: holds a set.
        latent_rep: rep of the latents, without points and quaternions.
        widths: one round each, see `SetNetwork`.
        group: the group.

    Raises:
        RepError: latents that hold points or quaternions, or a set that drops the mask; what `SetNetwork` refuses.
    """

    def __init__(self, observation_rep: Rep, latent_rep: Rep, widths: Sequence[int], group: Group) -> None:
        super().__init__(observation_rep, latent_rep, "flat")
        if latent_rep.has_points or matrix_rep(latent_rep) != latent_rep:
            raise RepError(f"latents hold no points and no quaternions; got latent rep {latent_rep}.")
        _keeps_mask(observation_rep, latent_rep)
        self.centre = Centring(observation_rep, group)
        self.network = SetNetwork(observation_rep, latent_rep, group, widths, relative=False, change=False)

    def forward(self, observation: Tensor) -> Tensor:
        return self.network(self.centre(observation))


class SetPredictor(ResidualPredictor):
    """f(z, a) = z + net([z, a]) of latents that are a set, item by item; empty places and masks stay as they are.

    Args:
        latent_rep: holds a set, without points.
        action_rep: rep of the actions: for all items (`1o`) or one an item (`perm5*1o`).
        widths: one round each, see `SetNetwork`.
        group: the group.
        state: rep of the state where the latent is the state, which tells points from vectors: along directions in
            which the group translates places are then seen as differences alone.

    Raises:
        RepError: points among the actions, where the group translates; what `SetNetwork` refuses.
    """

    def __init__(
        self, latent_rep: Rep, action_rep: Rep, widths: Sequence[int], group: Group, state: Rep | None = None
    ) -> None:
        super().__init__(latent_rep, action_rep)
        refuse_points(action_rep, group)
        seen = latent_rep if state is None else state
        self.network = SetNetwork(seen + action_rep, latent_rep, group, widths, relative=True, change=True)

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        return self.network(self.joined(latent, action))


def _keeps_mask(given: Rep, made: Rep) -> None:
    """Refuse a set that is made of a masked one and has no mask: its empty places would count as items.

    Raises:
        RepError: such a set.
    """
    if has_mask(given) and set_layout(made) is not None and not has_mask(made):
        raise RepError(f"the observation's set ({given}) has a mask, the latent's has none; got latent rep {made}.")
