"""`equiwm sweep-group`: the claim's command, and its other form, success over the orbit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from equiwm.claims.claim import JOBS, Option
from equiwm.claims.success.claim import CLAIM as SUCCESS
from equiwm.claims.sweep.claim import CLAIM
from equiwm.cli.measure import Shared, measuring_command, run_claim
from equiwm.cli.options import Dtype
from equiwm.errors import ConfigError

LOOP = (
    Option("success", bool, False, "success in closed loop in every bin, in place of the error; always in float64"),
    Option("tasks", int, help=r"with --success: tasks, the same in every bin \[16]", low=2, high=10_000),
    Option("jobs", int, -1, JOBS.help, parse=JOBS.parse),
)
"""Options of success over the orbit."""


def _success(shared: Shared, options: Mapping[str, Any]) -> bool:
    """Close the loop in every bin, if that was asked for."""
    if not options["success"]:
        if options["tasks"] is not None:
            raise ConfigError("--tasks goes with --success; the error is measured on --transitions.")
        return False
    if options["group"] is not None:
        raise ConfigError("--success turns tasks by the world's own group; leave --group out.")
    shared = replace(shared, dtype=Dtype(SUCCESS.dtype))  # contacts and replanning enlarge the rounding of float32
    own = {"bins": options["bins"], "tasks": options["tasks"] or 16, "jobs": options["jobs"]}
    run_claim(SUCCESS, shared, own, own)
    return True


sweep_group = measuring_command(CLAIM, LOOP, _success)
