"""Figures of a closed loop: paired differences, errors over the orbit, and paths turned back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from equiwm.claims.closed_loop.result import ClosedLoopResult, Recording
from equiwm.disk.inside import read_inside
from equiwm.errors import RunError
from equiwm.figures.canvas import COLOURS, MARKERS, canvas, kept, legend_below, mark_level, save
from equiwm.figures.medium import text_size
from equiwm.printable import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import ColorType

MAX_PATHS = 2**26
"""Bytes of a CSV of paths that is read: those of 100 steps of 100 points at 100 orientations have half of it."""

FLOOR_DEG = 1e-16
"""Where a difference of exactly 0 is drawn on the log axis."""
OUTLINED = 3
"""Points of a part that have an outline in the plane: so many at least."""


def closed_loop_frame(sides: Mapping[str, ClosedLoopResult]) -> pd.DataFrame:
    """One row a model, task and orientation: errors, success, difference to the seen orientation, exclusion."""
    rows = []
    for model, side in sides.items():
        excluded = {(one.task, one.orbit): one.reason for one in side.excluded}
        for task, error in enumerate(side.error_deg):
            rows += [
                {
                    "model": model,
                    "task": task,
                    "orientation": label,
                    "initial_deg": side.initial_error_deg[task],
                    "error_deg": error[m],
                    f"position_{side.unit}": side.position_error[task][m],
                    "success_any": side.solved.any[task][m],
                    "success_final": side.solved.final[task][m],
                    "difference_deg": error[m] - error[0],
                    "excluded": excluded.get((task, label if m else "identity"), ""),
                }
                for m, label in enumerate(["seen", *side.orbit])
            ]
    return pd.DataFrame(rows)


def closed_loop_figure(sides: Mapping[str, ClosedLoopResult], folder: Path, file: str) -> Path:
    """Left, every paired difference |d_i| in ascending order on a log axis; right, the mean error at each orientation
    with 95% bootstrap intervals over tasks.

    Args:
        sides: results by name of model, as the legend has them.
        folder: the run's `figures/`.
        file: name of the figure without its ending.

    Returns:
        The path of the PNG; the CSV beside it holds every task. Pairs that met a wall are in the CSV alone.
    """
    from equiwm.stats import bootstrap_interval

    frame = closed_loop_frame(sides)
    if (known := kept(frame, folder, file)) is not None:
        return known
    labels = list(dict.fromkeys(frame["orientation"]))
    with canvas(9.4, 3.9) as figure:
        left, right = figure.subplots(1, 2)
        models = list(dict.fromkeys(frame["model"]))
        for index, model in enumerate(models):
            rows = frame[frame["model"] == model]
            look = {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 3.5}
            wide = rows.pivot(index="task", columns="orientation", values="error_deg")[labels]
            free = rows.assign(free=rows["excluded"] == "").pivot(index="task", columns="orientation", values="free")
            free = free[labels].to_numpy(dtype=bool)
            pairs = (free[:, 1:] & free[:, :1]).ravel()
            difference = np.abs(wide.to_numpy()[:, 1:] - wide.to_numpy()[:, :1]).ravel()[pairs]
            height = np.maximum(np.sort(difference), FLOOR_DEG)
            left.plot(np.linspace(0, 100, len(height)), height, linewidth=1.2, label=model, **look)
            ends = [bootstrap_interval(wide[label].to_numpy()) for label in labels] if len(wide) > 1 else []
            mean = wide.mean().to_numpy()
            spread = np.array([[end.estimate - end.low for end in ends], [end.high - end.estimate for end in ends]])
            place = np.arange(len(labels)) + 0.16 * (index - 0.5 * (len(models) - 1))
            right.errorbar(place, mean, spread if ends else None, linestyle="none", capsize=2.5, **look)
        mark_level(left, 1e-6)
        left.set_yscale("log")
        left.set_xlabel("pairs (percent, in ascending order)")
        unit = "degrees" if all(side.measure == "deg" for side in sides.values()) else "tolerances"
        left.set_title(f"|error turned - error seen| of one task ({unit})", fontsize=text_size(10), y=1.0)
        right.axvspan(-0.5, 0.5, color="#000000", alpha=0.07, linewidth=0)
        right.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=text_size(8))
        right.set_ylim(bottom=-0.03 * right.get_ylim()[1])  # a marker at 0 is seen whole
        right.set_title(f"mean error at each orientation ({unit})", fontsize=text_size(10))
        legend_below(figure, left)
        return save(figure, frame, folder, file)


def paths_frame(recordings: Mapping[str, Recording], labels: list[str]) -> pd.DataFrame:
    """One row a model, orientation, step and point: where it was, and where that is turned back (`back_`).

    Args:
        recordings: episodes of one task, by model.
        labels: of the orientations, the seen one first. Goals are in the rows of step -1.
    """
    frames = []
    for model, recorded in recordings.items():
        paths = recorded.points
        places: dict[str, np.ndarray] = {}
        for prefix, track, goal in (("", paths.track, paths.goal), ("back_", paths.track_back, paths.goal_back)):
            points = np.concatenate([np.asarray(goal)[:, None], np.asarray(track)], 1)  # (M, 1 + S + 1, K, d)
            places |= {f"{prefix}{axis}": points[..., i].ravel() for i, axis in enumerate("xyz"[: points.shape[-1]])}
        elements, steps, count = points.shape[:3]
        index = np.indices((elements, steps, count)).reshape(3, -1)
        frames.append(
            pd.DataFrame(
                {
                    "model": model,
                    "task": recorded.task,
                    "orientation": np.array(labels)[index[0]],
                    "step": index[1] - 1,
                    "part": np.array(paths.parts)[index[2]],
                    "point": index[2],
                    **places,
                }
            )
        )
    return pd.concat(frames, ignore_index=True).round(6)


def read_paths(figures: Path, name: str) -> pd.DataFrame | None:
    """What `paths_frame` gave, from the CSV that the command left; None where there is none.

    Args:
        figures: the run's `figures/`; it may be somebody else's, and no link in it is followed.
        name: of the CSV.

    Raises:
        RunError: the file cannot be read, or is not what `paths_frame` gave.
    """
    text = {"model": str, "orientation": str, "part": str}
    numbers = {"step": np.int64, "point": np.int64, "back_x": float, "back_y": float}
    unknown = {column: [""] for column in ("back_x", "back_y")}
    file = figures / name
    try:
        content = io.BytesIO(read_inside(figures.parent, figures.name, name, limit=MAX_PATHS))
        frame = pd.read_csv(content, dtype={**text, **numbers}, keep_default_na=False, na_values=unknown)
    except FileNotFoundError:
        return None
    except (ValueError, OverflowError) as error:  # what pandas says of text that is no table of these types
        raise RunError(f"{file} is damaged ({cut(str(error), 100)}); measure the run again.") from None
    missing = [column for column in (*text, *numbers, "task") if column not in frame]
    if missing or frame.empty:
        raise RunError(f"{file} is damaged (it has no {', '.join(missing) or 'rows'}); measure the run again.")
    return frame


def paths_figure(frame: pd.DataFrame, folder: Path, file: str) -> Path:
    """The episodes of one task at every orientation, turned back on top of each other, a panel a model.

    Of an invariant loop only one line is seen. Drawn are the paths of a few points (`traced_points`), and where all
    points are at the end; space is seen from above.

    Args:
        frame: of `paths_frame`.
        folder: the run's `figures/`.
        file: name of the figure without its ending.
    """
    from matplotlib import colormaps

    if (known := kept(frame, folder, file)) is not None:
        return known
    models, labels = list(dict.fromkeys(frame["model"])), list(dict.fromkeys(frame["orientation"]))
    with canvas(4.7 * len(models), 4.9, layout="compressed") as figure:
        panels = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
        for panel, model in zip(panels, models, strict=True):
            of_model = frame[frame["model"] == model]
            draw_scene(
                panel, of_model[(of_model["orientation"] == labels[0]) & (of_model["step"] == -1)], "back_", goal=True
            )
            for index, label in enumerate(labels):
                rows = of_model[(of_model["orientation"] == label) & (of_model["step"] >= 0)]
                colour = colormaps["viridis"](index / max(1, len(labels) - 1) * 0.9)
                for _, path in rows[rows["point"].isin(traced_points(rows))].groupby("point"):
                    panel.plot(path["back_x"], path["back_y"], color=colour, linewidth=1.1, alpha=0.85)
                last = rows[rows["step"] == rows["step"].max()]
                draw_scene(panel, last, "back_", colour=colour)
                panel.plot([], [], color=colour, label=label)
            panel.set_aspect("equal")
            panel.set_title(model, fontsize=text_size(10))
            panel.tick_params(labelsize=text_size(8))
        title = f"task {frame['task'].iloc[0]} at every orientation, turned back (goal: grey)"
        figure.suptitle(title, fontsize=text_size(10))
        legend_below(figure, panels[0], columns=5, size=text_size(8))
        return save(figure, frame, folder, file)


def acting_parts(rows: pd.DataFrame) -> set[str]:
    """The parts of one point beside parts of several: what acts on the body, as an agent or a pusher does.

    Args:
        rows: points of an episode, at one step or more.
    """
    sizes = rows.groupby("part")["point"].nunique()
    return set(sizes.index[sizes == 1]) if (sizes > 1).any() else set()


def traced_points(rows: pd.DataFrame) -> list[int]:
    """The points whose paths are drawn: those that act, and the outermost of the others at the start.

    Of the others the farthest from their middle, where a part has an outline in the plane, which shows where the rest
    is; else the three farthest.
    """
    acting = acting_parts(rows)
    start = rows[rows["step"] == rows["step"].min()].set_index("point")
    acts = start["part"].isin(acting)
    others = start[~acts].filter(regex="^back_[xyz]$")
    outlined = "back_z" not in others and start[~acts].groupby("part").size().max() >= OUTLINED
    away = ((others - others.mean()) ** 2).sum(axis=1).nlargest(1 if outlined else 3).index
    return [*map(int, start.index[acts]), *map(int, away)]


def draw_scene(
    panel: Axes, rows: pd.DataFrame, prefix: str, *, colour: ColorType = "#777777", goal: bool = False
) -> None:
    """One moment: in the plane the outline of each part that has one; everything else as dots, a larger one what acts.

    Args:
        panel: axes of matplotlib.
        rows: the points of one episode and step.
        prefix: `back_` for the points turned back, else empty.
        colour: of the lines.
        goal: whether it is the goal, which is filled, grey and without what acts on the body.
    """
    acting, plane = acting_parts(rows), f"{prefix}z" not in rows
    for part, points in rows.groupby("part", sort=False):
        x, y = points[f"{prefix}x"].to_numpy(), points[f"{prefix}y"].to_numpy()
        if plane and len(points) >= OUTLINED:
            round_ = outline(np.stack([x, y], -1))
            if goal:
                flat = len(round_) <= OUTLINED  # there and back: a line has no area to fill
                panel.fill(*round_.T, color="#cccccc", linewidth=1 if flat else 0)
            else:
                panel.plot(*round_.T, color=colour, linewidth=0.8, alpha=0.7)
        elif not (goal and part in acting):
            face = "none" if goal else colour
            edge = "#999999" if goal else colour
            panel.scatter(x, y, s=40 if part in acting else 9, facecolors=face, edgecolors=edge, linewidths=0.8)


def outline(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull of points (n, 2), closed: the first one again at the end.

    Of points on one line, which have no hull, its two ends and the first one again.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        corners = ConvexHull(points).vertices
    except QhullError:
        ascending = np.lexsort(points.T)
        corners = ascending[[0, -1]]
    return points[[*corners, corners[0]]]
