"""Closed loop in a user's environment: goals by channels and tolerances, mixed actions, paired where starts turn."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_gym_world import CART, OUTSIDE

from equiwm.cli.main import run
from equiwm.config import PlanningConfig
from equiwm.errors import ConfigError, DataError
from equiwm.evidence.world.check import check_world
from equiwm.evidence.world.worlds import observed_probe, world_probe
from equiwm.planning.channel_goal import ChannelGoal, GoalChannel
from equiwm.symmetry.groups import SO2
from equiwm.worlds.gym.config import GymConfig
from equiwm.worlds.gym.world import GymWorld

_PLANNING = ("samples=48", "iterations=3", "elites=8", "horizon=8", "steps=12", "replan=4")
SMALL = ["--jobs", "1", *(part for each in _PLANNING for part in ("--set", f"planning.{each}"))]
GOAL = {"channels": {"place": 0.02}, "from": "episode", "steps": 10}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's folder: environments, a network, and presets written by `train`."""
    for name in ("carts.py", "canonical.py"):
        shutil.copy(OUTSIDE / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in ("carts", "canonical"):
        sys.modules.pop(name, None)
    yield tmp_path
    for name in ("carts", "canonical"):
        sys.modules.pop(name, None)


def train(kind="Settable", name="cart", **world):
    preset = {
        "world": {"name": "gym", "env": f"carts:{kind}-v0", "reps": CART, "goal": GOAL, **world},
        "model": {"encoder": "identity", "predictor": "canonical:Canonical"},
        "training": {"objective": "forward", "transitions": 400, "epochs": 30, "batch": 64, "optimizer": "adam"},
    }
    Path("cart.yaml").write_text(json.dumps(preset))
    assert run(["train", "--preset", "cart.yaml", "--name", name, "--quiet"]) == 0


def closed_loop(capsys, *options):
    capsys.readouterr()
    status = run(["closed-loop", "runs/cart", "--tasks", "2", "--json", *SMALL, *options])
    return status, json.loads(capsys.readouterr().out) if status == 0 else None


def test_the_loop_of_an_exact_model_is_the_same_at_every_orientation(home, capsys):
    train()
    status, found = closed_loop(capsys, "--orbit", "90,37,222.2")
    assert status == 0
    result = found.get("result", found)
    assert result["measure"] == "tolerances"
    (place,) = result["channels"]
    assert (place["name"], place["unit"], place["tolerance"]) == ("place", "m", 0.02)
    assert place["paired_abs_max"] <= 1e-9
    assert result["paired_abs_max_deg"] <= 1e-9
    assert np.allclose(np.array(result["error_deg"]) * 0.02, place["error"])
    assert result["verdict"] == "invariant"
    assert result["fraction_closed"]["seen"] > 0.5
    # the same, told to a reader
    assert run(["closed-loop", "runs/cart", "--tasks", "2", "--orbit", "90,37,222.2", *SMALL]) == 0
    text = capsys.readouterr().out
    assert "max \\|d_i\\| (tol.)" in text
    assert "place < 0.0200 m" in text
    assert "deg" not in text.replace("degrees", "")


def test_a_world_or_a_bound_that_breaks_the_symmetry_shows(home, capsys):
    train(options={"wind": 0.02}, symmetric=False)
    _, found = closed_loop(capsys, "--orbit", "90,37")
    assert found.get("result", found)["verdict"] == "not invariant"


@pytest.mark.slow
def test_components_that_are_clipped_show(home, capsys):
    train(bounds="box")
    _, found = closed_loop(capsys, "--orbit", "90,37")
    assert found.get("result", found)["verdict"] == "not invariant"


def test_where_states_cannot_be_set_nothing_is_paired_and_it_is_said(home, capsys, monkeypatch):
    train("Cart")
    status, found = closed_loop(capsys)
    assert status == 0
    result = found.get("result", found)
    assert result["orbit"] == []
    assert result["verdict"] == "inconclusive"
    assert "offers neither set_observation" in result["unturned"]
    assert result["paired_abs_max_deg"] is None
    assert 0.0 <= result["success_rate"]["final"]["seen"] <= 1.0
    assert run(["closed-loop", "runs/cart", "--tasks", "2", "--orbit", "90"]) == 2
    assert "leave --orbit out" in capsys.readouterr().err
    assert run(["report", "runs/cart"]) == 0
    # A sweep needs outcomes at other orientations: the environment's own, or the user's word.
    assert run(["sweep-group", "runs/cart"]) == 2
    assert "or say world.symmetric: true where you know" in capsys.readouterr().err
    train("Cart", symmetric=True, name="said")
    assert run(["sweep-group", "runs/said", "--bins", "4"]) == 0
    # The environment is code from outside: another user's run of it is not imported unasked.
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "stranger"))
    capsys.readouterr()
    assert run(["verify-equivariance", "runs/said"]) == 2
    assert "--trust carts" in capsys.readouterr().err


def test_a_run_is_a_policy(home, capsys):
    pytest.importorskip("pyarrow")
    train()
    Path("reps.yaml").write_text(json.dumps(CART))
    settings = [
        "collect",
        "gym:carts:Settable-v0",
        "--reps",
        "reps.yaml",
        "--episodes",
        "2",
        "--steps",
        "8",
        "--policy",
        "runs/cart",
    ]
    assert run([*settings, "--out", "one", "--quiet"]) == 0
    assert run([*settings, "--out", "two", "--quiet"]) == 0
    files = [next(Path(name).rglob("data/**/*.parquet")).read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    assert run([*settings[:1], "gym:carts:Single-v0", *settings[2:], "--out", "three"]) == 2
    assert "it was trained in 'carts:Settable-v0'" in capsys.readouterr().err


# Goals


@pytest.fixture
def _carts(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(OUTSIDE)])


