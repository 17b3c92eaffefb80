"""A row a class: names that no horizontal axis has room for stand beside what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from equiwm.figures.canvas import COLOURS, MARKERS, canvas, save
from equiwm.figures.medium import text_size
from equiwm.figures.panels import over_seeds_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_APART = 0.16
"""How far the marks of a row are from one another, in rows."""


def _few_ticks(panel: Axes) -> None:
    """Within a decade a logarithmic axis names so many numbers that they cover one another."""
    from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

    low, high = panel.get_xlim()
    panel.xaxis.set_minor_formatter(NullFormatter())
    if high < 10.0 * low:
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def draw_classes(
    frame: pd.DataFrame,
    quantities: Mapping[str, tuple[str, Sequence[str]]],
    *,
    row: str,
    mark: str,
    folder: Path,
    name: str,
) -> Path:
    """Draw medians with their range over seeds, log scale, and write what is drawn beside the figure.

    Args:
        frame: one line a measurement, with the columns `dim`, `row`, `mark` and numbers: all of them are written.
        quantities: column -> what it is called, and the values of `mark` that are drawn of it; each is a panel of
            every dimension, and where several are drawn they have a legend.
        row: column of the classes, in order of appearance from the top.
        mark: column whose values have a mark each.
        folder: gets NAME.png, NAME.svg and NAME.csv.
        name: of all three.
    """
    by = ("dim", mark, row)
    frame = over_seeds_frame(frame, by, [column for column in frame.columns if column not in by])
    dims, names = list(dict.fromkeys(frame["dim"])), list(dict.fromkeys(frame[row]))
    height = 1.3 + 0.27 * max(1, len(names))
    with canvas(2.4 + 2.4 * len(quantities), height * max(1, len(dims))) as figure:
        panels = figure.subplots(max(1, len(dims)), len(quantities), sharey="row", squeeze=False)
        for across, dim in zip(panels, dims, strict=False):
            here = frame[frame["dim"] == dim]
            for (quantity, (title, marks)), panel in zip(quantities.items(), across, strict=True):
                for index, value in enumerate(marks):
                    part = here[(here[mark] == value) & (here[quantity] > 0)]
                    shift = _APART * (index - (len(marks) - 1) / 2)
                    panel.errorbar(
                        part[quantity],
                        [names.index(each) + shift for each in part[row]],
                        xerr=[part[quantity] - part[f"{quantity}_low"], part[f"{quantity}_high"] - part[quantity]],
                        label=str(value),
                        color=COLOURS[index],
                        marker=MARKERS[index],
                        markersize=4.0,
                        linestyle="none",
                        elinewidth=1.0,
                        capsize=2,
                    )
                panel.set_xscale("log")
                _few_ticks(panel)
                panel.set_yticks(range(len(names)), names)
                panel.set_ylim(len(names) - 0.5, -0.5)
                panel.set_title(f"{title}, {dim}D", fontsize=text_size(10))
        several = [panel for panel in panels[0] if len(panel.get_legend_handles_labels()[1]) > 1]
        if several:
            figure.legend(*several[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return save(figure, frame, folder, name)
