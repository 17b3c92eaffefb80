"""The closed loop: statistics by definition, equivariant loops invariant, controls not, and nothing lost."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from equiwm.claims.closed_loop.episode import orbit_cell
from equiwm.claims.closed_loop.measure import TOLERANCES_DEG, Outcome, _result, closed_loop
from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.claims.closed_loop.result import ClosedLoopResult, Ranking
from equiwm.claims.closed_loop.view import closed_loop_tables
from equiwm.cli.main import run
from equiwm.cli.progress import ProgressBars
from equiwm.config import load, planning_of
from equiwm.errors import ConfigError, DataError, GroupError, MissingExtraError
from equiwm.loading import load_run
from equiwm.planning.costs import Objective, Term
from equiwm.planning.task import Criterion
from equiwm.results.measured import Measured, read, to_builtins
from equiwm.training.run import prepare_run, train_run
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.pusht.world import PushT

QUICK = {"horizon": 6, "samples": 32, "iterations": 3, "elites": 6, "steps": 8, "replan": 4}
SETTINGS = [f"planning.{key}={value}" for key, value in QUICK.items()]
TINY = ("training.transitions=256", "training.epochs=3", "training.batch=64")
IN_SPACE = ("vn-3d", "mlp-3d", "vn-body")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, trained) -> Path:
    """A folder with tiny complete trainings, of which those in the plane are the session's."""
    folder = tmp_path_factory.mktemp("loops") / "runs"
    folder.mkdir()
    for path in trained.iterdir():
        (folder / path.name).symlink_to(path)
    for preset in IN_SPACE:
        try:
            ready = prepare_run(load(preset, None, TINY), folder, preset, seed=0, resume=False)
        except MissingExtraError:
            continue
        train_run(ready, device=torch.device("cpu"))
    return folder


def loop(folder: Path, preset: str, store: Path, *settings: str, **options) -> ClosedLoopResult:
    return shown_loop(folder, preset, store, *settings, **options).result


def shown_loop(folder: Path, preset: str, store: Path, *settings: str, dtype=torch.float64, **options):
    if not (folder / preset).exists():
        pytest.skip(f"{preset} needs an extra")
    loaded = load_run(folder / preset, dtype)
    loaded = loaded.altered(planning=planning_of(loaded.planning, [*SETTINGS, *settings]))
    return closed_loop(loaded, **{"tasks": 2, "store": store, **options})


# --- orbits


def test_orbits():
    plane, space = PushT(), Cloud()
    orbit = parse_orbit("90, 37.5,-10", plane, 0)
    assert orbit.labels == ["90°", "37.5°", "-10°"]
    assert orbit.elements.angle_deg.tolist() == pytest.approx([90.0, 37.5, 10.0])
    assert len(parse_orbit(None, plane, 0).labels) == 7
    default = parse_orbit(None, space, 0)
    assert len(default.labels) == 8
    assert default.elements.translation.norm(dim=-1).min() > 0.0
    assert not parse_orbit("so3:4", space, 0).elements.translation.any()
    again, other = parse_orbit("se3:8", space, 0), parse_orbit("se3:8", space, 1)
    assert torch.equal(again.elements.linear, default.elements.linear)
    assert not torch.equal(other.elements.linear, default.elements.linear)


@pytest.mark.parametrize(
    "text", ["", "90,", "ninety", "0", "90,360", "nan", "inf", "so3:4", "se2:4", "o2:4", "so2:0", "so9:1"]
)
def test_orbits_that_are_none_in_the_plane(text):
    with pytest.raises(GroupError):
        parse_orbit(text, PushT(), 0)


@pytest.mark.parametrize("text", ["90", "so2:4", "o3:2", "e3:2", "se3:-1", "se3:100000"])
def test_orbits_that_are_none_in_space(text):
    with pytest.raises(GroupError):
        parse_orbit(text, Cloud(), 0)


# --- statistics

CRITERION = Criterion(angle_deg=18.0, distance=24.0, unit="px", degrees=0.3, scored="best")
FACTS = {
    **{"planner": "equivariant", "method": "cem", "goal": "pose", "group": "so2"},
    **{"dtype": "float64", "device": "cpu", "parameters": 1},
}


