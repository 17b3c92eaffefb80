"""How often the criteria of everybody who measures a world were met."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equiwm.claims.closed_loop.result import CriterionRate, TaskResult
from equiwm.stats import wilson_interval


def judged(tasks: Sequence[TaskResult], seconds: Sequence[float] | None, asks: Mapping[str, str]) -> dict[str, Any]:
    """The fields of `ClosedLoopResult` that say how often each criterion was met, and what an episode was worth.

    Args:
        tasks: results of K tasks at M orientations.
        seconds: CPU seconds of each; None leaves them out, and the result is the same every time.
        asks: criterion by source -> words; empty in a world that nobody else measures.
    """
    if not asks:
        return {}
    reward = np.array([task.reward for task in tasks])
    return {
        "criteria": {source: _rate(source, words, tasks) for source, words in asks.items()},
        "mean_max_reward": float(reward[:, 0].mean()),
        "max_reward": reward.tolist(),
        "episodes": reward.size,
        "seconds_per_episode": math.nan if seconds is None else sum(seconds) / reward.size,
    }


def _rate(source: str, words: str, tasks: Sequence[TaskResult]) -> CriterionRate:
    met = np.array([task.reached[source] for task in tasks])
    success, interval = _share(met[:, 0])
    turned, turned_interval = _share(met[:, 1:])
    return CriterionRate(
        asks=words,
        success=success,
        ci95=interval,
        turned=turned,
        turned_ci95=turned_interval,
        turned_minus_seen=turned - success,
        at_start=sum(task.begun[source][0] for task in tasks),
        met=met.tolist(),
    )


def _share(met: np.ndarray) -> tuple[float, tuple[float, float]]:
    if not met.size:
        return math.nan, (math.nan, math.nan)
    found = wilson_interval(int(met.sum()), met.size)
    return found.estimate, (found.low, found.high)
