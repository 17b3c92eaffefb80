"""Claim C: planner and world equivariant too, the whole closed loop is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from equiwm.claims.closed_loop.result import ClosedLoopResult
from equiwm.claims.reproduce.sources import Measurement, PaperClaim, Size, SourcedStatement, stated
from equiwm.claims.statement import (
    Bound,
    Estimate,
    above,
    at_least,
    at_most,
    below,
    each_seed,
    near,
    over_seeds_and_tasks,
)

EXACT_DEG = 1e-6
ROUNDED_DEG = 1e-2
"""Half of the pairs of a loop in float32 differ by no more; of others a rounded cost has changed a plan."""
PAPER_2D, PAPER_3D = "90,150,210,270", "se3:4"
TASKS_2D, TASKS_3D = 48, 24


def _largest_of(result: ClosedLoopResult) -> float:
    return result.paired_abs_max_deg


largest_difference = each_seed(_largest_of)
"""Reads max |d_i| in degrees, of each seed."""


def _median_of(result: ClosedLoopResult) -> float:
    return result.paired_abs_median_deg


def _errors(results: Sequence[ClosedLoopResult]) -> tuple[np.ndarray, np.ndarray]:
    """Degrees (S, K): the mean over unseen orientations, and the seen one, of each seed and task."""
    errors = np.array([result.error_deg for result in results], dtype=float)
    return errors[..., 1:].mean(-1), errors[..., 0]


def _solved(result: ClosedLoopResult) -> float:
    """Share of the tasks solved at unseen orientations."""
    return result.success_rate.any.ood


solved_unseen = each_seed(_solved)
"""Reads the share of the tasks solved at unseen orientations, of each seed."""


def _solved_less(result: ClosedLoopResult) -> float:
    return _solved(result) - result.success_rate.any.seen


def _closed(result: ClosedLoopResult) -> float:
    """Share of the orientation gap closed at unseen orientations."""
    return result.fraction_closed.ood


def _closed_less(result: ClosedLoopResult) -> float:
    return _closed(result) - result.fraction_closed.seen


def difference(results: Sequence[ClosedLoopResult]) -> Estimate:
    """Unseen minus seen: mean over seeds and tasks, with the 95% bootstrap interval that resamples both."""
    unseen, seen = _errors(results)
    return over_seeds_and_tasks(unseen - seen)


def ratio(results: Sequence[ClosedLoopResult]) -> Estimate:
    """Unseen over seen: ratio of the means over seeds and tasks, with the interval that resamples both."""
    unseen, seen = _errors(results)
    return over_seeds_and_tasks(unseen, seen)


def statements(size: Size) -> list[SourcedStatement[Any]]:
    """The paper's rows with its planner, which is told the rotation; then the planner that reads it off the state."""

    def plane(preset: str, planner: str, dtype: str = "float64") -> Measurement:
        return size.measure(preset, "closed-loop", planner=planner, orbit=PAPER_2D, dtype=dtype, tasks=TASKS_2D)

    def space(preset: str, planner: str, dtype: str = "float64") -> Measurement:
        return size.measure(preset, "closed-loop", planner=planner, orbit=PAPER_3D, dtype=dtype, tasks=TASKS_3D)

    vn, mlp = "VN (vn-2d-forward), 2D", "MLP (mlp-2d-forward), 2D"
    told, state, ordinary = ", planner told the rotation", ", planner told nothing", ", ordinary planner"
    vn_3d, mlp_3d = "VN (vn-3d-paper), 3D", "MLP (mlp-3d), 3D"
    goal_vn, goal_mlp = "VN (vn-3d-goal), 3D, goals in the latent", "MLP (mlp-3d-goal), 3D, goals in the latent"
    minus, largest, over = "unseen minus seen, deg", "max |d_i|, deg", "unseen / seen"

    rounded, rounded_3d = (
        plane("vn-2d-forward", "equivariant", "float32"),
        space("vn-3d-paper", "equivariant", "float32"),
    )
    median, lost, closed, opened = map(each_seed, (_median_of, _solved_less, _closed, _closed_less))
    paper = [
        stated(vn + told, largest, "4.9e-5", plane("vn-2d-forward", "paper"), largest_difference, at_most(1e-3)),
        stated(vn + told, minus, "0", plane("vn-2d-forward", "paper"), difference, near(0.0, 1e-3)),
        stated(mlp + told, minus, "+3.68 [+1.49, +6.02]", plane("mlp-2d-forward", "paper"), difference, above(0.0)),
        stated(vn + ordinary, largest, "34", plane("vn-2d-forward", "ordinary"), largest_difference, at_least(0.1)),
        stated(vn_3d + told, largest, "3.5", space("vn-3d-paper", "paper"), largest_difference, at_most(3.5)),
        stated(vn_3d + told, over, "0.989 [0.977, 0.999]", space("vn-3d-paper", "paper"), ratio, near(1.0, 0.023)),
        stated(mlp_3d + told, over, "1.134 [1.049, 1.234]", space("mlp-3d", "paper"), ratio, above(1.0)),
    ]
    ours: list[tuple[str, str, Measurement, Callable[[Sequence[ClosedLoopResult]], Estimate], Bound]] = [
        (vn + state, largest, plane("vn-2d-forward", "equivariant"), largest_difference, at_most(EXACT_DEG)),
        (vn + state, "tasks solved, unseen", plane("vn-2d-forward", "equivariant"), solved_unseen, at_least(0.5)),
        (mlp + state, "tasks solved, unseen minus seen", plane("mlp-2d-forward", "equivariant"), lost, below(0.0)),
        (vn_3d + state, largest, space("vn-3d-paper", "equivariant"), largest_difference, at_most(EXACT_DEG)),
        (goal_vn + state, largest, space("vn-3d-goal", "equivariant"), largest_difference, at_most(EXACT_DEG)),
        (goal_vn + state, "gap closed, unseen", space("vn-3d-goal", "equivariant"), closed, at_least(0.5)),
        (goal_mlp + state, "gap closed, unseen minus seen", space("mlp-3d-goal", "equivariant"), opened, below(0.0)),
        (vn + state, "median |d_i|, deg", rounded, median, at_most(ROUNDED_DEG)),
        (vn + state, largest, rounded, largest_difference, above(EXACT_DEG)),
        (vn_3d + state, largest, rounded_3d, largest_difference, at_most(EXACT_DEG)),
    ]
    beyond = [stated(where, what, "–", source, read, bound, ours=True) for where, what, source, read, bound in ours]
    return [*paper, *beyond]


CLAIM = PaperClaim("C", "With an equivariant planner the whole closed loop is invariant.", statements)