def outcome(errors: list[list[float]], excluded=None, moved: float = 30.0, steered: float = 30.0) -> Outcome:
    """Tasks x orientations whose poses on the way are 40 deg off, then `errors`, then 1 deg worse; positions 10 px."""
    last = np.array(errors, dtype=float)
    angle = np.stack([np.full_like(last, 40.0), last, last + 1.0], -1)
    blank = [[None] * last.shape[1] for _ in last]
    turned, led = np.full_like(last, moved), np.full(len(last), steered)
    return Outcome(angle, np.full_like(angle, 10.0), turned, led, excluded or blank, None)


def result_of(found: Outcome, **facts) -> ClosedLoopResult:
    labels = [f"{k}" for k in range(1, found.angle.shape[1])]
    facts = {**FACTS, **facts}
    tolerance = TOLERANCES_DEG[facts["dtype"]]
    return _result(found, CRITERION, labels=labels, seed=0, tolerance=tolerance, references=[], facts=facts)


def test_figures_are_their_definition():
    errors = [[5.0, 5.0, 8.0], [20.0, 17.0, 20.0], [10.0, 10.0, 10.0]]
    found = result_of(outcome(errors))
    assert found.error_deg == errors
    assert found.position_error == [[10.0] * 3] * 3
    assert found.initial_error_deg == [40.0] * 3
    assert (found.paired_pairs, found.paired_abs_max_deg, found.paired_above) == (6, 3.0, 2)
    assert found.paired_abs_median_deg == 0.0
    assert found.ood_minus_seen.mean == pytest.approx(np.mean([1.5, -1.5, 0.0]))
    assert found.ood_over_seen.ratio == pytest.approx(35.0 / 35.0)
    low, high = found.ood_minus_seen.ci95
    assert low < 0.0 < high
    assert (found.sign_test.n, found.sign_test.statistic) == (2, 1.0)
    assert found.sign_flip_test.p == 1.0
    assert found.success_rate.any.seen == pytest.approx(2 / 3)
    assert found.success_rate.any.each == pytest.approx([1.0, 2 / 3])
    assert found.success_rate.final.each == pytest.approx([2 / 3, 2 / 3])  # 17 + 1 is not below 18
    assert found.fraction_closed.seen == pytest.approx(1 - 35 / 120)
    assert found.verdict == "not invariant"


def test_the_best_pose_weighs_position():
    angle, distance = np.array([[[9.0, 3.0]] * 2]), np.array([[[0.0, 30.0]] * 2])
    found = Outcome(angle, distance, np.ones((1, 2)), np.ones(1), [[None, None]], None)
    assert found.scored(CRITERION, "best")[0].tolist() == [[9.0, 9.0]]
    assert found.scored(CRITERION, "final")[0].tolist() == [[3.0, 3.0]]
    assert found.solved(CRITERION, "best").all()
    assert not found.solved(CRITERION, "final").any()


def test_excluded_pairs_are_left_out_of_paired_figures_alone():
    errors = [[5.0, 5.0, 5.0]] * 19 + [[5.0, 30.0, 5.0]]
    reasons = [[None] * 3 for _ in errors]
    reasons[-1][1] = "wall"
    found = result_of(outcome(errors, reasons))
    assert found.paired_abs_max_deg == 0.0
    assert found.paired_pairs == 39
    assert found.ood_minus_seen.mean == pytest.approx(12.5 / 20)
    assert found.success_rate.any.ood == pytest.approx(39 / 40)
    assert [asdict(entry) for entry in found.excluded] == [{"task": 19, "orbit": "1", "reason": "wall"}]
    assert found.verdict == "invariant"
    reasons[-1][0] = "wall"  # the seen member: all of its pairs
    assert result_of(outcome(errors, reasons)).paired_pairs == 38
    for row in reasons[:2]:
        row[0] = "wall"
    most = result_of(outcome(errors, reasons))
    assert most.verdict == "inconclusive"
    assert "excluded" in most.reason


