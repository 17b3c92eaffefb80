"""`sweep-group --success`: success over the orbit, in the plane and in space."""

from __future__ import annotations

import json

import pytest

from equiwm.claims.success.measure import broken
from equiwm.cli.main import run
from equiwm.grid import CellResult
from equiwm.stats import wilson_interval

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
    assert result["unseen_final"]["tasks"] == 12
    assert (home / "runs/vn-ring/figures/success_se2_float64.png").is_file()
    assert len((home / "runs/vn-ring/figures/success_se2_float64.csv").read_text().splitlines()) == 7
    assert not (home / "runs/vn-ring/sweep_success").exists()  # what was kept is no longer needed
    capsys.readouterr()
    assert equiwm("report", "runs") == 0
    assert "Success over the orbit" in capsys.readouterr().out


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
        (("--success", "--group", "o2"), "leave --group out"),
        (("--success", "--tasks", 1), "--tasks"),
    ):
        assert equiwm("sweep-group", "runs/vn-ring", *more, "--quiet") == 2
        assert words in capsys.readouterr().err
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
