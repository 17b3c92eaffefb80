"""The figure of an ablation: one row of panels a quantity, one column a dimension, medians with their range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equiwm.figures.canvas import COLOURS, MARKERS, STYLE, save
from equiwm.stats import median_and_range

if TYPE_CHECKING:
    import pandas as pd

_GREY = {"color": "#777777", "linewidth": 0.8, "linestyle": ":"}


def over_seeds_frame(rows: Sequence[Mapping[str, Any]], by: Sequence[str], quantities: Sequence[str]) -> pd.DataFrame:
    """One row for each combination of the columns `by`, in their order in `rows`, with the number of seeds, and
    `QUANTITY`, `QUANTITY_low` and `QUANTITY_high`: median, smallest and largest.
    """
    import pandas as pd

    found = []
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in by), []).append(row)
    for key, members in groups.items():
        entry: dict[str, Any] = {**dict(zip(by, key, strict=True)), "seeds": len(members)}
        for quantity in quantities:
            values = [row[quantity] for row in members if row.get(quantity) is not None]
            if values:
                summary = median_and_range(values)
                entry |= {quantity: summary.median, f"{quantity}_low": summary.low, f"{quantity}_high": summary.high}
        found.append(entry)
    return pd.DataFrame(found)


def draw_panels(
    frame: pd.DataFrame,
    quantities: Mapping[str, str],
    *,
    x: str,
    line: str,
    x_label: str,
    folder: Path,
    name: str,
) -> Path:
    """Draw medians with their range over seeds, log scale, and write the frame beside the figure.

    Args:
        frame: of `over_seeds_frame`, with a column `dim`.
        quantities: column -> what it is called.
        x: column of the horizontal axis, taken as labels in order of appearance, one after another.
        line: column whose values are drawn as lines; one with a single point is continued across the panel.
        x_label: of the horizontal axis.
        folder: gets NAME.png and NAME.csv.
        name: of both.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.style import context

    dims, lines = list(dict.fromkeys(frame["dim"])), list(dict.fromkeys(frame[line]))
    with context(STYLE):
        figure = Figure(figsize=(1.0 + 3.6 * len(dims), 0.8 + 2.4 * len(quantities)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(quantities), len(dims), sharey="row", squeeze=False)
        for column, dim in enumerate(dims):
            here = frame[frame["dim"] == dim]
            labels = list(dict.fromkeys(here[x]))
            for (quantity, title), panel in zip(quantities.items(), panels[:, column], strict=True):
                for index, value in enumerate(lines):
                    points = here[(here[line] == value) & (here[quantity] > 0)]
                    if points.empty:
                        continue
                    look = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
                    panel.errorbar(
                        [labels.index(label) for label in points[x]],
                        points[quantity],
                        yerr=[
                            points[quantity] - points[f"{quantity}_low"],
                            points[f"{quantity}_high"] - points[quantity],
                        ],
                        label=str(value),
                        markersize=3.5,
                        linewidth=1.2,
                        capsize=2,
                        **look,
                    )
                    if len(points) == 1 < len(labels):
                        panel.axhline(points[quantity].iloc[0], color=look["color"], linewidth=0.8, linestyle="--")
                panel.set_yscale("log")
                panel.set_xticks(range(len(labels)), [str(label) for label in labels])
                panel.set_title(f"{title}, {dim}D", fontsize=10)
                if quantity == "ood_factor":
                    panel.axhline(1.0, **_GREY)
            panels[-1, column].set_xlabel(x_label)
        handles: dict[str, Any] = {}
        for panel in panels.flat:
            handles |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 5))
        return save(figure, frame, folder, name)
