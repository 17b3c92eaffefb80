"""What planners minimise: goals as terms, summed over the rollout of a model. All invariant: C(g s, g a, g goal) = C.

A term scores trajectories (T, H, C, d, N) of latents (`rollouts.Rollout`) and actions (T, N, H, A, d). Costs have no
unit of their own: those of the latents, squared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.planning.rollouts import Rollout
from equiwm.symmetry.fit import rotation_fit

ROW_BYTES = 2400
"""Samples of one channel that are rolled out together, in bytes: two tasks of 300 in float32, one in float64. More
and the hidden layers leave the cache, fewer and the calls cost more than the arithmetic (measured)."""


class Term(ABC):
    """A part of a cost that knows the goals of T tasks.

    Attributes:
        any_dtype: whether it scores trajectories of any dtype in theirs, which is faster where samples are ranked in
            float32 first. A term that does not say so is given them in the dtype of the model.
    """

    any_dtype = False

    @abstractmethod
    def score(self, trajectory: Tensor, actions: Tensor, tasks: slice) -> Tensor:
        """Costs (t, N) of the tasks of that slice: trajectory (t, H, C, d, N), actions (t, N, H, A, d)."""


@dataclass(frozen=True, eq=False)
class Objective:
    """cost(actions) = sum of the terms on the rollouts from the tasks' latents: what a planner is given.

    Attributes:
        terms: what is summed.
        rollout: of the model (`rollouts.compile_rollout`), or anything with its signature, such as the true
            dynamics; None where no term looks at the trajectory.
        latent: z_0, (T, D).
        quick: the rollout in float32 of a model in float64; None where there is none.
    """

    terms: Sequence[Term]
    rollout: Rollout | None = None
    latent: Tensor | None = None
    quick: Rollout | None = None

    @property
    def rough(self) -> Objective | None:
        """The same cost of trajectories in float32, by which samples can be ranked; None without a `quick` rollout."""
        quick, latent = self.quick, self.latent
        if quick is None or latent is None:
            return None
        if all(term.any_dtype for term in self.terms):
            return Objective(self.terms, quick, latent.float())
        return Objective(self.terms, lambda start, actions: quick(start, actions).to(latent.dtype), latent)

    def __call__(self, actions: Tensor) -> Tensor:
        """(T, N, H, A, d) -> (T, N), in the dtype of the model, T tasks in groups that fit the cache.

        Raises:
            DataError: actions for another number of tasks than there are latents.
        """
        rollout, latent = self.rollout, self.latent
        if rollout is None or latent is None:
            empty = actions.new_empty(len(actions), 0, 0, actions.shape[-1], actions.shape[1])
            return sum((term.score(empty, actions, slice(None)) for term in self.terms), actions.new_zeros(()))
        if len(latent) != len(actions):
            raise DataError(f"a cost of {len(latent)} tasks was given actions of {len(actions)}.")
        group = max(1, ROW_BYTES // (actions.shape[1] * latent.element_size()))
        costs = []
        with torch.inference_mode():  # calls cost less than under no_grad
            for first in range(0, len(actions), group):
                tasks = slice(first, first + group)
                trajectory = rollout(latent[tasks], actions[tasks])
                scores = [term.score(trajectory, actions[tasks], tasks) for term in self.terms]
                costs.append(torch.stack(scores).sum(0))
        return torch.cat(costs)


@dataclass(frozen=True, eq=False)
class PoseGoal(Term):
    """Position and direction of a body, for forward models, whose latent is the state (paper, closed loop in 2D).

        C = c(s_H) + running mean_h c(s_h) + approach mean_h |p_agent - p|^2
        c(s) = 5 |p - p_goal|^2 + (1 - <u, u_goal>),  u = d / |d|

    A model predicts the direction d without its norm being 1; taken as it is, a shorter d would be a cheaper one.

    Attributes:
        position: p_goal, (T, d).
        direction: u_goal, (T, d); its norm is of no account.
        channels: of the agent's position, the body's position and its direction in the state.
        running: weight of the poses on the way.
        approach: weight of the distance between agent and body.
        weight: of the position in c.
    """

    position: Tensor
    direction: Tensor
    channels: tuple[int, int, int] = (0, 2, 3)
    running: float = 0.3
    approach: float = 0.05
    weight: float = 5.0

    any_dtype = True

    def score(self, trajectory: Tensor, actions: Tensor, tasks: slice) -> Tensor:
        agent, position, direction = (trajectory[:, :, channel] for channel in self.channels)
        goal = self.position[tasks].to(trajectory)[:, None, :, None]
        aim = torch.nn.functional.normalize(self.direction[tasks].to(trajectory), dim=-1)[:, None, :, None]
        norm = direction.square().sum(2).clamp_min(torch.finfo(trajectory.dtype).tiny).sqrt()
        pose = self.weight * (position - goal).square().sum(2) + (1.0 - (direction * aim).sum(2) / norm)
        cost = pose[:, -1] + self.running * pose.mean(1)
        return cost + self.approach * (agent - position).square().sum(2).mean(1)


@dataclass(frozen=True, eq=False)
class LatentGoal(Term):
    """Squared distance to a goal in latent space, no decoder.

        C = weight (|W (z_H - z*)|^2 + running mean_h |W (z_h - z*)|^2)

    Invariant because rho(g) is orthogonal and W commutes with it.

    Attributes:
        latent: z* = E(goal), (T, D).
        weight: of the term.
        running: weight of the latents on the way.
        matrix: W, (C, C) on channels or (D, D) on flat latents (`step_metric.StepMetric`); None is the identity.
    """

    latent: Tensor
    weight: float = 1.0
    running: float = 0.0
    matrix: Tensor | None = None

    any_dtype = True

    def score(self, trajectory: Tensor, actions: Tensor, tasks: slice) -> Tensor:
        goal = self.latent[tasks].to(trajectory).unflatten(-1, trajectory.shape[2:4])[:, None, ..., None]
        seen = trajectory if self.running else trajectory[:, -1:]
        distance = self._measured(seen - goal).square().sum((2, 3))
        cost = distance[:, -1]
        return self.weight * (cost + self.running * distance.mean(1) if self.running else cost)

    def _measured(self, away: Tensor) -> Tensor:
        """W on differences (t, H, C, d, N)."""
        if self.matrix is None:
            return away
        matrix, (channels, width) = self.matrix.to(away), away.shape[2:4]
        if len(matrix) == channels:
            return (matrix @ away.flatten(3)).unflatten(3, away.shape[3:])
        return (matrix @ away.flatten(2, 3)).unflatten(2, (channels, width))


@dataclass(frozen=True, eq=False)
class CentroidGoal(Term):
    """Distance of the centroid from its goal in closed form, no model: C = weight |x_0 + sum_h drift_h a_h - x*|^2.

    For worlds whose centroid drifts with the action (paper, closed loop in 3D). It knows the drift alone; what else
    moves a centroid (the stretch of the cloud world, averaged over its points) it leaves out.

    Attributes:
        start: x_0, (T, d).
        goal: x*, (T, d).
        weight: of the term.
        drift: lengths that an action of norm 1 moves it: of every step, or (H,) one for each.
        channel: of the action that drifts.
    """

    start: Tensor
    goal: Tensor
    weight: float = 0.5
    drift: float | Tensor = 0.15
    channel: int = 0

    any_dtype = True

    def score(self, trajectory: Tensor, actions: Tensor, tasks: slice) -> Tensor:
        away = (self.start[tasks] - self.goal[tasks]).to(actions)[:, None]
        drift = torch.as_tensor(self.drift).to(actions).expand(actions.shape[2])
        end = away + (drift[:, None] * actions[:, :, :, self.channel]).sum(2)
        return (self.weight * end.square().sum(-1)).to(trajectory)


@dataclass(frozen=True, eq=False)
class ProcrustesGoal(Term):
    """The goal's pose read off the latent by the best rotation (Kabsch), no decoder.

    With the latent's vectors z_c and those of the goal z*_c, all without a centroid to remove,

        R* = argmin_{R in SO(d)} sum_c |R z_c - z*_c|^2
        c(z) = turn (1 - cos angle(R*)) + shape sum_c |R* z_c - z*_c|^2 / sum_c |z*_c|^2
        C = c(z_H) + running mean_h c(z_h)

    For an equivariant encoder E(g x) = rho(g) E(x), R* is the rotation that still separates the
    body from its goal, and the remainder is what no rotation explains. `turn=0, shape=1` is the minimal squared
    distance over rotations by itself: it asks for the goal's shape in any orientation. cos angle = 1 - (d - tr R*) / 2.

    Attributes:
        latent: z*, (T, D).
        turn: weight of the rotation.
        shape: weight of the remainder.
        running: weight of the latents on the way.
    """

    latent: Tensor
    turn: float = 1.0
    shape: float = 1.0
    running: float = 0.0

    any_dtype = True

    def score(self, trajectory: Tensor, actions: Tensor, tasks: slice) -> Tensor:
        # float64: a rotation near the identity is 1 - cos(angle), which float32 loses below 0.02 degrees.
        seen = trajectory if self.running else trajectory[:, -1:]
        z = seen.double().permute(0, 1, 4, 2, 3)  # (t, H, N, C, d)
        aim = self.latent[tasks].to(z).unflatten(-1, z.shape[-2:])[:, None, None]
        fit = rotation_fit(aim.transpose(-1, -2) @ z)
        size = aim.square().sum((-2, -1))
        rest = z.square().sum((-2, -1)) + size - 2.0 * (fit.values * fit.sign).sum(-1)
        left_over = self.turn * 0.5 * (z.shape[-1] - fit.trace) + self.shape * rest / size
        cost = left_over[:, -1] + self.running * left_over.mean(1) if self.running else left_over[:, -1]
        return cost.to(trajectory.dtype)
