"""The figure of success over the orbit: on the circle in the plane, on the sphere in space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from equiwm.claims.success.result import SuccessSweep
from equiwm.figures.canvas import canvas, legend_below, models_of, save


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
    """Success by the last pose at every orientation, with Wilson's intervals, model and baseline.

    In the plane round a circle: the angle is the turn, the radius the share of tasks. In space a panel a model: every
    orientation a dot on the sphere (Mollweide's projection) where it takes the middle of the orientations of training,
    its colour the share. For groups that turn about one axis of space, against the angle from the wedge.

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
            panel.fill_between(angle, closed["low"], closed["high"], color=look.get("color"), alpha=0.15, linewidth=0)
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
    with canvas(5.4 * len(models), 3.6) as figure:
        for k, model in enumerate(models):
            panel = figure.add_subplot(1, len(models), k + 1, projection="mollweide")
            rows = frame[frame["model"] == model]
            longitude, latitude = np.arctan2(rows["y"], rows["x"]), np.arcsin(rows["z"].clip(-1.0, 1.0))
            dots = panel.scatter(
                longitude, latitude, c=rows["success"], vmin=0.0, vmax=1.0, cmap="viridis", s=60, edgecolors="#444444"
            )
            panel.scatter(longitude[:1], latitude[:1], marker="x", color="#D55E00", s=90, label="as in training")
            panel.set_xticklabels([])
            panel.set_yticklabels([])
            panel.grid(True, alpha=0.4)
            panel.set_title(f"{model}: success (last pose)", fontsize=10)
        figure.colorbar(dots, ax=figure.axes, label="share of tasks", shrink=0.7)
        return save(figure, frame, folder, name)


def _from_wedge(frame: pd.DataFrame, folder: Path, name: str) -> Path:
    with canvas(5.2, 3.7) as figure:
        panel = figure.subplots()
        for model, rows, look in models_of(frame):
            spread = [rows["success"] - rows["low"], rows["high"] - rows["success"]]
            panel.errorbar(
                rows["from_wedge_deg"], rows["success"], yerr=spread, label=model, **{**look, "linestyle": "none"}
            )
        panel.set_ylim(-0.05, 1.05)
        panel.set_xlabel("angle from the training wedge (degrees)")
        panel.set_title("success (last pose)", fontsize=10)
        legend_below(figure, panel)
        return save(figure, frame, folder, name)
