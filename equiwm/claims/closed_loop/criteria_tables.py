"""The criteria of everybody who measures a world, as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

from equiwm.claims.closed_loop.result import ClosedLoopResult
from equiwm.tables.table import Table, number


def _share(value: float, interval: tuple[float, float]) -> str:
    return number(None) if math.isnan(value) else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def criteria_table(shown: Mapping[str, ClosedLoopResult], name: str) -> Table | None:
    """Success by every criterion, each named by its source, and what an episode was worth; None without criteria."""
    some = next(iter(shown.values()))
    if not some.criteria:
        return None
    turned = bool(some.orbit)
    headings = ("criterion", "model", "success [95%]", *(("turned [95%]", "turned - seen") if turned else ()))
    rows = [
        (
            source,
            model,
            _share(rate.success, rate.ci95),
            *((_share(rate.turned, rate.turned_ci95), number(rate.turned_minus_seen)) if turned else ()),
        )
        for source in some.criteria
        for model, side in shown.items()
        if (rate := side.criteria.get(source)) is not None
    ]
    notes = [
        f"{source}: {rate.asks}; met at the start by {rate.at_start} of {some.tasks}."
        for source, rate in some.criteria.items()
    ]
    for model, side in shown.items():
        reward = "" if math.isnan(side.mean_max_reward) else f"mean max reward {side.mean_max_reward:.4f}, "
        cost = side.seconds_per_episode
        seconds = "" if math.isnan(cost) else f", {number(cost)} CPU seconds each"
        notes.append(f"{model}: {reward}{side.episodes} episodes{seconds}; sees {side.sees}.")
    notes.append("Intervals are Wilson's, over episodes." + (f" Tasks: {some.goals}." if some.goals else ""))
    return Table(f"{name}: success by everybody's criterion, task {some.task}", headings, rows, tuple(notes))
