"""The loop that CEM and MPPI share: draw around a plan, score, refit, again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import ConfigError, DataError
from equiwm.planning.ranking import Cost, Scored, Scoring, shaped
from equiwm.planning.refit import (
    TIE,
    Constraint,
    Refit,
    cheapest,
    constrained,
    initial_spread,
    scattered,
    spread,
    weighted_mean,
)
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.kinds import VECTOR, Kind
from equiwm.symmetry.reps import Rep

Carry = Literal["mean", "best"]

PlanSeed = int | Sequence[int] | np.random.Generator
"""A seed as `numpy.random.default_rng` takes it; a generator is drawn from and so advanced."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a planner found.

    Attributes:
        actions: (T, H, A, d), or (T, H, dim) of actions that are not vectors alone, float64: the mean of the last
            distribution, or the best sample of all.
        cost: (T,) float64, smallest cost of the samples of the last iteration (of all of them, where the best sample is
            carried out); inf where none was finite.
        mean: (T, H, ...), the mean of the last distribution, whatever is carried out: of a plan drawn again with other
            numbers it differs less.
        scored: how its candidates were scored.
    """

    actions: Tensor
    cost: Tensor
    mean: Tensor
    scored: Scored = Scored()


@dataclass(frozen=True)
class SamplingPlanner(ABC):
    """Samples a_n = C(m + S Q eps_n), eps_n ~ N(0, I), scores them, and refits m and S to the weighted samples.

    m is the plan, S its spread, C the constraint, Q the frame of the noise. With the ball, the isotropic or full
    refit and a frame that turns with the scene, each step commutes with g: plan(g s) = g plan(s) for every seed.
    With the box, the axis refit or noise in the laboratory's frame it does not. Means, spreads and weights are
    float64 whatever the model's dtype.

    An action that is not vectors alone (a push and the width of a gripper) is drawn term by term of its rep: every copy
    of a kind has a spread of its own, its noise is turned by rho(Q) of its kind, and its norm is bounded by itself (of
    a scalar that is the interval [-1, 1]). rho is orthogonal, so each copy commutes with g as a vector does.

    Attributes:
        horizon: H, steps of a plan.
        samples: N, samples an iteration.
        iterations: number of refits.
        sigma: initial standard deviation of every coordinate, in units of the action.
        constraint: `ball` (|a| <= reach, every channel) or `box` (|a_i| <= reach).
        reach: radius of the ball, half the side of the box; 1 are all actions that the world takes. A model knows
            nothing of actions that its data do not show, and a planner finds where it errs in its favour.
        carry: the plan that is given: the `mean` of the last distribution, or the `best` sample of all iterations, the
            first drawn of those that cost the same (`refit.cheapest`). A mean of plans that each reach a body by
            another way reaches it by none.
        refit: `isotropic` (one sigma a step and channel), `full` (a covariance) or `axis` (a sigma an axis).

    Raises:
        ConfigError: a setting out of its range.
    """

    horizon: int = 20
    samples: int = 300
    iterations: int = 6
    sigma: float = 0.8
    constraint: Constraint = "ball"
    reach: float = 1.0
    refit: Refit = "isotropic"
    carry: Carry = "mean"

    def __post_init__(self) -> None:
        for name in ("horizon", "samples", "iterations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"planning.{name}: got {getattr(self, name)}, expected at least 1.")
        if not 0.0 < self.reach <= 1.0:
            raise ConfigError(f"planning.reach: got {self.reach:g}, expected more than 0 and at most 1.")
        if not self.sigma > 0.0:
            raise ConfigError(f"planning.sigma: got {self.sigma:g}, expected a positive number.")
        for name, known in (
            ("constraint", ("ball", "box")),
            ("refit", ("isotropic", "full", "axis")),
            ("carry", ("mean", "best")),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"planning.{name}: got {getattr(self, name)!r}, expected one of {', '.join(known)}.")

    @abstractmethod
    def weights(self, costs: Tensor, tie: float) -> Tensor:
        """Weights (T, N) >= 0 of samples with `costs` (T, N) float64; `tie` is the relative width of a tie."""

    @abstractmethod
    def next_spread(self, samples: Tensor, weights: Tensor, mean: Tensor, old: Tensor) -> Tensor:
        """The spread of the next iteration."""

    @property
    def cut(self) -> int | None:
        """How many of the cheapest samples alone count, each as much as the others; None where every cost does."""
        return None

    @torch.no_grad()
    def plan(
        self,
        cost: Cost,
        action_rep: Rep,
        seeds: Sequence[PlanSeed],
        *,
        frame: Tensor | None = None,
        start: Tensor | None = None,
        rough: Cost | None = None,
    ) -> Plan:
        """Plans of T tasks at once; each is what it would be alone, with its own seed.

        Args:
            cost: (T, N, H, *action_rep.shape) float64 -> (T, N), of any float dtype and device.
            action_rep: of one action, without points.
            seeds: one a task.
            frame: (T, d, d), orthogonal, columns the axes in which the noise is drawn; None is the laboratory's.
            start: (T, H, *action_rep.shape), the plan to begin from (a warm start); None is zero. Where the best sample
                is carried out it is one of the samples, so that no plan is worse than what it began from.

        Raises:
            DataError: actions with points (noise about a point has no origin that moves with it), no task, or `frame`,
                `start` or costs of another shape.
        """
        tasks, d = len(seeds), action_rep.d
        if tasks < 1 or action_rep.has_points or not action_rep.dim:
            raise DataError(f"a plan needs at least one task and actions without points; got {tasks}, {action_rep}.")
        shape = (tasks, self.horizon, *action_rep.shape)
        begun = torch.zeros(shape, dtype=torch.float64) if start is None else _as(start, shape, "start")
        turned = None if frame is None else _as(frame, (tasks, d, d), "frame")
        generators = [np.random.default_rng(seed) for seed in seeds]
        terms = [
            _Term(self, kind, part.shape, axes=turned, mean=part)
            for (_, kind), part in zip(action_rep.terms, _parted(begun, action_rep), strict=True)
        ]
        best, keep = _Best(begun), self.carry == "best"
        scoring = Scoring(cost, None if self.cut is None else rough)
        for iteration in range(self.iterations):
            for task, rng in enumerate(generators):  # numbers of its own: a task does not depend on its neighbours
                for term in terms:
                    rng.standard_normal(out=term.buffer[task])
            drawn = [term.draw(first=iteration == 0 and start is not None) for term in terms]
            candidates = _joined(drawn, action_rep)
            last = iteration == self.iterations - 1
            cuts = [] if self.cut is None else [self.cut, 1] if keep or last else [self.cut]
            given = scoring(candidates, cuts, lambda costs: self._settled(costs, best if keep else None))
            costs, tie = given.double(), TIE.get(given.dtype, TIE[torch.float32])
            weights = self.weights(costs, tie)
            # A task without a finite cost has nothing to learn from: it keeps what it has.
            known = (weights.sum(-1) > 0.0)[:, None, None, None, None]
            weights = torch.where(known[..., 0, 0, 0], weights, 1.0)
            best.see(candidates, costs, tie, keep=keep)
            for term in terms:
                term.refit(weights, known)
        mean = _joined([term.mean for term in terms], action_rep)[:, 0]
        return Plan(best.actions if keep else mean, best.cost, mean, scoring.scored)

    def _settled(self, costs: Tensor, best: _Best | None) -> bool:
        """Whether neither the weights nor the best sample depend on the rounding of costs (T, N) float64."""
        weights = self.weights(costs, 2.0 * TIE[torch.float64])
        return bool(((weights == 0.0) | (weights == 1.0)).all()) and (best is None or best.settled(costs))

    def _refitted(self, samples: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
        return spread(samples, weights, mean, self.refit)


class _Best:
    """The best samples of all iterations so far, or only what the last iteration's best costs.

    A later sample takes the place of an earlier one where it is cheaper by more than a tie.
    """

    def __init__(self, begun: Tensor) -> None:
        self.actions = begun
        self.cost = torch.full((len(begun),), torch.inf, dtype=torch.float64)

    def see(self, candidates: Tensor, costs: Tensor, tie: float, *, keep: bool) -> None:
        """The candidates (T, N, H, *shape) of an iteration and their costs (T, N)."""
        index, lowest, better = self._found(costs, tie)
        if not keep:
            self.cost = lowest
            return
        found = candidates[torch.arange(len(candidates)), index]
        self.actions = torch.where(better.view(-1, *[1] * (found.dim() - 1)), found, self.actions)
        self.cost = torch.where(better, lowest, self.cost)

    def settled(self, costs: Tensor) -> bool:
        """Whether the same sample is found, and found better or not, however wide a tie is and wherever in it the
        costs (T, N) float64 lie."""
        tie = TIE[torch.float64]
        (index, lowest, better), (other, _, worse) = (self._found(costs, width * tie) for width in (0.5, 2.0))
        # Two costs that cancel to almost nothing have the rounding of what they are sums of.
        apart = (lowest - self.cost).abs() > tie * costs.abs().median(-1).values
        return torch.equal(index, other) and torch.equal(better, worse) and bool(apart.all())

    def _found(self, costs: Tensor, tie: float) -> tuple[Tensor, Tensor, Tensor]:
        """The cheapest sample of each task (T,), its cost, and whether that is better than what was found before."""
        index, lowest = cheapest(costs, tie)
        return index, lowest, lowest < self.cost - tie * self.cost.abs().nan_to_num(posinf=0.0)


class _Term:
    """One term of the actions' rep while a plan is made: mean, spread and candidates (T, H, A, width, N)."""

    def __init__(
        self, planner: SamplingPlanner, kind: Kind, shape: Sequence[int], *, axes: Tensor | None, mean: Tensor
    ) -> None:
        tasks, horizon, copies, width = shape
        self.planner, self.mean = planner, mean[..., None]
        self.scale = initial_spread(planner.sigma, planner.refit, (tasks, horizon, copies, width))
        self.axes = None if axes is None else _turning(kind, axes)
        self.buffer = np.empty((tasks, horizon, copies, width, planner.samples))
        self.candidates = self.mean

    def draw(self, *, first: bool) -> Tensor:
        """The candidates, of the noise that lies in the buffer; the first of them is the mean itself if asked for."""
        noise, planner = torch.from_numpy(self.buffer), self.planner
        if first and planner.carry == "best":
            noise[..., 0] = 0.0
        noise = noise if self.axes is None else self.axes @ noise
        self.candidates = constrained(
            scattered(noise, self.scale, planner.refit).add_(self.mean), planner.constraint, planner.reach
        )
        return self.candidates

    def refit(self, weights: Tensor, known: Tensor) -> None:
        """Mean and spread of the weighted candidates, for the tasks that have learnt something."""
        new = weighted_mean(self.candidates, weights)
        spread_ = self.planner.next_spread(self.candidates, weights, new, self.scale)
        self.scale = torch.where(known, spread_, self.scale)
        self.mean = torch.where(known, new, self.mean)


