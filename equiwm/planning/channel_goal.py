"""The goal of a forward model by channels of its state and their tolerances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.planning.costs import Term


@dataclass(frozen=True, eq=False)
class GoalChannel:
    """One quantity of a state, and what it is to become.

    Attributes:
        entries: its entries in the flat state.
        goal: (T, width).
        tolerance: an error that counts as 1; of a direction in radians.
        direction: whether it is unit vectors, each of so many entries (0 where it is none): its norm is of no account.
    """

    entries: slice
    goal: Tensor
    tolerance: float
    direction: int = 0


@dataclass(frozen=True, eq=False)
class ChannelGoal(Term):
    """Errors of named channels in units of their tolerances, for models whose latent is the state.

        C = c(s_H) + running mean_h c(s_h) + approach mean_h |p - q|^2
        c(s) = sum_i |x_i - x_i*|^2 / tolerance_i^2,  of a direction 2 (1 - <u, u*>) / tolerance^2

    Invariant because every channel's rho(g) is orthogonal. `approach` is in units of the first channel's tolerance.

    Attributes:
        channels: what is to be reached.
        running: weight of the way.
        approach: weight of the distance between two quantities of one width.
        together: the entries of those two; None for none.
    """

    channels: Sequence[GoalChannel]
    running: float = 0.3
    approach: float = 0.05
    together: tuple[slice, slice] | None = None

    any_dtype = True

    def score(self, trajectory: Tensor, actions: Tensor, tasks: slice) -> Tensor:
        state = trajectory.flatten(2, 3)  # (t, H, D, N)
        total = torch.zeros_like(state[:, :, 0])
        for channel in self.channels:
            total = total + _error(state[:, :, channel.entries], channel, channel.goal[tasks].to(state))
        cost = total[:, -1] + self.running * total.mean(1)
        if self.together is None:
            return cost
        first, second = (state[:, :, entries] for entries in self.together)
        away = (first - second).square().sum(2) / self.channels[0].tolerance ** 2
        return cost + self.approach * away.mean(1)


def _error(seen: Tensor, channel: GoalChannel, goal: Tensor) -> Tensor:
    """(t, H, width, N) -> (t, H, N)."""
    aim = goal[:, None, :, None]
    if not channel.direction:
        return (seen - aim).square().sum(2) / channel.tolerance**2
    pair = (part.unflatten(2, (-1, channel.direction)) for part in (seen, aim.expand(-1, -1, -1, 1)))
    given, wanted = (torch.nn.functional.normalize(part, dim=3, eps=torch.finfo(seen.dtype).tiny) for part in pair)
    return 2.0 * (1.0 - (given * wanted).sum(3)).sum(2) / channel.tolerance**2
