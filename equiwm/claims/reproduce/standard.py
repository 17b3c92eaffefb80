"""Claim standard, beside the paper: PushT as others measure it, as it stands and turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equiwm.claims.closed_loop.paper import largest_difference
from equiwm.claims.closed_loop.result import ClosedLoopResult
from equiwm.claims.reproduce.sources import Measurement, PaperClaim, Size, SourcedStatement, stated
from equiwm.claims.statement import Bound, Estimate, at_least, at_most, each_seed, near, over_seeds_and_tasks

SOURCE = "gym-pusht"
"""Whose criterion: coverage above 0.95."""
RESETS_SEED = 2027
"""Of the resets: data, cost and planner were chosen on others (`docs/pusht.md`)."""
ORBIT = "180,101.3"
EXACT_DEG = 1e-9
PUBLIC = Bound(0.65, None, "at least 0.65, a diffusion policy's")
"""LeRobot's on the same task, from pixels and 206 human demonstrations: 0.60 to 0.65."""


def _success(result: ClosedLoopResult) -> float:
    return result.criteria[SOURCE].success


def _reward(result: ClosedLoopResult) -> float:
    return result.mean_max_reward


def turned_minus_seen(results: Sequence[ClosedLoopResult]) -> Estimate:
    """Success over the orbit less success as the tasks stand: mean over seeds and tasks, the interval over both."""
    met = np.array([result.criteria[SOURCE].met for result in results], dtype=float)
    return over_seeds_and_tasks(met[..., 1:].mean(-1) - met[..., 0])


def statements(size: Size) -> list[SourcedStatement[Any]]:
    """Success and reward of the equivariant model and of the ordinary one; then the same tasks turned."""

    def played(preset: str, task: str, tasks: int, **orbit: str) -> Measurement:
        return size.measure(
            preset,
            "closed-loop",
            planner="equivariant",
            **orbit,
            task=task,
            dtype="float64",
            tasks=tasks,
            seed=RESETS_SEED,
        )

    vn, mlp = "VN (vn-2d-arena), 2D, gym-pusht's task", "MLP (mlp-2d-arena), 2D, gym-pusht's task"
    ours, theirs = played("vn-2d-arena", "standard", 100), played("mlp-2d-arena", "standard", 20)
    turned = played("vn-2d-arena", "standard-turned", 30, orbit=ORBIT)
    success, reward = each_seed(_success), each_seed(_reward)
    rows = [
        (vn, "success, coverage > 0.95", ours, success, at_least(0.9)),
        (vn, "mean maximal reward", ours, reward, at_least(0.99)),
        (mlp, "success, coverage > 0.95", theirs, success, PUBLIC),
        (mlp, "mean maximal reward", theirs, reward, at_least(0.95)),
        (f"{vn}, turned", "success less that as seen", turned, turned_minus_seen, near(0.0, 0.05)),
        (f"{vn}, turned", "max |d_i| of pairs free of walls, deg", turned, largest_difference, at_most(EXACT_DEG)),
    ]
    return [stated(where, what, "–", source, read, bound, ours=True) for where, what, source, read, bound in rows]


CLAIM = PaperClaim("standard", "PushT as others measure it is solved, and at every orientation alike.", statements)
