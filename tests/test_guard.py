"""The map of a break as the guard of a world: measured, saved, and followed by train, sweep-group and closed-loop."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import equiwm
from equiwm.claims.sweep.measure import sweep
from equiwm.cli.main import run
from equiwm.config import load
from equiwm.disk.safe_yaml import read_yaml
from equiwm.errors import ConfigError, DataError, EquiwmError
from equiwm.evidence.world.break_map import break_map
from equiwm.results.guard import MOST_BYTES, GuardMap, guard_of_text, read_guard
from equiwm.worlds.factory import build_world
from equiwm.worlds.guard import REASON, RadialGuard
from equiwm.worlds.world import ControlWorld, SequenceWorld

OUTSIDE = Path(__file__).parent / "outside"
CIRCLE = GuardMap("a room", "SO(2)", "place", 4, [0, 1], [0.0, 0.0], None, [1.0] * 8)


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder with the room's files, and the map of a circle in it."""
    for name in ("room.py", "room.yaml"):
        shutil.copy(OUTSIDE / name, tmp_path)
    (tmp_path / "circle.json").write_text(CIRCLE.as_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "room", raising=False)
    yield tmp_path
    sys.modules.pop("room", None)


@pytest.fixture
def few(monkeypatch):
    """Maps of eight directions: the command's 48 take seconds."""
    monkeypatch.setattr(break_map, "__kwdefaults__", {"seed": 1000, "knots": 8})


def world_of(guard: str | None = None):
    return build_world(load("room.yaml", None, [] if guard is None else [f"world.guard={guard}"]).world)


def radius(observation: torch.Tensor) -> torch.Tensor:
    return observation[..., 0, :].norm(dim=-1)


# The map


def test_a_map_is_measured_saved_and_read(room, few, capsys):
    """The wall is 1.2 off; between the turns that are tried, the bound is a little beyond."""
    command = ["check-world", "room:probe", "--where", "place", "--save-guard", "guard.json", "--states", "6"]
    assert run([*command, "--horizons", "1,5"]) == 1
    assert "it holds while 'place' is within" in capsys.readouterr().out
    found = read_guard(room / "guard.json")
    assert (found.size, found.position, found.angle) == (4, [0, 1], None)
    assert all(1.15 < bound < 1.3 for bound in found.radius)
    assert guard_of_text(found.as_text()) == found
    states = np.array([[0.5, 0.0, 0.0, 0.0], [0.0, 1.6, 0.0, 0.0]])
    assert RadialGuard(found).holds(states).tolist() == [True, False]


def test_bounds_are_linear_between_knots_and_none_is_taken_where_one_is_missing():
    guard = RadialGuard(GuardMap("", "", "", 3, [0, 1], [1.0, 1.0], None, [1.0, 2.0, 3.0, float("nan")]))
    at = np.deg2rad([-180.0, -135.0, -90.0, -45.0, 0.0, 45.0, 90.0, 135.0])
    states = np.stack([1 + np.cos(at), 1 + np.sin(at), 0 * at], 1)
    np.testing.assert_allclose(guard.bound(states), [1, 1.5, 2, 2.5, 3, 3, 1, 1], rtol=1e-9)
    turning = RadialGuard(GuardMap("", "", "", 3, [0, 1], [0.0, 0.0], 2, [1.0, 2.0, 3.0, 2.0]))
    scene = np.array([[np.cos(t), np.sin(t), t + 0.4] for t in (0.0, 1.0, 2.5)])
    np.testing.assert_allclose(turning.bound(scene), turning.bound(scene)[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"radius": [1.0]}, "1 bounds"),
        ({"radius": [1.0] * 1025}, "1025 bounds"),
        ({"radius": [-1.0] * 8}, "at least 0"),
        ({"radius": [None] * 8}, "bounds nothing"),
        ({"radius": ["x"] * 8}, "radius"),
        ({"position": [0, 4]}, "of a state of 4 numbers"),
        ({"position": [0, -1]}, "of a state of 4 numbers"),
        ({"position": [0, 0]}, "two numbers each"),
        ({"angle": 1}, "two numbers each"),
        ({"size": 10**9}, "10"),
        ({"centre": [0.0]}, "two numbers each"),
        ({"schema": 99}, "schema 99"),
    ],
)
def test_what_is_no_map_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        guard_of_text(json.dumps({**json.loads(CIRCLE.as_text()), **change}))


