"""Paths of a closed loop are drawn from what their parts are, never from what they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from equiwm.claims.closed_loop.figures import (
    acting_parts,
    draw_scene,
    outline,
    paths_figure,
    read_paths,
    traced_points,
)

REFERENCE = Path(__file__).parent.parent / "runs" / "reference"
SQUARE = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def scene(parts: dict[str, np.ndarray]) -> pd.DataFrame:
    """The goal and two steps of one episode, whose parts move by one unit along x a step."""
    rows, point = [], 0
    for part, places in parts.items():
        for place in places:
            for step in (-1, 0, 1):
                moved = place + np.eye(len(place))[0] * (step + 1)
                back = {f"{prefix}{axis}": at for prefix in ("", "back_") for axis, at in zip("xyz", moved)}  # noqa: B905
                rows.append({"model": "m", "task": 0, "orientation": "seen", "step": step, "part": part})
                rows[-1] |= {"point": point, **back}
            point += 1
    return pd.DataFrame(rows)


def drawn(rows: pd.DataFrame, *, goal: bool = False) -> tuple[int, int, list[float]]:
    """How many lines, filled outlines, and the size of dots of each part that has any."""
    panel = Figure().subplots()
    draw_scene(panel, rows[rows["step"] == (-1 if goal else 1)], "back_", goal=goal)
    return len(panel.lines), len(panel.patches), [float(dots.get_sizes()[0]) for dots in panel.collections]


@pytest.mark.parametrize("names", [("agent", "bar", "stem"), ("7", "None", "pusher"), ("stem", "agent", "pusher")])
def test_in_the_plane_parts_are_outlines_and_what_acts_is_a_dot(names):
    acts, first, second = names
    rows = scene({acts: np.array([[5.0, 5.0]]), first: SQUARE, second: SQUARE * [3.0, 1.0]})
    assert acting_parts(rows) == {acts}
    assert drawn(rows) == (2, 0, [40.0])
    assert drawn(rows, goal=True) == (0, 2, [])
    assert traced_points(rows[rows["step"] >= 0]) == [0, 7]  # and the farthest from the middle of the rest


def test_in_space_parts_are_dots():
    points = np.random.default_rng(0).normal(size=(9, 3)) + 4.0
    points[[2, 5, 7]] *= 10.0
    rows = scene({"rock": points, "hand": np.zeros((1, 3))})
    assert drawn(rows) == (0, 0, [9.0, 40.0])
    assert drawn(rows, goal=True) == (0, 0, [9.0])
    assert sorted(traced_points(rows)) == [2, 5, 7, 9]


def test_a_world_of_points_alone_has_nothing_that_acts():
    rows = scene({"left": np.array([[0.0, 0.0]]), "right": np.array([[1.0, 0.0]])})
    assert acting_parts(rows) == set()
    assert drawn(rows, goal=True) == (0, 0, [9.0, 9.0])
    assert sorted(traced_points(rows)) == [0, 1]


def test_an_outline_is_the_hull_in_order_and_a_line_of_points_on_one():
    inside = np.concatenate([SQUARE, [[0.5, 0.4]]])
    round_ = outline(inside)
    assert len(round_) == 5
    assert (round_[0] == round_[-1]).all()
    assert np.abs(np.diff(round_, axis=0)).sum(1) == pytest.approx(1.0)  # along the sides, never across
    for line in (np.arange(4.0)[:, None] * [[1.0, -2.0]], np.arange(3.0)[:, None] * [[0.0, 1.0]]):
        shuffled = line[[1, 0, *range(2, len(line))]]
        ends = outline(shuffled)
        assert {tuple(end) for end in ends} == {tuple(line[0]), tuple(line[-1])}
    assert (outline(np.ones((3, 2))) == 1.0).all()


def test_names_of_parts_survive_the_file(tmp_path):
    rows = scene({"None": np.array([[5.0, 5.0]]), "007": SQUARE})
    rows.to_csv(tmp_path / "kept.csv", index=False)
    pd.testing.assert_frame_equal(read_paths(tmp_path, "kept.csv"), rows, check_dtype=False)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="needs a checkout, which has the reference runs")
def test_paths_of_older_versions_are_drawn(tmp_path):
    kept = REFERENCE / "runs" / "vn-2d-forward" / "figures" / "closed_loop_equivariant_pose_paths.csv"
    frame = read_paths(kept.parent, kept.name)
    assert acting_parts(frame[frame["orientation"] == "seen"]) == {"agent"}
    assert paths_figure(frame, tmp_path, "paths").stat().st_size > 10_000
