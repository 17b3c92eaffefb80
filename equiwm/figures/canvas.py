"""Figures, each drawn from a CSV that stands beside it. One style for all, readable in print and without colour."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from equiwm.disk.drafts import remove_stale
from equiwm.disk.files import reason, write_atomic
from equiwm.disk.inside import read_inside, require_component
from equiwm.disk.ownership import is_run
from equiwm.errors import RunError
from equiwm.figures.formulas import formulas_shared
from equiwm.figures.medium import MAX_FIGURE, medium
from equiwm.figures.record import drawn_before, write_record
from equiwm.tables.sheet import csv_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito: distinct for colour-blind readers; the line styles differ as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
_TEXT = 10
DPI = 150
"""Dots an inch of a PNG."""
STYLE = {
    "font.size": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.dpi": DPI,
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
        width, height: inches, on a screen.
        layout: `compressed` where panels keep their aspect.
        dpi: dots an inch.
        style: settings of matplotlib over those of `STYLE`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.style import context

    target = medium()
    text = {"font.size": target.points(_TEXT)}
    with context({**STYLE, **text, **target.style, **(style or {})}), formulas_shared():
        figure = Figure(figsize=target.size(width, height), layout=layout, dpi=dpi)
        FigureCanvasAgg(figure)
        yield figure


def kept(data: pd.DataFrame, folder: Path, name: str) -> Path | None:
    """Of a figure that was drawn already from this data (`drawn_for`), the path of its first file; else None.

    Asked before the canvas is opened it saves the drawing: `save` asks it, too, when all but the files is made.

    Raises:
        RunError: as `save`.
    """
    open_folder(folder, name)
    text, kinds = csv_text(data), medium().kinds
    files = drawn_before(folder, name, text, kinds)
    if files is None:
        return None
    _write(folder, name, text, files)
    return folder / f"{name}.{kinds[0]}"


def save(figure: Figure, data: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write `name`.csv, and the figure as files of the medium: PNG and SVG on a screen. Gives the path of the first.

    The same figure gives the same bytes. One that was drawn from the same CSV in a known folder is taken from there.

    Raises:
        RunError: `name` is no name of a file, or a file cannot be written.
    """
    known = kept(data, folder, name)
    if known is not None:
        return known
    kinds = medium().kinds
    _write(folder, name, csv_text(data), _rendered(figure, kinds))
    return folder / f"{name}.{kinds[0]}"


def _write(folder: Path, name: str, csv: str, files: Mapping[str, bytes]) -> None:
    """Write the files of a figure that are not there as they are, the record of what they were drawn from last."""
    for kind, content in {"csv": csv.encode(), **files}.items():
        if not _is_there(folder, f"{name}.{kind}", content):
            write_atomic(folder / f"{name}.{kind}", content)
    write_record(folder, name, csv, files)


def _is_there(folder: Path, name: str, content: bytes) -> bool:
    try:
        return read_inside(folder, name, limit=MAX_FIGURE) == content
    except (FileNotFoundError, RunError):
        return False


_MARGIN = 0.1
"""Inches around what is drawn."""
_METADATA: Mapping[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def _rendered(figure: Figure, kinds: Sequence[str]) -> dict[str, bytes]:
    """The figure's files. Its layout, which takes as long as the drawing, is made once for all of them."""
    if medium().smallest:
        _write_powers_out(figure)
    _place_empty_labels(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        # "none" leaves a placeholder, for which savefig draws every figure twice.
        figure.set_layout_engine("none" if _has_pixels(figure) else None)
    box = figure.get_tightbbox().padded(_MARGIN) if medium().cropped else None
    files = {}
    for kind in kinds:
        # Vectors have the points of 72 dpi, whichever are asked for; asked for others, it rounds another way.
        dpi = "figure" if kind == "png" or _has_pixels(figure) else 72
        with io.BytesIO() as file:
            figure.savefig(file, format=kind, metadata=_METADATA[kind], bbox_inches=box, dpi=dpi)
            files[kind] = file.getvalue()
    return files


def _place_empty_labels(figure: Figure) -> None:
    """Labels of axes that say nothing, put somewhere: else each layout looks for a place beside all labels of ticks."""
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0.0, 0.0)


def _has_pixels(figure: Figure) -> bool:
    """Whether something is drawn as pixels within the vectors, of as many as the figure has dots."""
    from matplotlib.image import AxesImage

    return any(isinstance(each, AxesImage) or each.get_rasterized() for each in figure.findobj())


def _write_powers_out(figure: Figure) -> None:
    """Ticks of logarithmic axes as 1e-07, as in tables: a raised exponent is 0.7 times as large as the text."""
    from matplotlib.ticker import LogFormatter, LogFormatterMathtext

    for axis in (each for panel in figure.axes for each in (panel.xaxis, panel.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
            axis.set_major_formatter(LogFormatter())
        if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
            axis.set_minor_formatter(LogFormatter())


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


def legend_below(figure: Figure, panel: Axes, columns: int | None = None, size: float | None = None) -> None:
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
