"""Tables and figures of rows that are measured over seeds: medians with their range, by label, on a grid, in panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from equiwm.figures.canvas import COLOURS, MARKERS, canvas, kept, save
from equiwm.figures.medium import text_size
from equiwm.stats import MedianRange
from equiwm.tables.table import Table, interval

if TYPE_CHECKING:
    import pandas as pd

_GREY = {"color": "#777777", "linewidth": 0.8, "linestyle": ":"}

QUANTITIES = {
    "seen_relmse": "relMSE seen",
    "ood_relmse": "relMSE OOD",
    "ood_factor": "OOD / seen",
    "relative_residual": "relative residual",
    "float32_rounding": "float32 rounding",
}
"""What every ablation measures, as tables and figures call it."""


class RowsOfStudy(Protocol):
    """What a table is made of: the rows of a study, with its name and dimensions."""

    @property
    def name(self) -> str:
        """The study's name."""

    @property
    def dims(self) -> Sequence[int]:
        """Its dimensions."""

    @property
    def rows(self) -> Sequence[Any]:
        """Its rows."""


def frame_of(rows: Sequence[Any], columns: Sequence[str]) -> pd.DataFrame:
    """Attributes of rows as a frame, one line a row."""
    import pandas as pd

    return pd.DataFrame([[getattr(row, column) for column in columns] for row in rows], columns=list(columns))


def over_seeds_frame(frame: pd.DataFrame, by: Sequence[str], quantities: Sequence[str]) -> pd.DataFrame:
    """One row for each combination of the columns `by`, in their order in the frame, with the number of rows, and
    `QUANTITY`, `QUANTITY_low` and `QUANTITY_high`: median, smallest and largest of what is not missing.
    """
    groups = frame.groupby(list(by), sort=False, dropna=False)
    found = groups.size().rename("seeds").to_frame()
    for quantity in quantities:
        summary = groups[quantity].agg(["median", "min", "max"])
        found[[quantity, f"{quantity}_low", f"{quantity}_high"]] = summary.to_numpy()
    return found.reset_index()


def summary_text(values: pd.Series) -> str:
    """`median [smallest, largest]` of what is not missing; a dash for nothing."""
    known = values.dropna()
    if known.empty:
        return interval(None)
    return interval(MedianRange(float(known.median()), float(known.min()), float(known.max()), len(known)))


def label_tables(
    data: RowsOfStudy, heading: str, title: str, quantities: Mapping[str, str] = QUANTITIES, *, notes: tuple[str, ...]
) -> list[Table]:
    """A table a dimension: one row for each `label` of its rows, with parameters and quantities over seeds.

    Args:
        data: the study; its rows have a `label`.
        heading: of the labels.
        title: what stands between the study's name and the dimension.
        quantities: column -> what it is called.
        notes: below each table.
    """
    frame, tables = frame_of(data.rows, ("dim", "label", "parameters", *quantities)), []
    for dim in data.dims:
        cells = []
        for label, members in frame[frame["dim"] == dim].groupby("label", sort=False):
            figures = (summary_text(members[quantity]) for quantity in quantities)
            cells.append((str(label), f"{members['parameters'].iloc[0]:,}", *figures))
        columns = (heading, "parameters", *quantities.values())
        tables.append(Table(f"{data.name}: {title} in {dim}D", columns, cells, notes))
    return tables


def grid_table(title: str, frame: pd.DataFrame, quantity: str, *, down: str, across: str) -> Table:
    """A quantity over seeds, one row for each value of the column `down`, one column for each of `across`."""
    downs, acrosses = (list(dict.fromkeys(frame[column])) for column in (down, across))
    grid = frame.groupby([down, across], sort=False, dropna=False)[quantity].agg(summary_text)
    cells = [(str(row), *(str(grid.get((row, column), interval(None))) for column in acrosses)) for row in downs]
    return Table(title, (down, *map(str, acrosses)), cells)


def grid_tables(data: RowsOfStudy, quantities: Mapping[str, str], *, down: str, across: str) -> list[Table]:
    """For each dimension and quantity a `grid_table`."""
    frame = frame_of(data.rows, ("dim", down, across, *quantities))
    return [
        grid_table(f"{data.name}: {words}, {dim}D", frame[frame["dim"] == dim], quantity, down=down, across=across)
        for dim in data.dims
        for quantity, words in quantities.items()
    ]


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
    """Draw medians with their range over seeds, log scale, and write what is drawn beside the figure.

    Args:
        frame: one line a measurement, with the columns `dim`, `x`, `line` and numbers: all of them are written.
        quantities: column -> what it is called; each is a row of panels, each dimension a column.
        x: column of the horizontal axis, taken as labels in order of appearance, one after another.
        line: column whose values are drawn as lines; one with a single point is continued across the panel.
        x_label: of the horizontal axis.
        folder: gets NAME.png, NAME.svg and NAME.csv.
        name: of all three.
    """
    by = ("dim", line, x)
    frame = over_seeds_frame(frame, by, [column for column in frame.columns if column not in by])
    if (known := kept(frame, folder, name)) is not None:
        return known
    dims, lines = list(dict.fromkeys(frame["dim"])), list(dict.fromkeys(frame[line]))
    with canvas(1.0 + 3.6 * len(dims), 0.8 + 2.4 * len(quantities)) as figure:
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
                panel.set_title(f"{title}, {dim}D", fontsize=text_size(10))
                if quantity == "ood_factor":
                    panel.axhline(1.0, **_GREY)
            panels[-1, column].set_xlabel(x_label)
        handles: dict[str, Any] = {}
        for panel in panels.flat:
            handles |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 5))
        return save(figure, frame, folder, name)
