"""What has to hold of rollouts: they are as flat at every horizon as one step is."""

from __future__ import annotations

import math

from equiwm.audit.verdict import TOLERANCES
from equiwm.claims.rollout.result import RolloutResult


def departure(result: RolloutResult) -> float:
    """How far from invariant: the largest |OOD factor - 1| and relative residual over the horizons; NaN counts."""
    values = [abs(factor - 1.0) for factor in result.ood_factor] + result.relative_residual
    return math.nan if any(math.isnan(value) for value in values) else max(values)


def broken(result: RolloutResult) -> str | None:
    """Why rollouts are not flat to their precision, or None where they are."""
    bound, off = TOLERANCES[result.dtype], departure(result)
    return None if off <= bound else f"not invariant: OOD factor or residual off by {off:.1e} > {bound:.0e}."
