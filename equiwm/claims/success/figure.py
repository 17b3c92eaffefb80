"""The figure of success over the orbit: on the circle in the plane, on the sphere in space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from equiwm.claims.success.result import SuccessSweep
from equiwm.figures.canvas import canvas, legend_below, models_of, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def success_frame(sides: Mapping[str, SuccessSweep]) -> pd.DataFrame:
    """The rows that the figure is drawn from: one a model and orientation."""
    return pd.DataFrame(
        {
            "model": model,
            "label": entry.label,
            "overlap": entry.overlap,
            "turn_deg": entry.turn_deg,
            "from_wedge_deg": entry.from_wedge_deg,
            **dict(zip("xyz", entry.direction or [np.nan] * 3, strict=True)),
            "success": entry.final.share,
            "low": entry.final.low,
            "high": entry.final.high,
            "success_any": entry.any.share,
            "tasks": entry.final.tasks,
        }
        for model, side in sides.items()
        for entry in side.bins
    )


def success_figure(sides: Mapping[str, SuccessSweep], folder: Path) -> Path:
    """Success by the last pose at every orientation, each with Wilson's interval, model and baseline.

    In the plane round a circle: the angle is the turn, the radius the share of tasks. In space a sphere a model: every
    orientation a dot (Mollweide's projection) where it takes the middle of the orientations of training, its colour
    the share; under them the same dots with their intervals, against the angle from the wedge. For groups that turn
    about one axis of space that panel alone.

    Args:
        sides: results by name of model, as the legend has them.
        folder: the run's `figures/`.

    Returns:
        The path of the PNG; the CSV beside it holds what is drawn.
    """
    frame, first = success_frame(sides), next(iter(sides.values()))
    name = f"success_{first.group}_{first.dtype}"
    if frame["turn_deg"].notna().all():
        return _circle(frame, folder, name)
    flat = frame[["x", "y", "z"]].isna().to_numpy().any() or float(frame["z"].std()) < 1e-9
    return _from_wedge(frame, folder, name) if flat else _sphere(frame, folder, name)


def _circle(frame: pd.DataFrame, folder: Path, name: str) -> Path:
    with canvas(5.2, 5.4) as figure:
        panel = figure.add_subplot(projection="polar")
        for model, rows, look in models_of(frame):
            closed = pd.concat([rows, rows.iloc[:1]])
            angle = np.deg2rad(closed["turn_deg"])
            panel.plot(angle, closed["success"], label=model, **look)
            _intervals(panel, np.deg2rad(rows["turn_deg"]), rows, look)
        overlapping = frame[(frame["model"] == frame["model"].iloc[0]) & (frame["overlap"] != "none")]
        half = 180.0 / max(1, frame["label"].nunique())
        for turn in overlapping["turn_deg"]:
            panel.axvspan(np.deg2rad(turn - half), np.deg2rad(turn + half), color="#000000", alpha=0.07, linewidth=0)
        panel.set_ylim(0.0, 1.05)
        panel.set_yticks([0.25, 0.5, 0.75, 1.0])
        panel.set_title("success (last pose); angle: turn of the tasks; shaded: overlaps training", fontsize=8)
        legend_below(figure, panel)
        return save(figure, frame, folder, name)


def _sphere(frame: pd.DataFrame, folder: Path, name: str) -> Path:
    models = list(dict.fromkeys(frame["model"]))
    with canvas(max(5.4, 4.6 * len(models)), 6.2) as figure:
        grid = figure.add_gridspec(2, len(models), height_ratios=(3.2, 2.6))
        spheres = []
        for k, model in enumerate(models):
            panel = figure.add_subplot(grid[0, k], projection="mollweide")
            rows = frame[frame["model"] == model]
            longitude, latitude = np.arctan2(rows["y"], rows["x"]), np.arcsin(rows["z"].clip(-1.0, 1.0))
            dots = panel.scatter(
                longitude, latitude, c=rows["success"], vmin=0.0, vmax=1.0, cmap="viridis", s=60, edgecolors="#444444"
            )
            panel.scatter(longitude[:1], latitude[:1], marker="x", color="#D55E00", s=90)
            panel.set_xticklabels([])
            panel.set_yticklabels([])
            panel.grid(True, alpha=0.4)
            panel.set_title(f"{model}: success (last pose); x: as in training", fontsize=9)
            spheres.append(panel)
        figure.colorbar(dots, ax=spheres, label="share of tasks", shrink=0.8)
        below = figure.add_subplot(grid[1, :])
        _against_wedge(below, frame)
        legend_below(figure, below)
        return save(figure, frame, folder, name)


def _from_wedge(frame: pd.DataFrame, folder: Path, name: str) -> Path:
    with canvas(5.2, 3.7) as figure:
        panel = figure.subplots()
        _against_wedge(panel, frame)
        panel.set_title("success (last pose)", fontsize=10)
        legend_below(figure, panel)
        return save(figure, frame, folder, name)


def _against_wedge(panel: Axes, frame: pd.DataFrame) -> None:
    """Every orientation with its interval, against its angle from the wedge of training."""
    for model, rows, look in models_of(frame):
        panel.plot(rows["from_wedge_deg"], rows["success"], label=model, **{**look, "linestyle": "none"})
        _intervals(panel, rows["from_wedge_deg"], rows, look)
    panel.set_ylim(-0.05, 1.05)
    panel.set_ylabel("share of tasks")
    panel.set_xlabel("angle from the training wedge (degrees)")


def _intervals(panel: Axes, at: pd.Series, rows: pd.DataFrame, look: Mapping[str, Any]) -> None:
    """The interval of every orientation, a line; Wilson's may leave out the share itself by a rounding."""
    spread = [(rows["success"] - rows["low"]).clip(lower=0.0), (rows["high"] - rows["success"]).clip(lower=0.0)]
    panel.errorbar(
        at, rows["success"], yerr=spread, fmt="none", ecolor=look["color"], elinewidth=1.0, capsize=2, alpha=0.6
    )