def test_nothing_is_concluded_from_a_loop_that_does_nothing():
    found = result_of(outcome([[35.0, 35.0]] * 4, moved=0.2))
    assert found.verdict == "inconclusive"
    assert "does nothing" in found.reason
    drifted = result_of(outcome([[35.0, 35.0]] * 4, moved=30.0, steered=0.2))
    assert drifted.verdict == "inconclusive"
    assert "without actions" in drifted.reason


def test_no_pair_left_is_refused():
    with pytest.raises(DataError, match="no pair"):
        result_of(outcome([[5.0, 5.0]] * 2, [["wall", None], [None, "wall"]]))


def test_a_perfect_loop_has_no_ratio():
    found = result_of(outcome([[0.0, 0.0]] * 3))
    assert math.isnan(found.ood_over_seen.ratio)
    stored = to_builtins(Measured(found))
    assert stored["ood_over_seen"]["ratio"] is None
    assert "| unseen / seen [95%] | – [–, –] |" in closed_loop_tables(read(ClosedLoopResult, stored), "x")[0].markdown()


# --- the loop


@pytest.mark.parametrize("method", ["cem", "mppi"])
@pytest.mark.parametrize("preset", ["vn-2d-forward", "vn-2d", "vn-3d", "vn-body"])
def test_an_equivariant_loop_is_invariant(runs, tmp_path, preset, method):
    orbit = "90,101.3" if "2d" in preset else "se3:2"
    both = shown_loop(runs, preset, tmp_path, f"planning.method={method}", orbit=orbit)
    found, shown = both.result, both.recording.points
    assert found.paired_abs_max_deg < 1e-8
    assert found.goal == ("pose" if preset == "vn-2d-forward" else "latent")
    back = np.array(shown.track_back)
    assert np.abs(back - back[:1]).max() < 1e-8
    assert np.abs(back[:, -1] - back[:, 0]).max() > 0.1  # of the agent, at least


@pytest.mark.parametrize("preset", ["vn-2d", "vn-3d"])
def test_a_loop_towards_goals_in_steps_is_invariant(runs, tmp_path, preset):
    orbit = "90,101.3" if "2d" in preset else "se3:2"
    found = shown_loop(runs, preset, tmp_path, "planning.goal=steps", orbit=orbit).result
    assert found.goal == "steps"
    assert found.paired_abs_max_deg < 1e-8


@pytest.mark.parametrize("preset", ["vn-2d-forward", "vn-3d"])
def test_the_papers_planner_is_invariant_and_the_ordinary_one_is_not(runs, tmp_path, preset):
    told = loop(runs, preset, tmp_path / "paper", planner="paper")
    ordinary = loop(runs, preset, tmp_path / "ordinary", planner="ordinary")
    assert told.paired_abs_max_deg < 1e-8
    assert ordinary.paired_abs_max_deg > 1e-2
    assert ordinary.verdict == "not invariant"


@pytest.mark.parametrize("preset", ["mlp-2d-forward", "mlp-3d"])
def test_an_ordinary_model_is_not_invariant(runs, tmp_path, preset):
    found = loop(runs, preset, tmp_path)
    assert found.paired_abs_max_deg > 1e-2
    assert not found.passed


def test_float32_is_nearly_invariant(runs, tmp_path):
    found = loop(runs, "vn-3d", tmp_path, dtype=torch.float32)
    assert 0.0 < found.paired_abs_max_deg < 1.0
    assert found.dtype == "float32"


@pytest.mark.parametrize("goal", ["latent", "steps", "procrustes"])
def test_reference_lines(runs, tmp_path, goal):
    """The task's own actions reach its goal exactly; the true dynamics come closer than the centroid alone."""
    settings = (f"planning.goal={goal}", "planning.samples=128", "planning.steps=12", "planning.horizon=12")
    found = loop(runs, "vn-3d", tmp_path, *settings, references=True, orbit="so3:1")
    lines = {line.name.split()[0]: line for line in found.references}
    assert set(lines) == {"centroid", "true", "replay"}
    assert lines["replay"].fraction_closed == pytest.approx(1.0, abs=1e-6)
    assert lines["replay"].success == 1.0
    assert lines["true"].fraction_closed > 0.7


# --- what is kept


