"""Claim B: is the error the same on the whole group? `equiwm sweep-group` asks it."""

from equiwm.claims.claim import Claim, Option
from equiwm.claims.sweep.result import SweepResult

CLAIM: Claim[SweepResult] = Claim(
    "sweep_group",
    SweepResult,
    "equiwm.claims.sweep.view:VIEW",
    command="sweep-group",
    help="""Measure the one-step error in every orientation bin: table, read-outs and a figure.

    Example: equiwm sweep-group runs/vn-2d --group so2 --baseline runs/mlp-2d
    """,
    measure="equiwm.claims.sweep.measure:sweep",
    options=(
        Option("group", str, help=r"so2, so3, se3, o2, c5z, ... or your own as module:name \[the world's own]"),
        Option("bins", int, help="angles round the circle [36], or random elements in space [64]", low=2, high=3600),
        Option("transitions", int, 1000, "held-out transitions", low=2),
    ),
    bounds="equiwm.claims.sweep.bounds:broken",
    expectation="exit with 1 unless the error is flat to 1e-5 (1e-10 in float64)",
)
