"""Augmentation: error and residual against the coverage of the group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.report.ablation.panels import draw_panels, over_seeds_frame
from equiwm.report.ablation.view import QUANTITIES, cell_table
from equiwm.tables.table import Table

_NAMES = {"vn": "VN", "mlp": "MLP"}
_WHOLE = "Where the coverage is the whole group there is no unseen orientation: OOD is then other turns over the group."
_BALL = "Seen is the wedge about z whatever the augmentation covers, OOD the whole group."
_LATENT = "relMSE is in each model's own latent: it shows flatness and is not compared between models."


def _coverage(row: Mapping[str, Any]) -> str:
    return "none" if row["coverage"] is None else f"{row['coverage']:g}"


def tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """One table a dimension, a row for each network and coverage."""
    rows = [{**row, "label": f"{_NAMES[row['arm']]}, coverage {_coverage(row)}"} for row in entry["rows"]]
    notes = (_BALL if entry["world"] == "cloud" else _WHOLE, *[_LATENT] * (entry["world"] != "field"))
    return [
        cell_table(f"{name}: {entry['world']} in {dim}D", "training", rows, dim, notes=notes) for dim in entry["dims"]
    ]


def figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """OOD/seen and residual over the coverage, the VN without augmentation as a line across."""
    rows = [{**row, "network": _NAMES[row["arm"]], "coverage": _coverage(row)} for row in entry["rows"]]
    quantities = {key: QUANTITIES[key] for key in ("ood_factor", "relative_residual")}
    frame = over_seeds_frame(rows, ("dim", "network", "coverage"), list(quantities))
    return draw_panels(
        frame,
        quantities,
        x="coverage",
        line="network",
        x_label="orientations covered by augmentation (degrees)",
        folder=folder,
        name="ablate_augmentation",
    )