def test_an_interrupted_loop_goes_on_and_gives_the_same(runs, tmp_path):
    whole = loop(runs, "vn-3d", tmp_path / "whole", tasks=3, orbit="so3:1")
    seen: list[tuple[int, int]] = []

    def interrupt(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop(runs, "vn-3d", tmp_path / "cut", tasks=3, orbit="so3:1", progress=interrupt)
    again = loop(
        runs, "vn-3d", tmp_path / "cut", tasks=3, orbit="so3:1", progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert again == whole
    assert loop(runs, "vn-3d", tmp_path / "two", tasks=3, orbit="so3:1", jobs=2) == whole


def test_a_task_depends_neither_on_its_neighbours_nor_on_the_orbit(runs, tmp_path):
    alone = loop(runs, "vn-3d", tmp_path, tasks=2, orbit="so3:1")
    among = loop(runs, "vn-3d", tmp_path, tasks=3, orbit="so3:3")
    assert [row[0] for row in alone.error_deg] == pytest.approx([row[0] for row in among.error_deg[:2]], abs=1e-9)


def test_a_store_is_never_gone_on_with_for_other_settings(runs, tmp_path):
    first = loop(runs, "vn-3d", tmp_path, orbit="so3:1")
    second = loop(runs, "vn-3d", tmp_path, "planning.samples=33", orbit="so3:1")
    assert first.error_deg != second.error_deg


class _Nan(Term):
    def score(self, trajectory, actions, tasks):
        return torch.full(actions.shape[:2], math.nan)


def test_a_model_that_gives_no_costs_leaves_the_world_alone(runs, monkeypatch, tmp_path):
    monkeypatch.setattr("equiwm.claims.closed_loop.episode.model_goal", lambda *_: lambda *_: Objective([_Nan()]))
    found = loop(runs, "vn-3d", tmp_path)
    assert found.moved_deg < 1e-6
    assert found.verdict == "inconclusive"


def test_a_world_that_diverges_is_a_counted_exclusion(runs, monkeypatch, tmp_path):
    step = Cloud.step
    calls = 0

    def failing(self, observation, action):
        nonlocal calls
        calls += 1
        return step(self, observation, action) * (math.inf if calls == 30 else 1.0)

    monkeypatch.setattr(Cloud, "step", failing)
    found = loop(runs, "vn-3d", tmp_path, tasks=6)
    assert [entry.reason for entry in found.excluded] == ["the world diverged"]
    assert found.paired_pairs == 6 * 8 - 1
    assert all(map(math.isfinite, np.ravel(found.error_deg)))


def test_what_is_recorded_is_turned_back(runs, tmp_path):
    shown = shown_loop(runs, "vn-2d-forward", tmp_path, show=1, orbit="90,37").recording.points
    track, back = np.array(shown.track), np.array(shown.track_back)
    assert track.shape == (3, 9, 9, 2)
    assert np.abs(back - back[:1]).max() < 1e-6
    assert np.abs(track - track[:1]).max() > 10.0
    assert np.allclose(np.array(shown.goal)[1], np.array(shown.goal_back)[0] @ np.array([[0.0, 1.0], [-1.0, 0.0]]))


def test_cells_are_plain_data(runs):
    loaded = load_run(runs / "vn-2d-forward")
    planning = asdict(planning_of(loaded.planning, SETTINGS))
    params = {
        **{
            "run": str(runs / "vn-2d-forward"),
            "checkpoint": "x",
            "dtype": "float32",
            "device": "cpu",
            "controller": "model",
        },
        **{"planner": "equivariant", "planning": planning, "task": 1, "orbit": "90", "seed": 0, "record": False},
    }
    assert json.loads(json.dumps(orbit_cell(params))) == orbit_cell(params)


# --- refusals


@pytest.mark.parametrize(
    ("preset", "settings", "options", "error", "words"),
    [
        ("vn-2d", ["planning.goal=pose"], {}, ConfigError, "--goal latent or steps"),
        ("vn-3d", ["planning.goal=pose"], {}, ConfigError, "not the state"),
        ("vn-3d", [], {"tasks": 1}, DataError, "at least 2"),
        ("vn-3d", [], {"show": 2}, DataError, "expected 0 to 1"),
        ("vn-3d", [], {"orbit": "90"}, GroupError, "angles name rotations of the plane"),
        ("vn-2d-forward", [], {"orbit": "se3:4"}, GroupError, "no subgroup"),
        ("vn-3d", [], {"planner": "equivariantt"}, ConfigError, "did you mean"),
    ],
)
def test_what_makes_no_loop_is_refused_before_any_cell(runs, tmp_path, preset, settings, options, error, words):
    with pytest.raises(error, match=words):
        loop(runs, preset, tmp_path / "store", *settings, **options)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "setting", ["horizon=0", "samples=0", "elites=0", "replan=0", "steps=-1", "running=-1", "sigma=0", "elites=99"]
)
def test_planning_settings_are_refused_when_they_are_read(setting):
    with pytest.raises(ConfigError, match=f"planning.{setting.split('=')[0]}"):
        load("vn-2d-forward", None, ["planning.samples=40", f"planning.{setting}"])


def test_worlds_have_planning_defaults_of_their_own():
    plane, space = load("vn-2d-forward").planning, load("vn-3d").planning
    assert (plane.horizon, plane.samples, plane.steps, plane.shrink) == (20, 300, 30, False)
    assert (space.horizon, space.samples, space.steps, space.shrink) == (12, 256, 18, True)
    assert load("vn-3d", None, ["planning.steps=30"]).planning.horizon == 12


# --- the command

QUICK_OPTIONS = [part for setting in SETTINGS for part in ("--set", setting)]


def command(*arguments: object) -> int:
    return run(["closed-loop", *map(str, arguments), *QUICK_OPTIONS, "--jobs", "1"])


def test_the_command_writes_everything_beside_the_result(runs, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = (runs / "vn-2d-forward", "--baseline", runs / "mlp-2d-forward", "--tasks", 2, "--orbit", "90,37")
    assert command(*arguments, "--video", "--out", out) == 0
    printed = capsys.readouterr()
    assert "closed loop" in printed.out
    assert "invariant" in printed.out
    section = json.loads((out / "metrics.json").read_text())["closed_loop"]
    assert set(section["variants"]) == {"equivariant/pose"}
    assert np.array(section["error_deg"]).shape == (2, 3)
    assert section["baseline"]["preset"] == "mlp-2d-forward"
    assert section["paired_abs_max_deg"] < 1e-8 < section["baseline"]["paired_abs_max_deg"]
    stem = "closed_loop_equivariant_pose"
    files = {path.name for path in (out / "figures").iterdir()}
    drawn = {f"{name}.{kind}" for name in (stem, f"{stem}_paths") for kind in ("csv", "png", "svg")}
    assert files == {*drawn, f"{stem}.gif"}
    rows = pd.read_csv(out / "figures" / f"{stem}.csv")
    assert len(rows) == 2 * 2 * 3
    first = rows[(rows["model"] == "vn-2d-forward") & (rows["task"] == 1)]["error_deg"]
    assert first.tolist() == pytest.approx(section["error_deg"][1])
    assert not (out / "closed_loop").exists()
    from PIL import Image

    with Image.open(out / "figures" / f"{stem}.gif") as video:
        assert video.n_frames == 9  # type: ignore[attr-defined]


def test_the_same_command_gives_the_same_metrics(runs, tmp_path):
    arguments = (runs / "vn-2d-forward", "--tasks", 2, "--orbit", "90", "--quiet")
    assert command(*arguments, "--out", tmp_path / "a") == 0
    assert command(*arguments, "--out", tmp_path / "b") == 0
    first, second = ((tmp_path / name / "metrics.json").read_text() for name in "ab")
    assert first == second


def test_expect_invariant(runs, tmp_path, capsys):
    options = ("--tasks", 2, "--orbit", "90", "--out", tmp_path / "out", "--expect-invariant")
    assert command(runs / "mlp-2d-forward", *options) == 1
    assert "not invariant" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "training.epochs=3"], "settings of planning"),
        (["--set", "planning.horizon=0"], "planning.horizon"),
        (["--set", "planning.horizn=3"], "horizon"),
        (["--goal", "pose"], "ask for --goal latent or steps"),
        (["--goal", "poses"], "--goal"),
        (["--planner", "ordinari"], "--planner"),
        (["--orbit", "se3:4"], "--orbit"),
        (["--tasks", "1"], "--tasks"),
        (["--show", "99"], "--show"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_wrong_input_is_refused(runs, tmp_path, capsys, arguments, words):
    status = run(["closed-loop", str(runs / "vn-2d"), "--out", str(tmp_path / "out"), *arguments])
    errors = capsys.readouterr().err
    assert status == 2, errors
    assert words in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_baseline_of_another_world_is_refused(runs, tmp_path, capsys):
    assert command(runs / "vn-2d-forward", "--baseline", runs / "mlp-3d", "--out", tmp_path) == 2
    assert "same world" in capsys.readouterr().err


def kept(folder: Path) -> list[str]:
    """Finished tasks under a folder of stores."""
    return sorted(path.name for path in folder.glob("*/*/cells/*.json"))


def test_a_loop_removes_its_own_store_alone(runs, tmp_path, monkeypatch):
    """Neither a folder of the user's that is called the same, nor what an interrupted loop has finished."""
    (tmp_path / "closed_loop").mkdir()
    (tmp_path / "closed_loop" / "thesis.tex").write_text("years of work")
    large = (runs / "vn-2d-forward", "--tasks", 3, "--orbit", "90", "--out", tmp_path)
    small = (runs / "vn-2d-forward", "--tasks", 2, "--orbit", "90", "--out", tmp_path)
    count, seen = ProgressBars.count, list[int]()

    def interrupt(self, name, done, total):
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ProgressBars, "count", interrupt)
        assert command(*large) == 130
    first = kept(tmp_path / "closed_loop")
    assert len(first) == 2
    assert command(*small) == 0
    assert kept(tmp_path / "closed_loop") == first
    seen.clear()
    monkeypatch.setattr(ProgressBars, "count", lambda self, *counts: (seen.append(counts[1]), count(self, *counts))[1])
    assert command(*large, "--video") == 0
    assert seen == [2, 3]
    assert [path.name for path in (tmp_path / "closed_loop").iterdir()] == ["thesis.tex"]
    assert (tmp_path / "closed_loop" / "thesis.tex").read_text() == "years of work"


