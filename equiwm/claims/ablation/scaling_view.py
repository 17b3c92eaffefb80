"""Tables and figure of `ablate scaling`: errors over sizes, and the power laws through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equiwm.claims.ablation.baselines import ARMS
from equiwm.claims.ablation.kind import StudyRows
from equiwm.claims.ablation.power_laws import PowerLaw, crossing, exponent_less
from equiwm.claims.ablation.rows import select
from equiwm.figures.canvas import COLOURS, MARKERS, canvas, save
from equiwm.figures.medium import text_size
from equiwm.figures.panels import frame_of, over_seeds_frame, summary_text
from equiwm.stats import Interval
from equiwm.tables.table import Table, number

if TYPE_CHECKING:
    import pandas as pd

AXES = {"transitions": "transitions", "parameters": "parameters", "time": "CPU time"}
"""What grows, as tables call it."""
_UNITS = {"transitions": "training transitions", "parameters": "parameters", "time": "CPU seconds of training"}

FAR = 1000.0
"""Times the largest size that was measured: of a crossing beyond it nothing but that is said."""

LawOf = Callable[[Sequence[Any], int, str, str], PowerLaw | None]
"""Rows, dimension, axis and class -> the law."""

_ERROR = (
    "Error: geometric mean over what is read out of error / true change, on held-out transitions moved over the whole "
    "group; 1 is predicting none. Median [least, largest] over seeds."
)
_LAW = (
    "error = c x^-a, least squares of the logarithms; 95% intervals, seeds drawn with replacement. Crossing: from "
    "where on, to larger sizes, the law is below the equivariant network's; never: its exponent is no larger. Beyond "
    "the sizes measured a law is a guess (a crossing above a thousand times the largest is not told), and where errors "
    "stay near 1 there is none."
)


def _frame(rows: Sequence[Any]) -> pd.DataFrame:
    return frame_of(rows, ("dim", "axis", "arm", "label", "cell", "size", "seed", "unseen_error", "success"))


def size_tables(data: StudyRows[Any], law_of: LawOf, arms: Sequence[str]) -> list[Table]:
    """For each dimension and axis the errors, for each dimension success and the laws."""
    found = []
    for dim in data.dims:
        frame = _frame(select(data.rows, dim=dim))
        for axis, words in AXES.items():
            here, cells = frame[frame["axis"] == axis], []
            order = list(dict.fromkeys(here["cell"]))
            for arm in arms:
                members = here[here["arm"] == arm]
                for name in order:
                    part = members[members["cell"] == name]
                    if not part.empty:
                        figures = [summary_text(part["unseen_error"])]
                        figures += [summary_text(part["success"])] if axis == "transitions" else []
                        cells.append((ARMS[arm], number(float(part["size"].iloc[0]), 3), *figures))
            columns = ("class", _UNITS[axis], "error", *(["success"] if axis == "transitions" else []))
            found.append(Table(f"{data.name}: {data.world} in {dim}D, {words}", columns, cells, (_ERROR,)))
        found.append(_laws(data, dim, law_of, arms))
    return found


def _laws(data: StudyRows[Any], dim: int, law_of: LawOf, arms: Sequence[str]) -> Table:
    cells = []
    for axis, words in AXES.items():
        own = law_of(data.rows, dim, axis, arms[0])
        for arm in arms:
            law = law_of(data.rows, dim, axis, arm)
            if law is None:
                cells.append((words, ARMS[arm], "–", "–", "–", "–"))
                continue
            beside = ("–", "–")
            if own is not None and arm != arms[0]:
                largest = max(law.sizes[-1], own.sizes[-1])
                beside = _said(exponent_less(law, own)), _said(crossing(law, own), most=FAR * largest)
            cells.append((words, ARMS[arm], _said(law.exponent), number(law.explained, 2), *beside))
    columns = ("what grows", "class", "exponent", "R^2", "less the equivariant's", "crossing at")
    return Table(f"{data.name}: {data.world} in {dim}D, power laws", columns, cells, (_LAW,))


def _said(found: Interval, most: float = math.inf) -> str:
    """An estimate with its interval; infinity is never, and what is above `most` is only that."""

    def one(value: float) -> str:
        if math.isinf(value):
            return "never"
        return number(value, 2) if value <= most else f"> {number(most, 1)}"

    return f"{one(found.estimate)} [{one(found.low)}, {one(found.high)}]"


def draw(data: StudyRows[Any], law_of: LawOf, arms: Sequence[str], folder: Path) -> Path:
    """A row of panels a dimension: the error along each axis on logarithmic scales, and success over transitions."""
    frame = _frame(data.rows)
    from matplotlib.ticker import NullFormatter

    by = ("dim", "axis", "arm", "cell")
    long = over_seeds_frame(frame, by, ("size", "unseen_error", "success"))
    shown = [(axis, "unseen_error") for axis in AXES]
    if bool(long["success"].notna().any()):
        shown.append(("transitions", "success"))
    with canvas(1.0 + 3.0 * len(shown), 0.9 + 2.9 * len(data.dims)) as drawing:
        panels = drawing.subplots(len(data.dims), len(shown), squeeze=False)
        for row, dim in zip(panels, data.dims, strict=True):
            for panel, (axis, quantity) in zip(row, shown, strict=True):
                for index, arm in enumerate(arms):
                    points = long[(long["dim"] == dim) & (long["axis"] == axis) & (long["arm"] == arm)]
                    _line(panel, points, quantity, ARMS[arm], index)
                    law = law_of(data.rows, dim, axis, arm) if quantity == "unseen_error" else None
                    if law is not None:
                        x = np.array([law.sizes[0], law.sizes[-1]])
                        y = law.scale * x**-law.exponent.estimate
                        panel.plot(x, y, color=COLOURS[index], linewidth=0.8, linestyle="--")
                panel.set_xscale("log")
                panel.xaxis.set_minor_formatter(NullFormatter())
                panel.set_xlabel(_UNITS[axis])
                if quantity == "success":
                    panel.set_ylim(-0.03, 1.03)
                else:
                    panel.set_yscale("log")
                title = "success" if quantity == "success" else "error over the whole group"
                panel.set_title(f"{title}, {dim}D", fontsize=text_size(10))
        handles, labels = panels[0, 0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=len(arms))
        return save(drawing, long, folder, "ablate_scaling")


def _line(panel: Any, points: pd.DataFrame, quantity: str, label: str, index: int) -> None:
    here = points[points[quantity].notna()]
    if here.empty:
        return
    middle = here[quantity]
    panel.errorbar(
        here["size"],
        middle,
        yerr=[middle - here[f"{quantity}_low"], here[f"{quantity}_high"] - middle],
        label=label,
        color=COLOURS[index],
        marker=MARKERS[index],
        markersize=3.5,
        linewidth=1.2 if quantity == "success" else 0.0,
        elinewidth=1.0,
        capsize=2,
    )
