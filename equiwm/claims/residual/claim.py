"""Claim A: is a trained network still equivariant? `equiwm verify-equivariance` asks it."""

from equiwm.claims.claim import Claim, Option
from equiwm.claims.residual.result import OptimizerStudy, VerifyResult

CLAIM: Claim[VerifyResult] = Claim(
    "verify_equivariance",
    VerifyResult,
    "equiwm.claims.residual.view:VIEW",
    command="verify-equivariance",
    help="""Measure whether a trained network is still equivariant; exits with 1 if it is not.

    The audit of encoder, predictor and both composed; their pooled residuals at initialisation and after training,
    beside an ordinary network that has to fail.

    Examples: equiwm verify-equivariance runs/vn-2d --dtype float64 ;
    equiwm verify-equivariance runs/vn-2d --optimizers all --jobs 2
    """,
    measure="equiwm.claims.residual.measure:verify",
    options=(
        Option("group", str, help=r"so2, so3, se3, o2, c5z, so2*s5, ... or your own as module:name \[the world's own]"),
        Option("samples", int, 64, "group elements to probe", low=1),
        Option("tolerance", float, None, r"a bound of your own on residuals, pooled and per channel \[none]", low=0.0),
        Option("world_rollouts", int, 0, "also measure the world's own symmetry, on so many rollouts", low=0),
    ),
    bounds="equiwm.claims.residual.bounds:broken",
)

OPTIMIZERS: Claim[OptimizerStudy] = Claim(
    "verify_equivariance", OptimizerStudy, "equiwm.claims.residual.view:OPTIMIZERS", study=True
)
"""The same of one network under every optimiser, which is a study."""
