"""Figures, each drawn from a CSV that stands beside it. One style for all, readable in print and without colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from equiwm.disk.drafts import remove_stale
from equiwm.disk.files import atomic_writer, reason, write_atomic
from equiwm.disk.inside import require_component
from equiwm.disk.ownership import is_run
from equiwm.errors import RunError
from equiwm.tables.sheet import csv_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito: distinct for colour-blind readers; the line styles differ as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "svg.hashsalt": "equiwm",
}
_LEVEL = {"color": "#777777", "linewidth": 0.8, "linestyle": ":"}


@contextmanager
def canvas(
    width: float,
    height: float,
    *,
    layout: Literal["constrained", "compressed"] = "constrained",
    dpi: int | None = None,
    style: Mapping[str, Any] | None = None,
) -> Iterator[Figure]:
    """An empty figure that needs no display, in the style of all; draw and save it within the block.

    Args:
        width, height: inches.
        layout: `compressed` where panels keep their aspect.
        dpi: dots an inch.
        style: settings of matplotlib over those of `STYLE`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.style import context

    with context({**STYLE, **(style or {})}):
        figure = Figure(figsize=(width, height), layout=layout, dpi=dpi)
        FigureCanvasAgg(figure)
        yield figure


def save(figure: Figure, data: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write `name`.csv, `name`.png and `name`.svg into `folder`, atomically; gives the path of the PNG.

    The same figure gives the same bytes.

    Raises:
        RunError: `name` is no name of a file, or a file cannot be written.
    """
    open_folder(folder, name)
    write_atomic(folder / f"{name}.csv", csv_text(data))
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        with atomic_writer(folder / f"{name}.{kind}") as file:
            figure.savefig(file, format=kind, metadata=metadata)
    return folder / f"{name}.png"


def open_folder(folder: Path, name: str) -> None:
    """Make the folder of a figure, and remove what dead processes left in it.

    Args:
        folder: made if it is missing.
        name: of the figure, without its ending.

    Raises:
        RunError: the name would lead out of the folder, or cannot be shown; the folder is a link out of a run, or
            cannot be made.
    """
    require_component(name)
    if folder.is_symlink() and is_run(folder.parent):
        raise RunError(f"{folder} is a link out of the run, which is not followed; pass --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make {folder}: {reason(error)}; name another folder for figures.") from None
    remove_stale(folder)


def models_of(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Each model's rows of a frame with a column `model`, and its look as arguments of `plot`."""
    for index, (model, rows) in enumerate(frame.groupby("model", sort=False)):
        yield str(model), rows, {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 3.5, "linewidth": 1.2}


def legend_below(figure: Figure, panel: Axes, columns: int | None = None, size: int | None = None) -> None:
    """One legend for all panels, from the lines of one of them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns or len(labels), fontsize=size)


def show_one(panel: Axes) -> None:
    """Limits that hold 1 with room around it: else the axis of a flat model alone would show its rounding.

    A logarithmic panel in which nothing is drawn has a lower limit of 0, which none can have.
    """
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, 0.5) if low > 0.0 else 0.5, max(high, 2.0))


def mark_level(panel: Axes, value: float) -> None:
    """A thin dotted line across a panel."""
    panel.axhline(value, **_LEVEL)  # type: ignore[arg-type]
