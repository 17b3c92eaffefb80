"""What has to hold of rollouts: they are as flat at every horizon as one step is."""

from __future__ import annotations

from equiwm.audit.verdict import TOLERANCES
from equiwm.claims.rollout.result import RolloutResult
from equiwm.stats import largest


def departure(result: RolloutResult) -> float:
    """How far from invariant: the largest |OOD factor - 1| and relative residual over the horizons; NaN counts."""
    return largest([abs(factor - 1.0) for factor in result.ood_factor] + result.relative_residual)


def broken(result: RolloutResult) -> str | None:
    """Why rollouts are not flat to their precision, or None where they are."""
    if result.compared in ("recorded", "nothing"):
        return "not decided: unseen orientations are other recorded sequences, or none; world.symmetric=yes turns them."
    bound, off = TOLERANCES[result.dtype], departure(result)
    return None if off <= bound else f"not invariant: OOD factor or residual off by {off:.1e} > {bound:.0e}."
