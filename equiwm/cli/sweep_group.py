"""`equiwm sweep-group`: the claim's command, and its other form, success over the orbit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from equiwm.claims.claim import JOBS, Option
from equiwm.claims.success.claim import CLAIM as SUCCESS
from equiwm.claims.success.claim import MOST_BINS, TASKS
from equiwm.claims.sweep.claim import CLAIM
from equiwm.cli.measure import Shared, measuring_command, run_claim
from equiwm.cli.options import Device, Dtype
from equiwm.errors import ConfigError

LOOP = (
    Option(
        "success",
        bool,
        False,
        "success in closed loop in every bin, in place of the error; in float64 on the CPU unless it is said otherwise",
    ),
    Option("tasks", int, help=r"with --success: tasks, the same in every bin \[16]", low=2, high=10_000),
    Option("jobs", int, -1, f"with --success: {JOBS.help}", parse=JOBS.parse),
)
"""Options of success over the orbit."""
_OTHERS = {
    "group": "turns tasks by the world's own group",
    "transitions": "closes the loop on --tasks",
}
"""Options of the error alone, and what success does instead."""


def _success(shared: Shared, options: Mapping[str, Any], given: frozenset[str]) -> bool:
    """Close the loop in every bin, if that was asked for.

    Raises:
        ConfigError: an option of the one form with the other; more bins than tasks are turned into.
    """
    if not options["success"]:
        for name in ("tasks", "jobs"):
            if name in given:
                raise ConfigError(f"--{name} goes with --success; the error is measured on --transitions.")
        return False
    for name, does in _OTHERS.items():
        if name in given:
            raise ConfigError(f"--success {does}; leave --{name} out.")
    if (options["bins"] or 2) > MOST_BINS:
        raise ConfigError(f"--bins: got {options['bins']}, expected at most {MOST_BINS} with --success.")
    if "dtype" not in given:  # contacts and replanning enlarge the rounding of float32
        shared = replace(shared, dtype=Dtype(SUCCESS.dtype))
    if "device" not in given:
        shared = replace(shared, device=Device(SUCCESS.device))
    own = {"bins": options["bins"], "tasks": options["tasks"] or TASKS, "jobs": options["jobs"]}
    run_claim(SUCCESS, shared, own, own)
    return True


sweep_group = measuring_command(CLAIM, LOOP, _success)
