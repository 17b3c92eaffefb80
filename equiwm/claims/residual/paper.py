"""Claim A: the residual is rounding after training as before it, whichever optimiser trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from equiwm.claims.reproduce.sources import PaperClaim, Size, SourcedStatement, stated
from equiwm.claims.residual.result import OptimizerStudy, VerifyResult
from equiwm.claims.statement import Estimate, at_least, at_most, each_seed
from equiwm.stats import largest

ROUNDING = 1e-4
"""Largest absolute entry of a residual that is float32 rounding: the largest of two million entries, of latents
whose own size is some units."""
BROKEN = 1e-2
"""An ordinary network's largest entry is at least this."""
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
"""Of relative residuals, as verify-equivariance has it."""

_OPTIMIZERS = {"muon": "3.2e-6", "adamw": "3.2e-6", "adam": "1.6e-6", "sgd": "8.9e-7"}


def trained(name: str) -> Callable[[Sequence[VerifyResult]], Estimate]:
    """Reads a figure of the trained network (`VerifyResult.trained`), of each seed."""
    return each_seed(lambda result: float(getattr(result.trained, name)))


def _passed(result: VerifyResult) -> float:
    return float(result.passed)


def _under(optimizer: str, name: str) -> Callable[[Sequence[OptimizerStudy]], Estimate]:
    """Of one optimiser's row."""
    return each_seed(lambda study: next(getattr(row, name) for row in study.rows if row.optimizer == optimizer))


def _worst(name: str) -> Callable[[Sequence[OptimizerStudy]], Estimate]:
    """Of all optimisers."""
    return each_seed(lambda study: largest(getattr(row, name) for row in study.rows))


def statements(size: Size) -> list[SourcedStatement[Any]]:
    """Three pairs of models, then the optimisers, then the same networks in float64."""
    lines: list[SourcedStatement[Any]] = []
    exact: list[SourcedStatement[Any]] = []
    pairs = [
        ("2D latent", "vn-2d-paper", "mlp-2d", "so2", ("2.9e-6", "3.6"), ("1.5e-7", "0.40 to 0.85")),
        ("3D latent", "vn-3d-paper", "mlp-3d", "so3", ("3.0e-5", "4.30"), ("7.2e-7", "0.40 to 0.85")),
        ("2D forward model", "vn-2d-forward", "mlp-2d-forward", "so2", ("5.4e-7", "0.25"), None),
    ]
    for setting, vn, mlp, group, residual, drift in pairs:
        for index, (preset, arm) in enumerate(((vn, "VN"), (mlp, "MLP"))):
            source = size.measure(preset, "verify-equivariance", group=group, dtype="float32")
            name = f"{arm} ({preset}), {setting}"
            bound = at_least(BROKEN) if index else at_most(ROUNDING)
            lines.append(stated(name, "max absolute residual", residual[index], source, trained("max_abs"), bound))
            if drift is not None:
                bound = at_least(BROKEN) if index else at_most(TOLERANCE["float32"])
                lines.append(stated(name, "cost drift", drift[index], source, trained("cost_drift"), bound))
    studies = [
        ("VN", "vn-3d-paper", "all", [*_OPTIMIZERS.items(), ("rmsprop", "–")], at_most(ROUNDING)),
        ("MLP", "mlp-3d", "adam", [("adam", "0.665")], at_least(BROKEN)),
    ]
    for arm, preset, names, rows, bound in studies:
        source = size.measure(preset, "verify-equivariance", group="so3", optimizers=names)
        for optimizer, paper in rows:
            lines.append(
                stated(
                    f"{arm} ({preset}), 3D latent, {optimizer}",
                    "max absolute residual",
                    paper,
                    source,
                    _under(optimizer, "max_abs"),
                    bound,
                    ours=paper == "–",
                )
            )
    every = size.measure("vn-3d-paper", "verify-equivariance", group="so3", optimizers="all")
    for setting, preset, group in (
        *((setting, vn, group) for setting, vn, _, group, *_ in pairs),
        ("2D latent", "vn-2d", "so2"),
        ("3D latent", "vn-3d", "se3"),
    ):
        for dtype, tolerance in TOLERANCE.items():
            source = size.measure(preset, "verify-equivariance", group=group, dtype=dtype)
            name = f"VN ({preset}), {setting}"
            quantity, bound = f"relative residual, {dtype}", at_most(tolerance)
            exact.append(stated(name, quantity, "–", source, trained("composed"), bound, ours=True))
        exact.append(
            stated(name, "verdict, 1 is equivariant", "–", source, each_seed(_passed), at_least(1.0), ours=True)
        )
    exact.append(
        stated(
            "VN (vn-3d-paper), 3D latent, any optimiser",
            "relative residual, float64",
            "–",
            every,
            _worst("float64"),
            at_most(TOLERANCE["float64"]),
            ours=True,
            dtype="float64",
        )
    )
    return [*lines, *exact]


CLAIM = PaperClaim(
    "A", "The symmetry survives training: residuals stay at rounding, under every optimiser.", statements
)
