"""Regressors of a velocity v = f(s, a): one network, or the residual pathway prior that softens the equivariant one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from equiwm.errors import RepError
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep


class Regressor(nn.Module):
    """f(s, a) = net([s, a]), a vector for every vector of the state.

    Source: paper, section "Bitter Lesson".

    Args:
        network: from observations (..., C + C', d) of `state_rep + action_rep` to flat `state_rep`, any leading axes.
        state_rep: rep of the states and of the velocities.
        action_rep: rep of the actions.

    Raises:
        RepError: a network between other reps.
    """

    def __init__(self, network: Layer, state_rep: Rep, action_rep: Rep) -> None:
        super().__init__()
        if network.in_rep != state_rep + action_rep or network.out_rep != state_rep:
            raise RepError(
                f"a regressor of states {state_rep} under actions {action_rep} needs a network "
                f"{state_rep + action_rep} -> {state_rep} (d = {state_rep.d}); got {network.in_rep} -> "
                f"{network.out_rep} (d = {network.out_rep.d})."
            )
        self.network, self.state_rep, self.action_rep = network, state_rep, action_rep

    @property
    def equivariant(self) -> bool:
        """Whether the network is meant to be equivariant (`Layer.equivariant`)."""
        return self.network.equivariant

    @property
    def parameter_count(self) -> int:
        """Number of trained scalars."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """States (..., C, d) and actions (..., d) or (..., C', d) -> velocities (..., C, d)."""
        action = action.reshape(*state.shape[:-2], self.action_rep.multiplicity, self.action_rep.d)
        return self.network(torch.cat([state, action], -2)).unflatten(-1, state.shape[-2:])


class SoftRegressor(nn.Module):
    """Residual pathway prior: f = f_VN + f_free, trained with the penalty beta E|f_free|^2.

    The larger beta, the dearer it is to leave the equivariant path: beta -> infinity is the hard network, beta = 0
    has no prior at all. Both paths start from their usual weights, the free one not scaled down: the penalty alone
    says how large it is to be. Source: Finzi et al. 2021, "Residual Pathway Priors"; paper, section "Bitter Lesson".

    Args:
        hard: f_VN, equivariant.
        free: f_free, between the same reps.

    Raises:
        RepError: paths between different reps.
    """

    equivariant = False

    def __init__(self, hard: Regressor, free: Regressor) -> None:
        super().__init__()
        if (hard.state_rep, hard.action_rep) != (free.state_rep, free.action_rep):
            raise RepError(
                f"both paths have to map the same states and actions; got {hard.state_rep}, {hard.action_rep} (d = "
                f"{hard.state_rep.d}) and {free.state_rep}, {free.action_rep} (d = {free.state_rep.d})."
            )
        self.hard, self.free = hard, free
        self.state_rep, self.action_rep = hard.state_rep, hard.action_rep

    @property
    def parameter_count(self) -> int:
        """Number of trained scalars."""
        return sum(parameter.numel() for parameter in self.parameters())

    def paths(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """f_VN and f_free, (..., C, d) each."""
        return self.hard(state, action), self.free(state, action)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """f = f_VN + f_free: states (..., C, d) and actions (..., d) or (..., C', d) -> velocities (..., C, d)."""
        hard, free = self.paths(state, action)
        return hard + free

    def free_fraction(self, state: Tensor, action: Tensor) -> float:
        """E|f_free|^2 / E|f|^2: the free path's share of the mean square; above 1 where the paths cancel."""
        with torch.no_grad():
            hard, free = self.paths(state, action)
            return float(free.square().mean() / (hard + free).square().mean())
