"""The figure of a sweep: error over the orbit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from equiwm.claims.sweep.result import SweepResult
from equiwm.figures.canvas import canvas, kept, legend_below, mark_level, models_of, save, show_one
from equiwm.figures.medium import text_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def sweep_frame(sides: Mapping[str, SweepResult]) -> pd.DataFrame:
    """The rows that a sweep's figure is drawn from: one a model and bin."""
    return pd.DataFrame(
        {
            "model": model,
            "label": entry.label,
            "part": entry.part,
            "from_wedge_deg": entry.from_wedge_deg,
            "overlap": entry.overlap,
            "drawn": entry.drawn,
            "turn_deg": entry.turn_deg,
            "relmse": entry.relmse,
            **{f"relmse_{part}": value for part, value in entry.components.items()},
            **{f"readout_{target}": value for target, value in entry.readout.items()},
        }
        for model, side in sides.items()
        for entry in side.bins
    )


def sweep_figure(sides: Mapping[str, SweepResult], folder: Path) -> Path:
    """Error over the orbit, model and baseline, log scale, what overlaps the training wedge shaded.

    Against the angle of rotation in the plane, against the angle from the wedge for rotations in space, and rung by
    rung for the ladder of a group with translations. Latent relMSE is drawn relative to each model's own seen error
    (it compares nothing between models); read-out errors, which do compare, as they are.

    Args:
        sides: results by name of model, as the legend has them.
        folder: the run's `figures/`.

    Returns:
        The path of the PNG; the CSV beside it holds what is drawn.
    """
    frame, first = sweep_frame(sides), next(iter(sides.values()))
    name = f"sweep_{first.group}_{first.dtype}"
    if (known := kept(frame, folder, name)) is not None:
        return known
    readouts = [column for column in frame.columns if column.startswith("readout_")]
    draw = _panel_of(first)
    with canvas(4.2 * (1 + len(readouts)), 3.7) as figure:
        panels = figure.subplots(1, 1 + len(readouts), sharex=True, squeeze=False)[0]
        for panel, column in zip(panels, ["relmse", *readouts], strict=True):
            shown = frame.assign(error=frame[column])
            if column == "relmse":
                shown["error"] /= shown.groupby("model")["error"].transform("first")
            draw(panel, shown)
            panel.set_yscale("log")
            words = column.removeprefix("readout_").replace("_", " ")
            title = "one-step relMSE / seen" if column == "relmse" else f"read-out error, {words}"
            panel.set_title(title, fontsize=text_size(10), y=1.0)  # nothing stands above a log axis
        show_one(panels[0])
        for panel in panels[1:]:
            mark_level(panel, 1.0)
        legend_below(figure, panels[0])
        return save(figure, frame, folder, name)


def _panel_of(result: SweepResult) -> Callable[[Axes, pd.DataFrame], None]:
    """How the bins are laid out: on a ladder with translations, else round the circle if they stand there."""
    if any(entry.part in ("translation", "both") for entry in result.bins):
        return _ladder_panel
    # Of recorded orientations the first bin is all that training has seen, at no angle.
    return _space_panel if any(entry.turn_deg is None for entry in result.bins[1:]) else _circle_panel


def _circle_panel(panel: Axes, frame: pd.DataFrame) -> None:
    """Error against the angle of rotation; mirrored bins as a second, dashed line."""
    recorded = bool(frame["turn_deg"].isna().any())
    frame = frame[frame["turn_deg"].notna()]
    for model, rows, look in models_of(frame):
        mirrored = rows["part"] == "reflection"
        straight, turned = rows[~mirrored], rows[mirrored]
        panel.plot(straight["turn_deg"], straight["error"], label=model, **look)
        if len(turned):
            panel.plot(turned["turn_deg"], turned["error"], label=f"{model}, mirrored", linestyle="--", **look)
    first = frame[(frame["model"] == frame["model"].iloc[0]) & (frame["part"] != "reflection")]
    angles = first["turn_deg"]
    half = 180.0 / len(first)
    overlapping = angles[first["overlap"] != "none"]
    panel.set_xticks(range(0, 361, 90))
    if recorded:
        for angle in overlapping:
            panel.axvspan(angle - half, angle + half, color="#000000", alpha=0.07, linewidth=0)
        panel.set_xlabel("recorded orientation (degrees; shaded: seen in training)")
        return
    low, high = overlapping[overlapping < 180].max() + half, overlapping[overlapping >= 180].min() - half
    panel.axvspan(0, min(low, 360), color="#000000", alpha=0.07, linewidth=0, label="overlaps the training wedge")
    if high == high:
        panel.axvspan(high, 360, color="#000000", alpha=0.07, linewidth=0)
    panel.set_xlabel("rotation of the test scenes (degrees)")


def _space_panel(panel: Axes, frame: pd.DataFrame) -> None:
    """Error against the angle between the turned wedge and the wedge; mirrored bins hollow."""
    for model, rows, look in models_of(frame):
        mirrored = rows["part"] == "reflection"
        dots = {**look, "linestyle": "none"}
        panel.plot(rows["from_wedge_deg"][~mirrored], rows["error"][~mirrored], label=model, **dots)
        if mirrored.any():
            hollow = {**dots, "markerfacecolor": "none"}
            panel.plot(rows["from_wedge_deg"][mirrored], rows["error"][mirrored], label=f"{model}, mirrored", **hollow)
    panel.set_xlabel("angle from the training wedge (degrees)")
    panel.set_xticks(range(0, 181, 45))


def _ladder_panel(panel: Axes, frame: pd.DataFrame) -> None:
    """Error rung by rung, the random elements last as one column of dots."""
    labels = list(dict.fromkeys(frame["label"][~frame["drawn"]]))
    place = {label: index for index, label in enumerate(labels)}
    for model, rows, look in models_of(frame):
        at = rows["label"].map(place).fillna(len(labels))
        panel.plot(at, rows["error"], label=model, **{**look, "linestyle": "none"})
    panel.set_xticks(range(len(labels) + 1), [*labels, "random"], rotation=40, ha="right", fontsize=text_size(8))