def test_a_file_of_a_stranger_runs_nothing_and_is_bounded(tmp_path):
    import pickle

    for name, content, words in (
        ("pickle.json", pickle.dumps(CIRCLE), "no map of a break"),
        ("long.json", b" " * (MOST_BYTES + 1), "expected at most"),
        ("list.json", b"[1]", "no map of a break"),
        ("deep.json", b'{"a":' * 200 + b"1" + b"}" * 200, "no map of a break"),
        ("infinite.json", CIRCLE.as_text().replace("1.0", "1e999").encode(), "beyond a float"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=words) as caught:
            read_guard(tmp_path / name)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ConfigError, match="no such file"):
        read_guard(tmp_path / "none.json")


# The world


@pytest.mark.parametrize("guard", ["circle.json", "room:near"])
def test_a_guarded_world_gives_what_is_inside(room, guard):
    world, whole = world_of(guard), world_of()
    assert isinstance(world, SequenceWorld)
    assert isinstance(world, ControlWorld)
    data = world.transitions(300, seed=1)
    assert len(data) == 300
    assert float(torch.maximum(radius(data.observation), radius(data.next_observation)).max()) < 1.0
    assert float(radius(whole.transitions(300, seed=1).observation).max()) > 1.2
    assert data.excluded[REASON] > 0
    few = world.transitions(40, seed=1)
    assert torch.equal(few.observation, data.observation[:40]), "the first of many are the few"
    every = whole.transitions(2000, seed=1)
    outside = (radius(every.observation) >= 1.0) | (radius(every.next_observation) >= 1.0)
    later = {int(every.episode[k]): k for k in reversed(outside.nonzero()[:, 0].tolist())}
    after = [k for k in range(2000) if k > later.get(int(every.episode[k]), 2000) and not outside[k]]
    assert after, "some come back"
    seen = {tuple(row) for row in data.observation.flatten(1).tolist()}
    assert not seen & {tuple(every.observation[k].flatten().tolist()) for k in after}, "an episode ends where it leaves"
    runs = world.sequences(40, 5, seed=2)
    assert float(radius(runs.observations).max()) < 1.0
    assert world.transitions(20, seed=3, orientations="unseen").observation.shape == (20, 2, 2)


def test_too_small_a_guard_is_refused(room):
    (room / "tiny.json").write_text(CIRCLE.as_text().replace("1.0", "0.01"))
    with pytest.raises(DataError, match="lets only 0 of"):
        world_of("tiny.json").transitions(10, seed=0)
    with pytest.raises(DataError, match="lets none"):
        world_of("tiny.json").sequences(10, 3, seed=0)


def test_pusht_takes_a_guard_beside_its_own(tmp_path):
    guard = GuardMap("pusht", "SO(2)", "block", 10, [4, 5], [255.5, 255.5], 6, [15.0] * 8)
    (tmp_path / "small.json").write_text(guard.as_text())
    world = build_world(load("vn-2d", None, [f"world.guard={tmp_path / 'small.json'}"]).world)
    data = world.transitions(60, seed=0)
    assert float(256 * data.next_observation[:, 2].norm(dim=-1).max()) < 15.0
    control = world.control(data.observation)
    tasks = control.tasks(3, 0)
    simulation = control.begin(tasks)
    for _ in range(12):
        simulation.advance(torch.tensor([[[1.0, 0.0]]] * 3, dtype=torch.float64))
    assert REASON in simulation.excluded
    wrong = guard.as_text().replace('"size":10', '"size":12')
    with pytest.raises(ConfigError, match="states of 12 numbers"):
        build_world(load("vn-2d", None, [f"world.guard='{wrong}'"]).world)


