"""The plane of strength x data: the errors, and who wins by how much."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equiwm.claims.ablation.planes import winners
from equiwm.figures.canvas import STYLE, save
from equiwm.report.ablation.view import grid_table
from equiwm.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

_NAMES = {"vn": "VN", "vn_paper": "VN without cross products", "mlp": "MLP"}
_SIDES = {"seen_relmse": "in distribution", "ood_relmse": "across the group"}
_RANGE = 2.0  # of the colours: a hundredfold


def tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """For each network and side a grid: strengths of the breaking down, numbers of transitions across."""
    rows = [
        {**row, "network": _NAMES[row["arm"]], "g": f"{row['breaking']:g}", "N": f"N = {row['transitions']}"}
        for row in entry["rows"]
    ]
    return [
        grid_table(
            f"{name}: {network}, relMSE of the next cloud {words}",
            [row for row in rows if row["arm"] == arm],
            quantity,
            dim,
            down="g",
            across="N",
        )
        for dim in entry["dims"]
        for quantity, words in _SIDES.items()
        for arm, network in _NAMES.items()
    ]


def plane_frame(entry: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each network against the MLP, side and cell of the plane."""
    import pandas as pd

    return pd.DataFrame(
        {"network": network, "side": words, **dataclasses.asdict(cell)}
        for arm, network in _NAMES.items()
        if arm != "mlp"
        for column, words in _SIDES.items()
        for cell in winners(entry["rows"], arm, column)
    )


def figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """log10 of the MLP's error over the other network's in each cell, a panel for each network and side.

    Blue where the equivariant network has the lower error, orange where the MLP has; in brackets where not every seed
    says so.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.style import context

    frame = plane_frame(entry)
    colours = LinearSegmentedColormap.from_list("wins", ["#D55E00", "#ffffff", "#0072B2"])
    networks, sides = (list(dict.fromkeys(frame[key])) for key in ("network", "side"))
    with context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(8.4, 3.3 * len(networks)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(networks), len(sides), squeeze=False)
        for row, network in enumerate(networks):
            for column, side in enumerate(sides):
                panel = panels[row, column]
                part = frame[(frame["network"] == network) & (frame["side"] == side)]
                plane = part.pivot(index="breaking", columns="transitions", values="log_ratio")
                clear = part.pivot(index="breaking", columns="transitions", values="clear")
                image = panel.imshow(plane, cmap=colours, vmin=-_RANGE, vmax=_RANGE, origin="lower", aspect="auto")
                for y in range(len(plane)):
                    for x in range(len(plane.columns)):
                        text = f"{plane.iloc[y, x]:+.2f}"
                        panel.text(x, y, text if clear.iloc[y, x] else f"({text})", ha="center", va="center", size=8)
                panel.set_xticks(range(len(plane.columns)), [str(n) for n in plane.columns])
                panel.set_yticks(range(len(plane)), [f"{g:g}" for g in plane.index])
                panel.set_title(f"{network}, {side}", fontsize=10)
                panel.set_xlabel("training transitions N")
                panel.set_ylabel("breaking g")
        figure.colorbar(image, ax=panels, label="log10 of the MLP's error over the network's", shrink=0.7)
        return save(figure, frame, folder, "ablate_breaking")
