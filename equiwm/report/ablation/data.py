"""Learning curves: error against the number of transitions, seen and across the group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.readouts import quality_columns
from equiwm.claims.ablation.rows import over_seeds, select
from equiwm.report.ablation.panels import draw_panels, over_seeds_frame
from equiwm.report.ablation.view import QUANTITIES
from equiwm.tables.table import Table, interval

_NAMES = {"vn": "VN", "mlp": "MLP"}
_SCHEDULES = {"updates": "fixed updates", "epochs": "fixed epochs"}
_LATENT = (
    "relMSE and OOD / seen are in each model's own latent: they show flatness and are not compared between models."
)
_SPACE = "relMSE is of the next state, in the world's own quantities."


def tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """For each dimension and schedule one table, a row for each network and number of transitions."""
    found = []
    for dim in entry["dims"]:
        for schedule, words in _SCHEDULES.items():
            rows = select(entry["rows"], dim=dim, fixed=schedule)
            measures = quality_columns(rows[0]) if rows else {}
            columns = {key: QUANTITIES[key] for key in ("ood_factor", "relative_residual", "float32_rounding")}
            for title, (seen, ood, action) in measures.items():
                columns = {
                    seen: f"{title}, seen",
                    ood: "unseen",
                    **({action: "action alone"} if action else {}),
                } | columns
            cells = []
            for arm, network in _NAMES.items():
                for n in sorted({row["transitions"] for row in rows}):
                    part = select(rows, arm=arm, transitions=n)
                    updates = f"{part[0]['updates']:,}" if part else "–"
                    cells.append((network, f"{n:,}", updates, *(interval(over_seeds(part, key)) for key in columns)))
            note = _LATENT if any(action for *_, action in measures.values()) else _SPACE
            title = f"{name}: {entry['world']} in {dim}D, {words}"
            found.append(Table(title, ("network", "transitions", "updates", *columns.values()), cells, (note,)))
    return found


def figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """Error over the number of transitions, a panel for each measure and schedule, a line for each network and side."""
    measures = quality_columns(entry["rows"][0])
    rows = [
        {"dim": row["dim"], "network": f"{_NAMES[row['arm']]}, {side}", "transitions": row["transitions"]}
        | {f"{title}, {_SCHEDULES[row['fixed']]}": row[columns[index]] for title, columns in measures.items()}
        for row in entry["rows"]
        for index, side in enumerate(("seen", "unseen"))
    ]
    quantities = [f"{title}, {words}" for title in measures for words in _SCHEDULES.values()]
    return draw_panels(
        over_seeds_frame(rows, ("dim", "network", "transitions"), quantities),
        {quantity: quantity for quantity in quantities},
        x="transitions",
        line="network",
        x_label="training transitions",
        folder=folder,
        name="ablate_data",
    )