def test_a_store_in_use_is_refused_by_its_owner_s_name(runs, tmp_path, monkeypatch, capsys):
    arguments = (runs / "vn-2d-forward", "--tasks", 2, "--orbit", "90", "--out", tmp_path)
    nested = []

    def again(self, name, done, total):
        if done == 1:
            nested.append(command(*arguments))

    monkeypatch.setattr(ProgressBars, "count", again)
    assert command(*arguments) == 0
    assert nested == [2]
    assert f"in use by process {os.getpid()} on " in capsys.readouterr().err
    assert not (tmp_path / "closed_loop").exists()


# --- ranking


@pytest.mark.parametrize(
    ("preset", "orbit", "settings"),
    [
        ("vn-2d-forward", "90", ()),
        ("vn-2d-forward", "37", ("planning.goal=keypoints", "planning.carry=best", "planning.warm=true")),
        ("mlp-2d-forward", "90", ()),
        ("vn-3d", "so3:1", ()),
    ],
)
def test_ranked_in_float32_everything_is_as_in_float64_and_counted(runs, tmp_path, preset, orbit, settings):
    settings = ("planning.samples=64", *settings)
    ranked, exact = (
        loop(runs, preset, tmp_path / ranking, *settings, f"planning.ranking={ranking}", orbit=orbit)
        for ranking in ("float32", "none")
    )
    assert replace(ranked, ranking=exact.ranking) == exact
    assert exact.ranking == Ranking()
    candidates = 2 * (1 + len(exact.orbit)) * QUICK["iterations"] * 64 * 2  # two tasks, two plans an episode
    assert ranked.ranking.candidates <= candidates
    assert 0 < ranked.ranking.again <= ranked.ranking.candidates / 2
    assert ranked.ranking.wholly < ranked.ranking.candidates / 2
