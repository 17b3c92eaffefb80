"""Claim rollout: flat at every horizon."""

from __future__ import annotations

import numpy as np

from equiwm.claims.reproduce.orbit import EXACT, FLAT, GAP
from equiwm.claims.reproduce.residual import TOLERANCE
from equiwm.claims.reproduce.statement import Claim, Entry, Size, Statement, at_least, at_most, each_seed

HORIZONS = (1, 2, 4, 8, 16)
GROWTH = 2.0
"""An ordinary model's residual at the last horizon is at least so many times that at the first."""


def _over_horizons(entry: Entry, key: str) -> np.ndarray:
    """One number a horizon, NaN where the model diverges."""
    return np.asarray(entry[key], dtype=float)


def statements(size: Size) -> list[Statement]:
    """Factor and residual over the horizons, in the plane and in space; then in float64."""
    off = each_seed(lambda entry: float(np.abs(_over_horizons(entry, "ood_factor") - 1.0).max()))
    largest = each_seed(lambda entry: float(_over_horizons(entry, "ood_factor").max()))
    residual = each_seed(lambda entry: float(_over_horizons(entry, "relative_residual").max()))
    growth = each_seed(lambda entry: float(np.divide(*_over_horizons(entry, "relative_residual")[[-1, 0]])))
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
            Statement(vn, f"max |OOD factor - 1|, {spread}", "0.00", of_vn, off, at_most(FLAT)),
            Statement(vn, f"max relative residual, {spread}", vn_paper, of_vn, residual, at_most(TOLERANCE["float32"])),
            Statement(mlp, f"max OOD factor, {spread}", mlp_paper, of_mlp, largest, at_least(GAP)),
            Statement(mlp, f"residual at H = {HORIZONS[-1]} over H = 1", grows, of_mlp, growth, at_least(GROWTH)),
        ]
        quantity = f"max relative residual, float64, {spread}"
        exact.append(Statement(vn, quantity, "–", double, residual, at_most(EXACT), ours=True))
    return [*lines, *exact]


CLAIM = Claim("rollout", "Rollouts are flat across the group at every horizon.", statements)