def _turning(kind: Kind, axes: Tensor) -> Tensor | None:
    """rho(Q) of one copy, (T, 1, 1, width, width); None where nothing turns it."""
    if kind == VECTOR:
        return axes[:, None, None]
    matrix = Rep(((1, kind),), axes.shape[-1]).matrix(Elements(axes, axes.new_zeros(axes.shape[:-1])))
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    return None if bool((matrix == identity).all()) else matrix[:, None, None]


def _parted(actions: Tensor, rep: Rep) -> list[Tensor]:
    """Actions (T, H, *rep.shape) term by term: (T, H, copies, width) each."""
    flat = actions.flatten(2)
    widths = [(count, kind.dim(rep.d)) for count, kind in rep.terms]
    parts = flat.split([count * width for count, width in widths], -1)
    return [part.unflatten(-1, copies) for part, copies in zip(parts, widths, strict=True)]


def _joined(parts: Sequence[Tensor], rep: Rep) -> Tensor:
    """The terms (T, H, copies, width, N) as actions (T, N, H, *rep.shape)."""
    if rep.structured:
        whole = parts[0] if len(parts) == 1 else torch.cat(list(parts), 2)
        return whole.permute(0, 4, 1, 2, 3)
    return torch.cat([part.flatten(2, 3) for part in parts], 2).permute(0, 3, 1, 2)


def _as(value: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    return shaped(value, shape, what).double()
