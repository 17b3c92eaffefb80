"""Claim rollout: flat at every horizon."""

from __future__ import annotations

from typing import Any

import numpy as np

from equiwm.claims.reproduce.sources import PaperClaim, Size, SourcedStatement, stated
from equiwm.claims.residual.paper import TOLERANCE
from equiwm.claims.rollout.result import RolloutResult
from equiwm.claims.statement import FLAT, NOT_FLAT, at_least, at_most, each_seed
from equiwm.claims.sweep.paper import EXACT

HORIZONS = (1, 2, 4, 8, 16)
GROWTH = 2.0
"""An ordinary model's residual at the last horizon is at least so many times that at the first."""


def _off(result: RolloutResult) -> float:
    """max over the horizons of |OOD factor - 1|; NaN, which the maximum passes on, where the model diverges."""
    return float(np.abs(np.asarray(result.ood_factor) - 1.0).max())


def _largest(result: RolloutResult) -> float:
    return float(np.max(result.ood_factor))


def _residual(result: RolloutResult) -> float:
    return float(np.max(result.relative_residual))


def _growth(result: RolloutResult) -> float:
    """Residual of the last horizon over that of the first."""
    return result.relative_residual[-1] / result.relative_residual[0]


def statements(size: Size) -> list[SourcedStatement[Any]]:
    """Factor and residual over the horizons, in the plane and in space; then in float64."""
    off, largest, residual, growth = map(each_seed, (_off, _largest, _residual, _growth))
    spread = f"H = {HORIZONS[0]} to {HORIZONS[-1]}"
    lines, exact = [], []
    for dim, vn_paper, mlp_paper, grows in (
        (2, "2.3e-7", "43 to 51", "16 (2.3e-2 to 0.37)"),
        (3, "1.6e-7", "up to 66", "12 (3.9e-2 to 0.45)"),
    ):
        presets = f"vn-field-{dim}d", f"mlp-field-{dim}d"
        vn, mlp = (f"{arm} ({preset}), {dim}D" for arm, preset in zip(("VN", "MLP"), presets, strict=True))
        of_vn, of_mlp = (size.measure(preset, "rollout", horizons=HORIZONS, dtype="float32") for preset in presets)
        double = size.measure(presets[0], "rollout", horizons=HORIZONS, dtype="float64")
        lines += [
            stated(vn, f"max |OOD factor - 1|, {spread}", "0.00", of_vn, off, at_most(FLAT)),
            stated(vn, f"max relative residual, {spread}", vn_paper, of_vn, residual, at_most(TOLERANCE["float32"])),
            stated(mlp, f"max OOD factor, {spread}", mlp_paper, of_mlp, largest, at_least(NOT_FLAT)),
            stated(mlp, f"residual at H = {HORIZONS[-1]} over H = 1", grows, of_mlp, growth, at_least(GROWTH)),
        ]
        quantity = f"max relative residual, float64, {spread}"
        exact.append(stated(vn, quantity, "–", double, residual, at_most(EXACT), ours=True))
    return [*lines, *exact]


CLAIM = PaperClaim("rollout", "Rollouts are flat across the group at every horizon.", statements)
