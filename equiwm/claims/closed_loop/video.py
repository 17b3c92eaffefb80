"""A GIF of one task: its seen and its turned episode side by side, model and baseline above each other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from equiwm.claims.closed_loop.figures import draw_scene
from equiwm.disk.files import atomic_writer
from equiwm.figures.canvas import COLOURS, canvas, open_folder

MILLISECONDS = 120
"""A step; the last one is held ten times as long."""


def write_video(frame: pd.DataFrame, folder: Path, file: str) -> Path:
    """Write `file`.gif: a row a model; the seen episode, the first turned one, and that one turned back over the first.

    Args:
        frame: of `figures.paths_frame`.
        folder: the run's `figures/`.
        file: name without its ending.

    Returns:
        The path of the GIF.
    """
    from PIL import Image

    models, labels = list(dict.fromkeys(frame["model"])), list(dict.fromkeys(frame["orientation"]))[:2]
    frame = frame[frame["orientation"].isin(labels)]
    views = [(labels[0], ""), (labels[1], ""), (None, "back_")]  # None: both
    limits = {view: _limits(frame, *view) for view in views}
    images = []
    for step in range(frame["step"].max() + 1):
        with canvas(7.2, 2.6 * len(models), dpi=90) as figure:
            panels = figure.subplots(len(models), len(views), squeeze=False)
            for row, model in zip(panels, models, strict=True):
                rows = frame[frame["model"] == model]
                for panel, (view, title) in zip(
                    row, zip(views, (*labels, "the turned one, turned back"), strict=True), strict=True
                ):
                    _draw(panel, rows, view, labels, step)
                    panel.set_xlim(*limits[view][0])
                    panel.set_ylim(*limits[view][1])
                    panel.set_aspect("equal")
                    panel.set_xticks([])
                    panel.set_yticks([])
                    panel.set_title(f"{model}: {title}" if view[0] == labels[0] else title, fontsize=8)
            figure.canvas.draw()
            pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
            images.append(Image.fromarray(pixels[..., :3]))
    colours = images[-1].quantize(64)  # one palette for all: else the background flickers
    stills = [image.quantize(palette=colours) for image in images]
    content = io.BytesIO()
    stills[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=stills[1:],
        duration=[MILLISECONDS] * (len(stills) - 1) + [10 * MILLISECONDS],
        loop=0,
    )
    open_folder(folder, file)
    with atomic_writer(folder / f"{file}.gif") as target:
        target.write(content.getvalue())
    return folder / f"{file}.gif"


def _draw(panel: Any, rows: pd.DataFrame, view: tuple[str | None, str], labels: list[str], step: int) -> None:
    label, prefix = view
    for index, name in enumerate(labels):
        if label in (None, name):
            of_episode = rows[rows["orientation"] == name]
            draw_scene(panel, of_episode[of_episode["step"] == -1], prefix, goal=True)
            draw_scene(panel, of_episode[of_episode["step"] == step], prefix, colour=COLOURS[index])


def _limits(frame: pd.DataFrame, label: str | None, prefix: str) -> list[tuple[float, float]]:
    """A square that holds every step of the view."""
    rows = frame if label is None else frame[frame["orientation"] == label]
    x, y = rows[f"{prefix}x"], rows[f"{prefix}y"]
    middle = [(axis.max() + axis.min()) / 2 for axis in (x, y)]
    half = 0.55 * max(axis.max() - axis.min() for axis in (x, y))
    return [(at - half, at + half) for at in middle]
