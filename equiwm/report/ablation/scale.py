"""Scale: the grids of width and number of scenes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.report.ablation.panels import draw_panels, over_seeds_frame
from equiwm.report.ablation.view import QUANTITIES, grid_table
from equiwm.tables.table import Table

_SHOWN = ("ood_factor", "relative_residual", "float32_rounding", "seen_relmse")


def _labelled(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**row, "network": "VN, wedge alone" if row["arm"] == "vn" else f"MLP, width {row['width']}"}
        for row in entry["rows"]
    ]


def tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """For each dimension a grid of OOD/seen, of residuals, of what rounding alone does, and of seen errors."""
    rows = _labelled(entry)
    return [
        grid_table(f"{name}: {QUANTITIES[quantity]}, {dim}D", rows, quantity, dim, down="network", across="scenes")
        for dim in entry["dims"]
        for quantity in _SHOWN
    ]


def figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """OOD/seen and residual over the number of scenes, a line a width."""
    quantities = {key: QUANTITIES[key] for key in _SHOWN[:2]}
    frame = over_seeds_frame(_labelled(entry), ("dim", "network", "scenes"), list(quantities))
    return draw_panels(
        frame,
        quantities,
        x="scenes",
        line="network",
        x_label="training scenes",
        folder=folder,
        name="ablate_scale",
    )
