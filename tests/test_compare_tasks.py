"""The paired comparison on tasks that others measure a world by: whose criterion, what is kept, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from equiwm.claims.closed_loop.measure import closed_loop
from equiwm.claims.compare import measure as measuring
from equiwm.claims.compare.claim import CLAIM
from equiwm.claims.compare.measure import compare, comparison
from equiwm.claims.compare.pairs import Done
from equiwm.claims.compare.result import CompareResult
from equiwm.claims.compare.scores import score
from equiwm.claims.compare.sequential import Test as Sequential
from equiwm.cli.main import run
from equiwm.config import load
from equiwm.errors import DataError
from equiwm.loading import load_run
from equiwm.results.result import UNKNOWN
from equiwm.training.run import prepare_run, train_run
from equiwm.worlds.pusht.judges import GYM, OURS, STABLE
from equiwm.worlds.pusht.standard import STANDARD, StandardControl, WMControl

SMALL = ("training.transitions=256", "training.epochs=2", "training.batch=64", "model.predictor_widths=[8]")
PLANNING = tuple(f"planning.{each}" for each in ("samples=8", "iterations=1", "elites=4", "horizon=6"))
SETTINGS = ",".join(PLANNING)
ARENA = ("vn-2d-arena", "mlp-2d-arena")


@pytest.fixture(scope="module")
def arena(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("arena")
    for preset in ARENA:
        train_run(
            prepare_run(load(preset, None, (*SMALL, *PLANNING)), folder, preset, seed=0, resume=False),
            device=torch.device("cpu"),
        )
    return folder


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Episodes of 12 steps."""
    for control in (StandardControl, WMControl):
        monkeypatch.setattr(control, "steps", 12)


@pytest.fixture
def sides(arena) -> tuple[str, str]:
    first, second = (str(arena / preset) for preset in ARENA)
    return first, second


def equiwm(capsys, *arguments: object) -> tuple[int, str, str]:
    status = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def asked(a: str, b: str, task: str, **changes):
    options = {"seed": 5, "dtype": torch.float64, "device": torch.device("cpu")}
    return comparison(a, b, task=task, **{**options, **changes})


@pytest.mark.parametrize("task", STANDARD)
def test_both_sides_do_the_same_tasks_and_every_criterion_is_printed(sides, tmp_path, capsys, task):
    command = ("compare", *sides, "--task", task, "--episodes", 2, "--jobs", 1, "--seed", 5, "--quiet")
    status, out, _ = equiwm(capsys, *command, "--out", tmp_path)
    assert status == 0
    for words in (f"the same {task} tasks", *(f"success by {each}, any pose" for each in (GYM, STABLE, OURS))):
        assert words in out
    (entry,) = json.loads((tmp_path / "metrics.json").read_text())["compare"]["variants"].values()
    found = CLAIM.read(entry).result
    assert isinstance(found, CompareResult)
    assert (found.task, found.criterion) == (task, STABLE if task == "wm" else GYM)
    assert found.orientations == ("all" if task == "standard-turned" else "seen")
    for side in (found.a, found.b):
        assert set(side.criteria) == {GYM, STABLE, OURS}
        assert len(side.rewards) == len(side.criteria[GYM].met) == 2
        assert all(0.0 <= reward <= 1.0 for reward in side.rewards)
    assert task != "wm" or found.a.errors_deg != found.b.errors_deg  # the others hardly reach the block in 12 steps


def test_a_side_does_what_closed_loop_does(sides, tmp_path):
    """The same starts, planner, held actions and warm starts: the numbers are those of `closed-loop`."""
    subject = load_run(sides[0], torch.float64)
    loop = closed_loop(subject, tasks=2, task="wm", seed=5, store=tmp_path / "loop").result
    between = asked(*sides, "wm")
    found = compare(between, Sequential(0.05, 0.9, 0.1), outcome="error", episodes=2, store=tmp_path / "s")
    assert found.a.rewards == [row[0] for row in loop.max_reward]
    assert found.a.errors_deg == [row[0] for row in loop.error_deg]
    assert found.a.criteria[STABLE].met == [row[0] for row in loop.criteria[STABLE].met]


def test_a_run_against_itself_is_decided_early_by_its_rewards(sides, tmp_path):
    between = asked(sides[0], sides[0], "standard")
    found = compare(between, Sequential(0.05, 0.9, 0.4), outcome="reward", episodes=20, store=tmp_path / "s")
    assert (found.difference, found.decided) == (0.0, "equivalent")
    assert found.episodes < 20
    assert found.a.mean_max_reward == found.b.mean_max_reward


