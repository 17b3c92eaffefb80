"""Figures, each drawn from a CSV that stands beside it. One style for all, readable in print and without colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equiwm.files import atomic_writer, write_atomic
from equiwm.report.sides import sides_of

if TYPE_CHECKING:
    import pandas as pd
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


def save(figure: Figure, data: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write `name`.csv, `name`.png and `name`.svg into `folder`, atomically; gives the path of the PNG.

    The same figure gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{name}.csv", data.to_csv(index=False, lineterminator="\n"))
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        with atomic_writer(folder / f"{name}.{kind}") as file:
            figure.savefig(file, format=kind, metadata=metadata)
    return folder / f"{name}.png"


def sweep_frame(entry: Mapping[str, Any], name: str) -> pd.DataFrame:
    """The rows that a sweep's figure is drawn from: one a model and bin."""
    import pandas as pd

    return pd.DataFrame(
        {"model": model}
        | {key: bin_[key] for key in ("label", "part", "from_wedge_deg", "seen", "relmse")}
        | {f"relmse_{part}": value for part, value in bin_["components"].items()}
        | {f"readout_{target}": value for target, value in bin_["readout"].items()}
        for model, side in sides_of(entry, name).items()
        for bin_ in side["bins"]
    )


def sweep_figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """Error over the orbit, model and baseline, log scale, what overlaps the training wedge shaded.

    Against the angle of rotation in the plane, against the angle from the wedge for rotations in space, and rung by
    rung for the ladder of a group with translations. Latent relMSE is drawn relative to each model's own seen error
    (it compares nothing between models); read-out errors, which do compare, as they are.

    Args:
        entry: section `sweep_group` of metrics.json.
        name: the model's name in the legend.
        folder: the run's `figures/`.

    Returns:
        The path of the PNG; the CSV beside it holds what is drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.style import context

    frame = sweep_frame(entry, name)
    readouts = [column for column in frame.columns if column.startswith("readout_")]
    group = entry["group"]
    draw = _ladder_panel if group.startswith("se") else _circle_panel if group in ("so2", "o2") else _space_panel
    with context(STYLE):
        figure = Figure(figsize=(4.2 * (1 + len(readouts)), 3.7), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 1 + len(readouts), sharex=True, squeeze=False)[0]
        for panel, column in zip(panels, ["relmse", *readouts], strict=True):
            shown = frame.assign(error=frame[column])
            if column == "relmse":
                shown["error"] /= shown.groupby("model")["error"].transform("first")
            draw(panel, shown)
            panel.set_yscale("log")
            words = column.removeprefix("readout_").replace("_", " ")
            panel.set_title("one-step relMSE / seen" if column == "relmse" else f"read-out error, {words}", fontsize=10)
        _show_one(panels[0])
        for panel in panels[1:]:
            panel.axhline(1.0, color="#777777", linewidth=0.8, linestyle=":")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return save(figure, frame, folder, f"sweep_{group}_{entry['dtype']}")


def rollout_frame(entry: Mapping[str, Any], name: str) -> pd.DataFrame:
    """The rows that a rollout's figure is drawn from: one a model and horizon."""
    import pandas as pd

    columns = {
        "horizons": "horizon",
        "sequences": "sequences",
        **{key: key for key in ("seen_relmse", "ood_relmse", "ood_factor", "relative_residual", "max_abs")},
        **{key: key for key in ("relmse_state", "ood_relmse_state")},
    }
    frames = [
        pd.DataFrame({"model": model} | {column: side[key] for key, column in columns.items()})
        for model, side in sides_of(entry, name).items()
    ]
    return pd.concat(frames, ignore_index=True)


