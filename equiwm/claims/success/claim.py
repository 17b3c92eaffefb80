"""Does the model solve as many tasks at every orientation? `equiwm sweep-group --success` asks it."""

from equiwm.claims.claim import JOBS, Claim, Option
from equiwm.claims.success.result import SuccessSweep

MOST_BINS = 360
"""Orientations of one sweep at most: each is an episode a task."""
TASKS = 16

CLAIM: Claim[SuccessSweep] = Claim(
    "sweep_success",
    SuccessSweep,
    "equiwm.claims.success.view:VIEW",
    command="sweep-group --success",
    help="Success in closed loop at every orientation of the orbit, with Wilson intervals.",
    measure="equiwm.claims.success.measure:success_sweep",
    options=(
        Option("bins", int, help=r"orientations, that of the tasks included \[12]", low=2, high=MOST_BINS),
        Option("tasks", int, TASKS, "tasks, the same at every orientation", low=2, high=10_000),
        JOBS,
    ),
    bounds="equiwm.claims.success.measure:broken",
    expectation="exit with 1 unless every task is solved at all orientations or at none",
    dtype="float64",
    device="cpu",
)
