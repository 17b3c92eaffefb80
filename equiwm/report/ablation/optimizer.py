"""Optimisers: residual before and after training, and the distance from the commutant of a single layer."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.rows import over_seeds, select
from equiwm.report.ablation.panels import draw_panels, over_seeds_frame
from equiwm.tables.table import Table, interval

_NAMES = {"vn": "VN", "mlp": "MLP"}
_LAYERS = {"vn_layer": "vector-neuron layer", "dense_layer": "dense layer"}
_COLUMNS = {
    "initial_residual": "residual, initial",
    "relative_residual": "after training",
    "float32_rounding": "float32 rounding",
    "residual_float64": "float64",
    "loss_ratio": "loss last / first",
    "weights_moved": "moved",
    "control": "control (has to fail)",
    "ood_factor": "OOD / seen",
}
_DISTANCE = "|W - P W| / |W|, P the average over the group; both layers start at the same matrix of the commutant."


def tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """For each dimension the world models under every optimiser, then the single layers."""
    found = []
    for dim in entry["dims"]:
        rows = select(entry["rows"], dim=dim)
        optimizers = list(dict.fromkeys(row["optimizer"] for row in rows))
        models, layers = [], []
        for optimizer in optimizers:
            for arm, network in _NAMES.items():
                part = select(rows, arm=arm, optimizer=optimizer)
                verdicts = Counter(row["verdict"] for row in part)
                words = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or "–"
                models.append((optimizer, network, *(interval(over_seeds(part, key)) for key in _COLUMNS), words))
            distances = (over_seeds(rows, "off_commutant", arm=arm, optimizer=optimizer) for arm in _LAYERS)
            layers.append((optimizer, *map(interval, distances)))
        columns = ("optimizer", "network", *_COLUMNS.values(), "verdicts")
        found.append(Table(f"{name}: relative composed residual, {dim}D", columns, models))
        title = f"{name}: distance from the commutant after training on noisy labels, {dim}D"
        found.append(Table(title, ("optimizer", *_LAYERS.values()), layers, (_DISTANCE,)))
    return found


def figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """Residual of the world models, and distance of the layers, over the optimisers.

    A distance below the rounding of float64 is drawn at it, for a log axis has no place for 0.
    """
    rows: list[dict[str, Any]] = []
    for row in entry["rows"]:
        common = {"dim": row["dim"], "optimizer": row["optimizer"]}
        network = "equivariant" if row["arm"] in ("vn", "vn_layer") else "ordinary"
        trained = {**common, "network": f"{network}, trained"}
        if row["arm"] in _LAYERS:
            rows.append({**trained, "distance": max(row["off_commutant"], sys.float_info.epsilon)})
            continue
        rows.append({**trained, "residual": row["relative_residual"]})
        if row["arm"] == "vn":
            rows.append({**common, "network": "equivariant, initial", "residual": row["initial_residual"]})
    quantities = {"residual": "relative residual", "distance": "distance from the commutant"}
    return draw_panels(
        over_seeds_frame(rows, ("dim", "network", "optimizer"), list(quantities)),
        quantities,
        x="optimizer",
        line="network",
        x_label="optimiser",
        folder=folder,
        name="ablate_optimizer",
    )
