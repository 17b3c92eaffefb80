"""`sweep-group --success`: success over the orbit, in the plane and in space."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.claims.success.measure import broken
from equiwm.claims.success.result import Share, SuccessBin, SuccessSweep
from equiwm.claims.success.view import success_tables
from equiwm.cli.main import run
from equiwm.grid import CellResult
from equiwm.results.measured import Baseline, Measured, Provenance
from equiwm.stats import repeated_wilson_interval, wilson_interval
from equiwm.symmetry.group import Group

PLANNING = ("horizon=3", "samples=8", "iterations=1", "elites=2", "steps=4", "replan=2")


def equiwm(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def _trained(preset, *settings):
    small = [f"planning.{setting}" for setting in PLANNING]
    small += [
        "training.transitions=64",
        "training.epochs=1",
        "training.batch=32",
        "model.predictor_widths=[8]",
        *settings,
    ]
    assert equiwm("train", "--preset", preset, *(word for each in small for word in ("--set", each)), "--quiet") == 0


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def test_success_round_the_circle(home, capsys):
    _trained("vn-ring")
    command = ("sweep-group", "runs/vn-ring", "--success", "--tasks", 4, "--bins", 6, "--jobs", 1)
    assert equiwm(*command, "--expect-invariant", "--json", "--quiet") == 0
    result = json.loads((home / "runs/vn-ring/metrics.json").read_text())["sweep_success"]
    assert [round(entry["turn_deg"]) for entry in result["bins"]] == [0, 60, 120, 180, 240, 300]
    assert [entry["overlap"] for entry in result["bins"]] == ["full", "partial", "none", "none", "none", "partial"]
    assert (result["pairs"], result["disagree"]) == (20, 0)
    for entry in result["bins"]:
        for pose in ("any", "final"):
            found, expected = entry[pose], wilson_interval(entry[pose]["solved"], 4)
            assert (found["share"], found["low"], found["high"]) == (expected.estimate, expected.low, expected.high)
    unseen = result["unseen_final"]
    assert unseen["tasks"] == 12
    once = wilson_interval(unseen["solved"] // 3, 4)  # each task ends alike at the three: it counts once
    assert (unseen["low"], unseen["high"]) == pytest.approx((once.low, once.high), abs=1e-12)
    assert (home / "runs/vn-ring/figures/success_se2_float64.png").is_file()
    assert len((home / "runs/vn-ring/figures/success_se2_float64.csv").read_text().splitlines()) == 7
    assert not (home / "runs/vn-ring/sweep_success").exists()  # what was kept is no longer needed
    capsys.readouterr()
    assert equiwm("report", "runs") == 0
    assert "Success over the orbit" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_success_in_the_precision_that_is_asked_for(home, dtype):
    _trained("vn-ring")
    command = ("sweep-group", "runs/vn-ring", "--success", "--tasks", 2, "--bins", 3, "--jobs", 1, "--quiet")
    assert equiwm(*command, "--dtype", dtype) == 0
    result = json.loads((home / "runs/vn-ring/metrics.json").read_text())["sweep_success"]
    assert (result["dtype"], result["device"]) == (dtype, "cpu")
    assert (home / f"runs/vn-ring/figures/success_se2_{dtype}.png").is_file()


def _bin(k: int, count: int, *, d: int, solved: int) -> SuccessBin:
    share = Share(solved, 4, *(getattr(wilson_interval(solved, 4), name) for name in ("estimate", "low", "high")))
    turn, direction = (360.0 * k / count, []) if d == 2 else (None, [0.0, math.sin(k), math.cos(k)])
    return SuccessBin(str(k), "none" if k else "full", 20.0 * k, turn, direction, share, share, 0)


@pytest.mark.parametrize("d", [2, 3])
def test_every_bin_is_drawn_with_its_interval(tmp_path, monkeypatch, d):
    """A line from low to high at every orientation of every model; in space a dot on its sphere as well."""
    from equiwm.claims.success import figure

    sides = {}
    for model, solved in (("vn", 4), ("mlp", 1)):
        bins = [_bin(k, 5, d=d, solved=solved if k else 4) for k in range(5)]
        sides[model] = SuccessSweep("se2", "float64", "cpu", "", 4, bins, bins[1].any, bins[1].final, 16, 0, 1, 0)
    drawn = []
    monkeypatch.setattr(figure, "save", lambda made, *rest: drawn.append(made) or tmp_path)
    figure.success_figure(sides, tmp_path)
    ends = [
        sorted(segment[:, 1].tolist())
        for panel in drawn[0].axes
        for lines in panel.collections
        if isinstance(lines, LineCollection)
        for segment in lines.get_segments()
    ]
    expected = [[entry.final.low, entry.final.high] for side in sides.values() for entry in side.bins]
    assert np.allclose(ends, expected)
    dots = [part for panel in drawn[0].axes for part in panel.collections if isinstance(part, PathCollection)]
    assert sum(len(part.get_offsets()) == 5 for part in dots) == (0 if d == 2 else 2)


def test_a_baseline_of_another_group_is_told_apart():
    """A finite group may have fewer elements than bins were asked for."""
    sides = [_bin(k, 3, d=2, solved=2) for k in range(3)], [_bin(k, 3, d=2, solved=1) for k in range(2)]
    result, other = (
        SuccessSweep(group, "float64", "cpu", "", 4, bins, bins[1].any, bins[1].final, 4, 0, 1, 0)
        for group, bins in zip(("so2", "c2"), sides, strict=True)
    )
    beside = Baseline(Provenance("mlp", "mlp", 0, "0" * 64), other)
    (table,) = success_tables(Measured(result, beside), "vn")
    assert table.rows[2][2:] == (table.rows[2][2], table.rows[2][3], "–", "–")
    assert any("C2: its bins hold other orientations" in note for note in table.notes)


def test_a_task_counts_once_however_often_it_is_turned():
    """Where tasks end alike at all orientations turning adds nothing: an interval of all episodes is too narrow."""
    tasks = np.array([True] * 12 + [False] * 4)
    alike = repeated_wilson_interval(np.tile(tasks[:, None], (1, 7)))
    once = wilson_interval(12, 16)
    assert (alike.estimate, alike.low, alike.high) == pytest.approx((once.estimate, once.low, once.high), abs=1e-12)
    assert repeated_wilson_interval(tasks[:, None]) == once
    mixed = repeated_wilson_interval(np.array([[True, False], [True, True]]))
    assert mixed.estimate == 0.75
    assert 0.0 < mixed.low < 0.75 < mixed.high < 1.0
    for nothing in (np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(3)):
        with pytest.raises(ValueError, match="expected"):
            repeated_wilson_interval(nothing)


def test_an_orbit_of_a_group_of_any_name():
    """A group about a direction of space, or of a module, has commas and colons in its name."""

    class World:
        group = Group.parse("so2").about((0.0, 0.6, 0.8))

    orbit = parse_orbit(f"{World.group.name}:3", World(), 0)
    assert len(orbit.elements) == 3
    assert bool(World.group.contains(orbit.elements).all())


def test_success_on_the_sphere(home):
    _trained("vn-3d", "model.encoder_widths=[4]", "model.latent=12")
    assert equiwm("sweep-group", "runs/vn-3d", "--success", "--tasks", 2, "--bins", 3, "--jobs", 1, "--quiet") == 0
    result = json.loads((home / "runs/vn-3d/metrics.json").read_text())["sweep_success"]
    assert len(result["bins"]) == 3
    for entry in result["bins"]:
        assert entry["turn_deg"] is None
        assert sum(value**2 for value in entry["direction"]) == pytest.approx(1.0)
    figures = list((home / "runs/vn-3d/figures").glob("success_*.png"))
    assert len(figures) == 1


def test_an_interrupted_sweep_goes_on(home, monkeypatch):
    from equiwm.claims.closed_loop import measure

    _trained("vn-ring")
    command = ("sweep-group", "runs/vn-ring", "--success", "--tasks", 3, "--bins", 2, "--jobs", 1, "--quiet")
    real, done = measure.run_grid, []

    def two_tasks(function, cells, *arguments, **options):
        def stop(finished, total, seconds):
            if finished == 2:
                raise KeyboardInterrupt

        real(function, cells, *arguments, **{**options, "progress": stop})

    def counted(function, cells, *arguments, **options):
        found: list[CellResult] = real(function, cells, *arguments, **options)
        done.append(len(found))
        return found

    monkeypatch.setattr(measure, "run_grid", two_tasks)
    assert equiwm(*command) == 130
    kept = list((home / "runs/vn-ring/sweep_success").rglob("*.json"))
    assert kept
    monkeypatch.setattr(measure, "run_grid", counted)
    assert equiwm(*command) == 0
    assert done == [3]


def test_what_is_refused(home, capsys):
    _trained("vn-ring")
    capsys.readouterr()
    for more, words in (
        (("--tasks", 3), "--tasks goes with --success"),
        (("--jobs", 2), "--jobs goes with --success"),
        (("--success", "--group", "o2"), "leave --group out"),
        (("--success", "--transitions", 100), "leave --transitions out"),
        (("--success", "--bins", 3600), "expected at most 360 with --success"),
        (("--success", "--tasks", 1), "--tasks"),
        (("--success", "--jobs", 0), "--jobs"),
    ):
        assert equiwm("sweep-group", "runs/vn-ring", *more, "--quiet") == 2
        told = capsys.readouterr().err
        assert words in told
        assert len(told.splitlines()) <= 8  # typer draws a box round a number out of its range
        assert "Traceback" not in told
    result = json.loads((home / "runs/vn-ring/metrics.json").read_text())
    assert "sweep_success" not in result


def test_a_task_that_is_solved_at_one_orientation_alone_is_told():
    class Result:
        pairs, disagree = 10, 1

    assert "1 of 10" in broken(Result())
    Result.pairs = 0
    assert "not decided" in broken(Result())
    Result.pairs, Result.disagree = 10, 0
    assert broken(Result()) is None