# The commands


def test_train_sweep_and_closed_loop_follow_it(room, tmp_path, capsys):
    """The run holds the map itself; in the guard the world carries its group, and outside of it it does not."""
    for name, more in (("inside", ["--set", "world.guard=circle.json"]), ("everywhere", [])):
        assert run(["train", "--preset", "room.yaml", "--name", name, "--quiet", *more]) == 0
    (room / "circle.json").unlink()
    kept = read_yaml(room / "runs" / "inside" / "config.yaml")["world"]["guard"]
    assert guard_of_text(kept) == CIRCLE
    subject = equiwm.load_run(room / "runs" / "inside")
    assert float(radius(subject.train_transitions.observation).max()) < 1.0
    capsys.readouterr()
    found = {
        name: sweep(equiwm.load_run(room / "runs" / name), transitions=60, bins=8) for name in ("inside", "everywhere")
    }
    assert found["inside"].symmetry_excess is None
    assert found["everywhere"].symmetry_excess is not None, "the wall is met, and the world does not carry its group"
    assert found["inside"].excluded[REASON] > 0
    assert run(["sweep-group", "runs/inside", "--transitions", "60", "--bins", "8", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["excluded"][REASON] > 0
    assert run(["closed-loop", "runs/inside", "--tasks", "2", "--orbit", "so2:3", "--quiet", "--json"]) == 0
    excluded = json.loads(capsys.readouterr().out)["excluded"]
    assert {each["reason"] for each in excluded} <= {REASON}
    assert run(["train", "--preset", "room.yaml", "--name", "inside", "--resume", "--quiet"]) == 2, "another guard"


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        ("none.json", "no such file"),
        ("room.yaml", "module:holds"),
        ("wide.json", "states of 9 numbers"),
        ("room:shapeless", "expected bool of shape"),
        ("room:failing", "no such room"),
        ("room:WALL", "no function"),
        ("room:nothing", "no 'nothing'"),
        ("3", "expected str or null"),
    ],
)
def test_wrong_guards(room, capsys, guard, words):
    (room / "wide.json").write_text(CIRCLE.as_text().replace('"size":4', '"size":9'))
    assert run(["train", "--preset", "room.yaml", "--set", f"world.guard={guard}", "--quiet"]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.strip().splitlines()) <= 2
    assert not (room / "runs").exists()


def test_a_guard_of_a_stranger_is_not_imported(room, capsys, monkeypatch):
    assert (
        run(
            [
                "train",
                "--preset",
                "vn-field-2d",
                "--set",
                "world.guard=room:near",
                "--set",
                "training.epochs=1",
                "--set",
                "training.transitions=64",
                "--set",
                "training.batch=32",
                "--name",
                "own",
                "--quiet",
            ]
        )
        == 0
    )
    monkeypatch.setenv("XDG_STATE_HOME", str(room / "other-user"))
    capsys.readouterr()
    assert run(["sweep-group", "runs/own"]) == 2
    assert "--trust room" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--save-guard", "guard.json"], "give both"),
        (["--where", "place", "--save-guard", "guard.txt"], "ends in .json"),
        (["--where", "place", "--save-guard", "none/guard.json"], "there is no folder"),
    ],
)
def test_wrong_places_for_a_map(room, capsys, arguments, words):
    assert run(["check-world", "room:probe", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (room / "guard.json").exists()


def test_where_nothing_breaks_there_is_nothing_to_save(room, few, capsys):
    (room / "free.py").write_text("import room\nroom.WALL = 1e9\nprobe = room.probe\n")
    assert run(["check-world", "free:probe", "--where", "place", "--save-guard", "g.json", "--horizons", "1"]) == 2
    assert "nothing to save" in capsys.readouterr().err
    assert not (room / "g.json").exists()


def test_errors_are_typed():
    assert issubclass(ConfigError, EquiwmError)
