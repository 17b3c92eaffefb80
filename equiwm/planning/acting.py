"""A network in the place of a planner: it drives episodes, one decision at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.models.policy import Policy as Network
from equiwm.planning.control import held
from equiwm.planning.view import PlannerView


class NetworkPolicy:
    """Asks a network what to do next, and holds that for as many steps as its teacher held an action of a plan.

    Args:
        network: in the dtype and on the device to evaluate in.
        control: the world's tasks, which know the unit of actions.
        steps: of an episode, whose share that is left a timed network sees.
        hold: steps that an action is held.
    """

    def __init__(self, network: Network, control: PlannerView, *, steps: int, hold: int) -> None:
        self._network, self._control, self._steps, self._hold = network, control, steps, hold
        self._like = next(network.parameters())

    def __call__(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        """See `control.Policy`: (T, hold, *action_rep.shape) float64."""
        return held(self._control.physical(self.decide(observation, goal, remaining)[:, None]), self._hold, 1)

    @torch.no_grad()
    def decide(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        """The next actions in the planner's unit, (T, *action_rep.shape) float64.

        Args:
            observation, goal, remaining: as of `control.Policy`.
        """
        made: Tensor = self._network(*self._given(observation, goal, remaining))
        return made.cpu().double()

    @torch.no_grad()
    def plans(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        """The whole plans whose first actions `decide` gives, (T, P, *action_rep.shape) float64."""
        return self._network.plans(*self._given(observation, goal, remaining)).cpu().double()

    def _given(self, observation: Tensor, goal: Tensor, remaining: int) -> tuple[Tensor, Tensor, Tensor]:
        left = self._like.new_full((len(observation), 1), remaining / self._steps)
        return observation.to(self._like), goal.to(self._like), left
