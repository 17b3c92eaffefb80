"""The goal of a rigid body in the plane by the points of its outline."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.planning.costs import Term


@dataclass(frozen=True, eq=False)
class KeypointGoal(Term):
    """How far the points of a body's outline are from where they are to be, for models whose latent is the state.

        d(s)^2 = mean_k |x_k - x_k*|^2 + agent |p - p*|^2,  x_k = b + q_k1 u + q_k2 J u
        C = reach_h d(s_h) + running mean_h d(s_h) + approach mean_h |p - c|^2

    with b the body's position, u its unit direction, J = R(90 deg), q_k the points in its own frame, c their mean and p
    the agent. Turn and shift count as what they do to the outline, in one unit, so that no weight stands between them.
    A distance and not its square: what is left of the goal by the overlap of two outlines is proportional to it, and a
    square no longer tells 2 px from 1. `reach` is the plan's last step, or its best where the goal need only be passed.
    Invariant under SE(2).

    Attributes:
        position: b*, (T, 2).
        direction: u*, (T, 2); its norm is of no account.
        points: q, (K, 2).
        channels: of the agent's position, the body's position and its direction in the state.
        agent_goal: p*, (T, 2); None where the agent may be anywhere.
        agent: weight of its distance.
        passing: whether the best pose of the way counts, and not the last one.
        running: weight of the poses on the way.
        approach: weight of the distance between agent and body.
    """

    position: Tensor
    direction: Tensor
    points: Tensor
    channels: tuple[int, int, int] = (0, 2, 3)
    agent_goal: Tensor | None = None
    agent: float = 1.0
    passing: bool = True
    running: float = 0.1
    approach: float = 0.02

    any_dtype = True

    def score(self, trajectory: Tensor, actions: Tensor, tasks: slice) -> Tensor:
        agent, position, direction = (trajectory[:, :, channel] for channel in self.channels)  # (t, H, 2, N)
        points = self.points.to(trajectory.dtype)  # read as numbers, so not on the trajectory's device
        (along, across), spread = points.mean(0).tolist(), float(points.var(0, correction=0).sum())
        aim = torch.nn.functional.normalize(self.direction[tasks].to(trajectory), dim=-1)[:, None, :, None]
        tiny = torch.finfo(trajectory.dtype).tiny
        u = direction / direction.square().sum(2, keepdim=True).clamp_min(tiny).sqrt()
        turned = u - aim
        # The mean over the points splits into that of their centre and, about it, spread |u - u*|^2.
        moved = (
            position - self.position[tasks].to(trajectory)[:, None, :, None] + along * turned + across * _turn(turned)
        )
        squared = moved.square().sum(2) + spread * turned.square().sum(2)
        if self.agent_goal is not None:
            left = agent - self.agent_goal[tasks].to(trajectory)[:, None, :, None]
            squared = squared + self.agent * left.square().sum(2)
        distance = squared.sqrt()
        reached = distance.amin(1) if self.passing else distance[:, -1]
        centre = position + along * u + across * _turn(u)
        return reached + self.running * distance.mean(1) + self.approach * (agent - centre).square().sum(2).mean(1)


def _turn(vectors: Tensor) -> Tensor:
    """J v of (t, H, 2, N)."""
    return torch.stack([-vectors[:, :, 1], vectors[:, :, 0]], 2)
