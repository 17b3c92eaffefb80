"""Softness: fit, OOD/seen, residual and free fraction from the hard VN to the free MLP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.report.ablation.panels import draw_panels, over_seeds_frame
from equiwm.report.ablation.view import QUANTITIES, grid_table
from equiwm.tables.table import Table

_SHOWN = {
    **{key: QUANTITIES[key] for key in ("seen_relmse", "ood_factor", "relative_residual", "float32_rounding")},
    "free_fraction": "free fraction |f_free|² / |f|²",
}
_ENDS = {"vn": "hard VN", "mlp": "free MLP"}


def _labelled(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**row, "network": _ENDS.get(row["arm"]) or f"β = {row['beta']:g}", "world": f"g = {row['breaking']:g}"}
        for row in entry["rows"]
    ]


def tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """For each dimension and quantity a grid: networks from hard to free, worlds from symmetric to broken."""
    rows = _labelled(entry)
    return [
        grid_table(f"{name}: {words}, {dim}D", rows, quantity, dim, down="network", across="world")
        for dim in entry["dims"]
        for quantity, words in _SHOWN.items()
    ]


def figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """Seen error, OOD/seen and residual from hard to free, a line a world."""
    quantities = {key: words for key, words in _SHOWN.items() if key not in ("float32_rounding", "free_fraction")}
    frame = over_seeds_frame(_labelled(entry), ("dim", "world", "network"), list(_SHOWN))
    return draw_panels(
        frame, quantities, x="network", line="world", x_label="softness", folder=folder, name="ablate_soft"
    )