def rollout_figure(entry: Mapping[str, Any], name: str, folder: Path) -> Path:
    """Residual of the H-step composition, and OOD factor, against the horizon H, log-log, model and baseline.

    Args:
        entry: section `rollout` of metrics.json.
        name: the model's name in the legend.
        folder: the run's `figures/`.

    Returns:
        The path of the PNG; the CSV beside it holds what is drawn. A horizon at which a model diverged is a gap.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.style import context
    from matplotlib.ticker import NullLocator
    from pandas import to_numeric

    frame = rollout_frame(entry, name)
    horizons = sorted(set(frame["horizon"]))
    with context(STYLE):
        figure = Figure(figsize=(8.4, 3.7), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 2, sharex=True)
        titles = {"relative_residual": "relative residual of H steps", "ood_factor": "relMSE, unseen / seen"}
        for panel, (column, title) in zip(panels, titles.items(), strict=True):
            for model, rows, look in _models(frame):
                panel.plot(rows["horizon"], to_numeric(rows[column]), label=model, **look)
            if not (to_numeric(frame[column]) > 0).any():
                panel.set_ylim(0.1, 10.0)  # every model diverged: an empty log axis has no limits of its own
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xticks(horizons, [str(horizon) for horizon in horizons])
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xlabel("horizon H (steps)")
            panel.set_title(title, fontsize=10)
        _show_one(panels[1])
        panels[1].axhline(1.0, color="#777777", linewidth=0.8, linestyle=":")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return save(figure, frame, folder, f"rollout_{entry['group']}_{entry['dtype']}")


def _show_one(panel: Any) -> None:
    """Limits that hold 1 with room around it: else the axis of a flat model alone would show its rounding."""
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, 0.5), max(high, 2.0))


def _models(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Each model's rows and its look."""
    for index, (model, rows) in enumerate(frame.groupby("model", sort=False)):
        yield str(model), rows, {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 3.5, "linewidth": 1.2}


def _circle_panel(panel: Any, frame: pd.DataFrame) -> None:
    """Error against the angle of rotation; mirrored bins as a second, dashed line."""
    for model, rows, look in _models(frame):
        angle = rows["label"].str.removeprefix("mirror ").astype(float)
        mirrored = rows["part"] == "reflection"
        panel.plot(angle[~mirrored], rows["error"][~mirrored], label=model, **look)
        if mirrored.any():
            panel.plot(angle[mirrored], rows["error"][mirrored], label=f"{model}, mirrored", linestyle="--", **look)
    first = frame[(frame["model"] == frame["model"].iloc[0]) & (frame["part"] != "reflection")]
    angles = first["label"].astype(float)
    half = 180.0 / len(first)
    overlapping = angles[first["seen"] != "false"]
    low, high = overlapping[overlapping < 180].max() + half, overlapping[overlapping >= 180].min() - half
    panel.axvspan(0, min(low, 360), color="#000000", alpha=0.07, linewidth=0, label="overlaps the training wedge")
    if high == high:
        panel.axvspan(high, 360, color="#000000", alpha=0.07, linewidth=0)
    panel.set_xlabel("rotation of the test scenes (degrees)")
    panel.set_xticks(range(0, 361, 90))


def _space_panel(panel: Any, frame: pd.DataFrame) -> None:
    """Error against the angle between the turned wedge and the wedge; mirrored bins hollow."""
    for model, rows, look in _models(frame):
        mirrored = rows["part"] == "reflection"
        dots = {**look, "linestyle": "none"}
        panel.plot(rows["from_wedge_deg"][~mirrored], rows["error"][~mirrored], label=model, **dots)
        if mirrored.any():
            hollow = {**dots, "markerfacecolor": "none"}
            panel.plot(rows["from_wedge_deg"][mirrored], rows["error"][mirrored], label=f"{model}, mirrored", **hollow)
    panel.set_xlabel("angle from the training wedge (degrees)")
    panel.set_xticks(range(0, 181, 45))


def _ladder_panel(panel: Any, frame: pd.DataFrame) -> None:
    """Error rung by rung, the random elements last as one column of dots."""
    labels = [label for label in dict.fromkeys(frame["label"]) if not label.startswith("random ")]
    place = {label: index for index, label in enumerate(labels)}
    for model, rows, look in _models(frame):
        at = rows["label"].map(place).fillna(len(labels))
        panel.plot(at, rows["error"], label=model, **{**look, "linestyle": "none"})
    panel.set_xticks(range(len(labels) + 1), [*labels, "random"], rotation=40, ha="right", fontsize=8)
