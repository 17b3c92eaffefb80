"""How often the criteria of everybody who measures a world were met."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equiwm.claims.closed_loop.result import CriterionRate, TaskResult
from equiwm.stats import wilson_interval


def judged(tasks: Sequence[TaskResult], seconds: Sequence[float], asks: Mapping[str, str]) -> dict[str, Any]:
    """The fields of `ClosedLoopResult` that say how often each criterion was met, and what an episode was worth.

    Episodes that never began, because the turn had put their start into a wall, are in no share; they are compared with
    nothing either.

    Args:
        tasks: results of K tasks at M orientations.
        seconds: CPU seconds of each.
        asks: criterion by source -> words; empty in a world that nobody else measures.
    """
    if not asks:
        return {}
    driven = np.array([[reason is None or not _never_began(reason) for reason in task.excluded] for task in tasks])
    reward = np.array([task.reward for task in tasks])
    return {
        "criteria": {source: _rate(source, words, tasks, driven) for source, words in asks.items()},
        "mean_max_reward": float(reward[:, 0].mean()),
        "max_reward": reward.tolist(),
        "episodes": int(driven.sum()),
        "seconds_per_episode": float(sum(seconds) / driven.sum()),
    }


NEVER_BEGAN = "no start: "
"""How a reason begins for which an episode was not driven at all."""


def _never_began(reason: str) -> bool:
    return reason.startswith(NEVER_BEGAN)


def _rate(source: str, words: str, tasks: Sequence[TaskResult], driven: np.ndarray) -> CriterionRate:
    met = np.array([task.reached[source] for task in tasks])
    success, interval = _share(met[:, 0])
    turned, turned_interval = _share(met[:, 1:][driven[:, 1:]])
    apart = (met[:, 1:].astype(float) - met[:, :1])[driven[:, 1:]]
    return CriterionRate(
        asks=words,
        success=success,
        ci95=interval,
        turned=turned,
        turned_ci95=turned_interval,
        turned_minus_seen=float(apart.mean()) if apart.size else math.nan,
        at_start=sum(task.begun[source][0] for task in tasks),
        met=met.tolist(),
    )


def _share(met: np.ndarray) -> tuple[float, tuple[float, float]]:
    if not met.size:
        return math.nan, (math.nan, math.nan)
    found = wilson_interval(int(met.sum()), met.size)
    return found.estimate, (found.low, found.high)
