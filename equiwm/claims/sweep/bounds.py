"""What has to hold of a sweep: the error is the same in every bin."""

from __future__ import annotations

from equiwm.audit.verdict import TOLERANCES
from equiwm.claims.sweep.result import SweepResult


def broken(result: SweepResult) -> str | None:
    """Why a sweep is not flat to its precision, or None where it is; NaN is not."""
    if result.outcomes == "recorded":
        return (
            "not decided: bins of recorded orientations hold other situations each; world.symmetric=yes turns one set."
        )
    bound = TOLERANCES[result.dtype]
    return None if result.flatness <= bound else f"not invariant: flatness {result.flatness:.1e} > {bound:.0e}."