def test_other_outcomes_and_criteria_are_read_off_the_pairs_that_there_are(sides, tmp_path, monkeypatch, capsys):
    test, between = Sequential(0.05, 0.9, 0.1), asked(*sides, "standard")
    found = compare(between, test, outcome="success", criterion=GYM, episodes=2, store=tmp_path / "s")
    monkeypatch.setattr(measuring, "pair_cell", None)  # nothing is computed any more
    for outcome, criterion in (("success", STABLE), ("final", OURS), ("reward", GYM), ("error", GYM)):
        again = compare(
            between, test, outcome=outcome, criterion=criterion, episodes=2, store=tmp_path / "none", known=found
        )
        assert again.a == found.a
        assert again.criterion == criterion


def test_what_is_scored():
    done = Done(True, False, 1.0, 0.25, None, met={"us": False}, met_last={"us": True}, reward=0.5)
    assert [score(done, outcome, None) for outcome in ("success", "final", "error", "reward")] == [1.0, 0.0, 0.25, 0.5]
    assert [score(done, outcome, "us") for outcome in ("success", "final", "error", "reward")] == [0.0, 1.0, 0.25, 0.5]
    for reward in (1.5, -0.1, UNKNOWN):
        with pytest.raises(DataError, match="expected 0 to 1"):
            score(replace(done, reward=reward), "reward", None)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    """A run in a world that nobody else measures."""
    tiny = ("training.transitions=64", "training.epochs=1", "training.batch=32")
    folder = tmp_path_factory.mktemp("elsewhere")
    made = prepare_run(load("vn-3d-paper", None, tiny), folder, "run", seed=0, resume=False)
    train_run(made, device=torch.device("cpu"))
    return made.path


def test_what_cannot_be_compared_is_said_in_a_line_or_two(sides, elsewhere, trained, tmp_path, capsys, snapshot, arena):
    before = snapshot(arena)
    latent = trained / "vn-2d"
    for said, *options in (
        ("unknown task 'standrad': did you mean standard", *sides, "--task", "standrad"),
        ("the world 'cloud' has no tasks but its own", elsewhere, elsewhere, "--task", "standard"),
        ("the world 'cloud' has no tasks but its own", sides[0], elsewhere, "--task", "standard"),
        ("the latent (64x1o) is not the state", sides[0], f"{latent}:planning.goal=keypoints", "--task", "standard"),
        ("unknown criterion 'gym': did you mean gym-pusht", *sides, "--task", "standard", "--criterion", "gym"),
        ("nobody else measures the world 'cloud'", elsewhere, elsewhere, "--criterion", GYM),
        ("the world 'cloud' gives no rewards", elsewhere, elsewhere, "--outcome", "reward"),
        ("the goal of this task stands where it stands", *sides, "--task", "standard", "--orientations", "all"),
        ("no such file", *sides, "--task", "wm", "--demonstrations", tmp_path / "nowhere.npz"),
        ("goes with --task wm", *sides, "--task", "standard", "--demonstrations", tmp_path / "nowhere.npz"),
        ("expected 1 to 100,000 pairs", *sides, "--task", "standard", "--episodes", 0),
    ):
        status, out, err = equiwm(capsys, "compare", *options, "--quiet", "--jobs", 1)
        assert (status, out) == (2, ""), said
        assert said in " ".join(err.split())
        assert len(err.strip().splitlines()) <= 2
        assert "Traceback" not in err
    assert snapshot(arena) == before


def test_a_ctrl_c_keeps_what_is_done(sides, capsys, monkeypatch, tmp_path):
    """In the fourth pair: status 130, and the same command computes the others alone."""
    computed: list[int] = []
    honest = measuring.pair_cell

    def counted(params):
        computed.append(params["task"])
        if computed == [0, 1, 2, 3]:
            raise KeyboardInterrupt
        return honest(params)

    monkeypatch.setattr(measuring, "pair_cell", counted)
    monkeypatch.setattr("equiwm.grid._name", lambda function: "equiwm.claims.compare.pairs:pair_cell")
    command = ("compare", *sides, "--task", "standard", "--jobs", 1, "--quiet", "--episodes", 5, "--out", tmp_path)
    status, out, err = equiwm(capsys, *command)
    assert (status, out) == (130, "")
    assert len(err.strip().splitlines()) <= 2
    assert equiwm(capsys, *command)[0] == 0
    assert computed == [0, 1, 2, 3, 3, 4]
