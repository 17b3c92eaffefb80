"""The loop that CEM and MPPI share: draw around a plan, score, refit, again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import ConfigError, DataError
from equiwm.planning.refit import (
    TIE,
    Constraint,
    Refit,
    constrained,
    initial_spread,
    scattered,
    spread,
    weighted_mean,
)
from equiwm.symmetry.reps import Rep

Cost = Callable[[Tensor], Tensor]
"""All a planner sees: actions (T, N, H, A, d) of T tasks with N samples each -> costs (T, N). Samples may be strided
(they lie last in memory)."""

PlanSeed = int | Sequence[int] | np.random.Generator
"""A seed as `numpy.random.default_rng` takes it; a generator is drawn from and so advanced."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a planner found.

    Attributes:
        actions: (T, H, A, d) float64, the mean of the last distribution.
        cost: (T,) float64, smallest cost of the samples of the last iteration; inf where none was finite.
    """

    actions: Tensor
    cost: Tensor


@dataclass(frozen=True)
class SamplingPlanner(ABC):
    """Samples a_n = C(m + S Q eps_n), eps_n ~ N(0, I), scores them, and refits m and S to the weighted samples.

    m is the plan, S its spread, C the constraint, Q the frame of the noise. With the ball, the isotropic or full
    refit and a frame that turns with the scene, each step commutes with g: plan(g s) = g plan(s) for every seed.
    With the box, the axis refit or noise in the laboratory's frame it does not. Means, spreads and weights are
    float64 whatever the model's dtype.

    Attributes:
        horizon: H, steps of a plan.
        samples: N, samples an iteration.
        iterations: number of refits.
        sigma: initial standard deviation of every coordinate, in units of the action.
        constraint: `ball` (|a| <= 1, every channel) or `box` (|a_i| <= 1).
        refit: `isotropic` (one sigma a step and channel), `full` (a covariance) or `axis` (a sigma an axis).

    Raises:
        ConfigError: a setting out of its range.
    """

    horizon: int = 20
    samples: int = 300
    iterations: int = 6
    sigma: float = 0.8
    constraint: Constraint = "ball"
    refit: Refit = "isotropic"

    def __post_init__(self) -> None:
        for name in ("horizon", "samples", "iterations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"planning.{name}: got {getattr(self, name)}, expected at least 1.")
        if not self.sigma > 0.0:
            raise ConfigError(f"planning.sigma: got {self.sigma:g}, expected a positive number.")
        for name, known in (("constraint", ("ball", "box")), ("refit", ("isotropic", "full", "axis"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"planning.{name}: got {getattr(self, name)!r}, expected one of {', '.join(known)}.")

    @abstractmethod
    def weights(self, costs: Tensor, tie: float) -> Tensor:
        """Weights (T, N) >= 0 of samples with `costs` (T, N) float64; `tie` is the relative width of a tie."""

    @abstractmethod
    def next_spread(self, samples: Tensor, weights: Tensor, mean: Tensor, old: Tensor) -> Tensor:
        """The spread of the next iteration."""

    @torch.no_grad()
    def plan(
        self,
        cost: Cost,
        action_rep: Rep,
        seeds: Sequence[PlanSeed],
        *,
        frame: Tensor | None = None,
        start: Tensor | None = None,
    ) -> Plan:
        """Plans of T tasks at once; each is what it would be alone, with its own seed.

        Args:
            cost: (T, N, H, A, d) float64 -> (T, N), of any float dtype and device.
            action_rep: A vectors in d dimensions.
            seeds: one a task.
            frame: (T, d, d), orthogonal, columns the axes in which the noise is drawn; None is the laboratory's.
            start: (T, H, A, d), the plan to begin from (a warm start); None is zero.

        Raises:
            DataError: actions that are not vectors alone, no task, or `frame`, `start` or costs of another shape.
        """
        tasks, channels, d = len(seeds), action_rep.multiplicity, action_rep.d
        if tasks < 1 or not action_rep.vectors_only:
            raise DataError(f"a plan needs at least one task and actions that are vectors; got {tasks}, {action_rep}.")
        shape = (tasks, self.horizon, channels, d)
        mean = torch.zeros(shape, dtype=torch.float64) if start is None else _as(start, shape, "start")
        axes = None if frame is None else _as(frame, (tasks, d, d), "frame")[:, None, None]
        generators = [np.random.default_rng(seed) for seed in seeds]
        mean, scale = mean[..., None], initial_spread(self.sigma, self.refit, shape)
        best = torch.full((tasks,), torch.inf, dtype=torch.float64)
        buffer = np.empty((*shape, self.samples))
        for _ in range(self.iterations):
            for task, rng in enumerate(generators):  # numbers of its own: a task does not depend on its neighbours
                rng.standard_normal(out=buffer[task])
            noise = torch.from_numpy(buffer)
            noise = noise if axes is None else axes @ noise
            candidates = constrained(scattered(noise, scale, self.refit).add_(mean), self.constraint)
            given = cost(candidates.permute(0, 4, 1, 2, 3))
            costs = _as(given, (tasks, self.samples), "costs")
            weights = self.weights(costs, TIE.get(given.dtype, TIE[torch.float32]))
            # A task without a finite cost has nothing to learn from: it keeps what it has.
            known = (weights.sum(-1) > 0.0)[:, None, None, None, None]
            weights = torch.where(known[..., 0, 0, 0], weights, 1.0)
            new = weighted_mean(candidates, weights)
            scale = torch.where(known, self.next_spread(candidates, weights, new, scale), scale)
            mean = torch.where(known, new, mean)
            best = costs.masked_fill(~costs.isfinite(), torch.inf).amin(-1)
        return Plan(mean[..., 0], best)

    def _refitted(self, samples: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
        return spread(samples, weights, mean, self.refit)


def _as(value: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    if value.shape != shape:
        raise DataError(f"planning: {what} has shape {tuple(value.shape)}, expected {shape}.")
    return value.detach().cpu().double()