def control(goal, **settings):
    world = GymWorld(GymConfig(env="carts:Settable-v0", reps=CART, goal=goal, **settings))
    return world, world.control(world.transitions(50, seed=0).observation)


@pytest.mark.usefixtures("_carts")
def test_tasks_turn_and_depend_on_nothing_else():
    _, tasks_of = control(GOAL)
    some, more = tasks_of.tasks(2, 5), tasks_of.tasks(4, 5)
    assert torch.equal(some.start, more.start[:2])
    assert torch.equal(some.goal, more.goal[:2])
    g = SO2.sample(4, 0)
    turned = tasks_of.turned(more, g)
    straight, again = (tasks_of.channel_errors(each.start, each.goal) for each in (more, turned))
    assert torch.allclose(straight["place"], again["place"], atol=1e-12)
    assert straight["place"].min() > 0
    worst, _ = tasks_of.pose_error(more.start, more.goal)
    assert torch.allclose(worst, straight["place"] / 0.02)


@pytest.mark.usefixtures("_carts")
@pytest.mark.parametrize(
    ("goal", "error", "said"),
    [
        ({"channels": {"plaec": 0.1}}, ConfigError, "no quantity 'plaec' in the state; did you mean place"),
        ({"channels": {"place": 0.1}, "approach": ["place", "hand"]}, ConfigError, "no quantity 'hand'"),
        (None, DataError, "world.goal is missing"),
    ],
)
def test_a_goal_that_does_not_fit_is_refused(goal, error, said):
    with pytest.raises(error, match=said):
        control(goal)


def test_the_cost_of_channels_is_their_errors_in_tolerances():
    state = torch.randn(2, 3, 7, 1, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    place, turn = (
        torch.randn(2, 2, dtype=torch.float64),
        torch.nn.functional.normalize(torch.randn(2, 2).double(), dim=1),
    )
    term = ChannelGoal(
        [GoalChannel(slice(0, 2), place, 0.1), GoalChannel(slice(4, 6), turn, 0.5, 2)],
        running=0.25,
        approach=0.5,
        together=(slice(0, 2), slice(2, 4)),
    )
    given = term.score(state, torch.empty(2, 5, 3, 1), slice(None))
    for task in range(2):
        for n in range(5):
            rows = state[task, :, :, 0, n]
            angle = torch.nn.functional.cosine_similarity(rows[:, 4:6], turn[task][None], dim=1)
            errors = ((rows[:, :2] - place[task]) ** 2).sum(1) / 0.01 + 2 * (1 - angle) / 0.25
            near = ((rows[:, :2] - rows[:, 2:4]) ** 2).sum(1).mean() / 0.01
            assert given[task, n] == pytest.approx(float(errors[-1] + 0.25 * errors.mean() + 0.5 * near), rel=1e-10)
    assert torch.equal(term.score(state[1:], torch.empty(1, 5, 3, 1), slice(1, 2)), given[1:])
    assert PlanningConfig().approach == 0.05


# check-world


@pytest.mark.usefixtures("_carts")
def test_check_world_takes_an_environment_that_can_be_placed(tmp_path):
    (tmp_path / "reps.yaml").write_text(json.dumps(CART))
    result = check_world(observed_probe("gym:carts:Settable-v0", tmp_path / "reps.yaml", "so2"), horizons=[1, 5])
    assert result.verdict == "exact"
    assert [channel.name for channel in result.channels] == ["place", "speed"]
    windy = GymWorld(GymConfig(env="carts:Settable-v0", reps=CART, options={"wind": 0.02}))
    assert check_world(world_probe(windy), horizons=[1, 5]).verdict == "broken"
    with pytest.raises(DataError, match="gives no access to its state: it offers neither"):
        observed_probe("gym:carts:Cart-v0", tmp_path / "reps.yaml", "so2")


@pytest.mark.slow
def test_a_policy_is_cloned_in_an_environment_of_a_user(home, capsys):
    """Mixed actions, bounds and units of the environment's own; the policy closes most of the way without a planner."""
    train()
    small = [part for each in _PLANNING for part in ("--set", f"planning.{each}")]
    settings = ("tasks=12", "rounds=2", "epochs=40", "widths=[32]", "batch=32", "least_success=0")
    small += [part for each in settings for part in ("--set", f"policy.{each}")]
    assert run(["distill", "runs/cart", "--quiet", *small]) == 0
    capsys.readouterr()
    assert run(["audit", "runs/cart-policy"]) == 0
    assert "EXACT" in capsys.readouterr().out
    options = ["--tasks", "4", "--orbit", "90,37,222.2", "--jobs", "1", "--quiet", "--json"]
    assert run(["closed-loop", "runs/cart-policy", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["paired_abs_max_deg"] <= 1e-9
    assert found["fraction_closed"]["seen"] > 0.5
    assert run(["export", "runs/cart-policy", "--format", "torch-export", "--out", "out"]) == 0
    assert run(["fsck", "runs"]) == 0
