"""`equiwm collect`: what is collected reads back equal in every bit, whatever the jobs, the interruptions and the
failures."""

import errno
import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_gym_world import CART, OUTSIDE, TURNING

from equiwm.cli.main import run
from equiwm.collecting import episodes as parts
from equiwm.collecting.collect import collect
from equiwm.collecting.recipe import Recipe, recipe_of
from equiwm.config import TrainingConfig, world_config
from equiwm.disk.ownership import marker_of
from equiwm.disk.safe_yaml import read_yaml
from equiwm.environments.environment import Environment
from equiwm.errors import ConfigError, DataError, MachineError, MissingExtraError, RunError
from equiwm.logs.episodes import load_logs
from equiwm.logs.formats import read_raw
from equiwm.logs.spec import read_spec
from equiwm.logs.writing import write_lerobot, write_npz
from equiwm.training.data import training_data
from equiwm.worlds.factory import build_world
from equiwm.worlds.gym.config import GymConfig
from equiwm.worlds.gym.world import GymWorld

pytest.importorskip("pyarrow", reason="logs are Parquet files: pip install 'equiwm[logs]'")


@pytest.fixture(autouse=True)
def _carts(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(OUTSIDE)])
    parts._collector.cache_clear()


def recipe(kind="Settable", reps=CART, **changes):
    said = None if reps is None else json.dumps(reps)
    return replace(Recipe(f"carts:{kind}-v0", {}, said, "random", "ball", 4, 10, 0), **changes)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def straight(made, count):
    """The episodes, without any file."""
    collector = parts.Collector(made)
    return [collector.episode(index) for index in range(count)]


@pytest.mark.parametrize("format", ["lerobot", "npz"])
@pytest.mark.parametrize(
    ("kind", "reps"), [("Settable", CART), ("Single", CART), ("Ending", CART), ("Turning", TURNING)]
)
def test_what_is_collected_reads_back_equal_in_every_bit(tmp_path, format, kind, reps):
    made = recipe(kind, reps)
    found = collect(made, 5, tmp_path / "log", format=format)
    raw, whole = read_raw(Path(found.path)), straight(made, 5)
    env = Environment(made.env)
    for flat, given in ((env.observations, "observations"), (env.actions, "actions")):
        expected = np.concatenate([getattr(episode, given) for episode in whole])
        for part in flat.parts:
            read = np.asarray(raw.columns[flat.logged(flat.column(part))], dtype=np.float64)
            assert np.array_equal(read.reshape(len(expected), -1), expected[:, part.entries])
    rewards = np.concatenate([np.append(episode.rewards, 0.0) for episode in whole])
    assert np.array_equal(np.asarray(raw.columns["next.reward"], dtype=np.float64).reshape(-1), rewards)
    logs = load_logs(Path(found.path), read_spec(Path(found.reps)))
    assert np.bincount(logs.episode).tolist() == [len(episode) + 1 for episode in whole]
    assert found.transitions == len(logs.transitions()) == sum(map(len, whole))
    assert found.terminated == sum(episode.terminated for episode in whole)
    assert (kind == "Ending") == (found.terminated > 0)


def test_without_pyarrow_nothing_is_begun_that_could_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="--format npz"):
        collect(recipe(), 4, tmp_path / "log")
    assert not (tmp_path / "log").exists()
    assert collect(recipe(), 4, tmp_path / "log", format="npz").episodes == 4


def test_the_log_is_a_lerobot_folder(tmp_path):
    collect(recipe(), 4, tmp_path / "log")
    info = json.loads((tmp_path / "log/meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"]) == (4, 44)
    assert info["features"]["observation.state"] == {"dtype": "float64", "shape": [4], "names": None}
    from pyarrow import parquet

    rows = parquet.read_table(tmp_path / "log/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == [
        (0, 11),
        (11, 22),
        (22, 33),
        (33, 44),
    ]
    assert rows[0]["tasks"] == ["carts:Settable-v0"]
    stats = json.loads((tmp_path / "log/meta/stats.json").read_text())
    column = np.asarray(read_raw(tmp_path / "log").columns["observation.state"])
    assert np.allclose(stats["observation.state"]["std"], column.std(0))


def test_rows_are_spread_over_files(tmp_path, monkeypatch):
    monkeypatch.setattr("equiwm.logs.writing.ROWS_A_FILE", 25)
    collect(recipe(), 5, tmp_path / "log")
    assert len(list((tmp_path / "log/data").rglob("*.parquet"))) == 3
    assert len(read_raw(tmp_path / "log").columns["action"]) == 55


def test_writers_refuse_episodes_that_differ(tmp_path):
    one, other = {"a": np.zeros((3, 2))}, {"a": np.zeros((3, 1))}
    for write in (lambda each: write_npz(tmp_path, each), lambda each: write_lerobot(tmp_path, each, rate=1, task="t")):
        with pytest.raises(DataError, match="another column 'a'"):
            write([one, other])
        with pytest.raises(DataError, match="no episode"):
            write([])
    assert not list(tmp_path.rglob("*.npz"))


def test_an_interruption_loses_nothing_and_changes_no_bit(tmp_path):
    made = recipe()
    collect(made, 6, tmp_path / "whole")

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(made, 6, tmp_path / "log", progress=stop)
    assert not (tmp_path / "log/meta").exists()
    seen = []
    collect(made, 6, tmp_path / "log", resume=True, progress=lambda done, total: seen.append(done))
    assert seen[0] == 3
    assert digests(tmp_path / "log") == digests(tmp_path / "whole")
    assert not (tmp_path / "log/.collect").exists()


@pytest.mark.slow
def test_the_jobs_change_no_bit(tmp_path):
    for jobs in (1, 2):
        collect(recipe(), 9, tmp_path / str(jobs), jobs=jobs)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def raising(episodes):
    """The first episode of seed 0 that raises."""
    failing = []
    for index in range(episodes):
        try:
            parts.Collector(recipe("Raising")).episode(index)
        except DataError:
            failing.append(index)
    return failing


def test_an_episode_that_raises_is_named_and_the_finished_ones_are_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failing = raising(12)
    assert 0 < len(failing) < 11
    Path("reps.yaml").write_text(json.dumps(CART))
    command = [
        "collect",
        "gym:carts:Raising-v0",
        "--reps",
        "reps.yaml",
        "--episodes",
        "12",
        "--steps",
        "10",
        "--out",
        "log",
    ]
    assert run(command) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert f"episode {failing[0]}, step 5: gym:carts:Raising-v0: step raised RuntimeError: the motor is hot" in said[0]
    assert f"{12 - len(failing)} of 12 episodes finished" in said[0]
    logs = load_logs(tmp_path / "log", read_spec(tmp_path / "log/reps.yaml"))
    assert logs.episodes == 12 - len(failing)
    # The same again with --resume; once the motor is mended, everything is there.
    assert run([*command, "--resume"]) == 2
    import carts

    monkeypatch.setattr(carts.Raising, "step", carts.Settable.step)
    parts._collector.cache_clear()
    assert run([*command, "--resume"]) == 0
    assert load_logs(tmp_path / "log", read_spec(tmp_path / "log/reps.yaml")).episodes == 12
    assert not (tmp_path / "log/.collect").exists()


def test_nothing_is_written_where_every_episode_raises(tmp_path, monkeypatch):
    def hot(self, index):
        raise DataError(f"episode {index}, step 0: hot.")

    monkeypatch.setattr(parts.Collector, "episode", hot)
    with pytest.raises(DataError, match=r"episode 0, step 0: hot. No episode finished, nothing is written"):
        collect(recipe(), 3, tmp_path / "log")
    assert not (tmp_path / "log/meta").exists()


def test_a_full_disk_keeps_what_was_finished(tmp_path, monkeypatch):
    written, write = [], parts.write_atomic

    def full(path, content):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        write(path, content)

    monkeypatch.setattr(parts, "write_atomic", full)
    with pytest.raises(MachineError, match="the disk is full"):
        collect(recipe(), 6, tmp_path / "log")
    monkeypatch.setattr(parts, "write_atomic", write)
    collect(recipe(), 6, tmp_path / "log", resume=True)
    collect(recipe(), 6, tmp_path / "whole")
    assert digests(tmp_path / "log") == digests(tmp_path / "whole")


def test_folders_that_are_there_are_never_written_into_by_chance(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds no episodes of ours"):
        collect(recipe(), 2, tmp_path / "mine")
    with pytest.raises(RunError, match="holds no episodes of ours"):
        collect(recipe(), 2, tmp_path / "mine", resume=True)
    made = collect(recipe(), 2, tmp_path / "log")
    assert marker_of(tmp_path / "log") == "episodes"
    with pytest.raises(RunError, match="pass --resume to go on"):
        collect(recipe(), 2, tmp_path / "log")
    with pytest.raises(RunError, match="with another seed, episodes"):
        collect(recipe(seed=1), 3, tmp_path / "log", resume=True)
    before = digests(tmp_path / "log")
    assert collect(recipe(), 2, tmp_path / "log", resume=True) == made
    assert digests(tmp_path / "log") == before
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"


def test_without_reps_a_guess_is_written(tmp_path):
    found = collect(recipe(reps=None), 3, tmp_path / "log")
    text = Path(found.reps).read_text()
    assert "A guess" in text
    assert "observation.state" in text


@pytest.mark.parametrize(
    ("changes", "count", "error", "said"),
    [
        ({"env": "carts:Pixels-v0"}, 2, DataError, "pixels alone"),
        ({"env": "carts:Random-v0"}, 2, DataError, "not deterministic"),
        ({"env": "nowhere:Env-v0"}, 2, DataError, "no module named 'nowhere'"),
        ({"env": "CartPole-v99"}, 2, DataError, "no such environment is registered"),
        ({"policy": "elsewhere"}, 2, ConfigError, "or the directory of a run"),
        ({"reps": TURNING}, 2, DataError, "has no 'heat'"),
        ({}, 1, ConfigError, "at least 2"),
    ],
)
def test_what_cannot_be_collected_leaves_nothing(tmp_path, changes, count, error, said):
    with pytest.raises(error, match=said):
        collect(recipe(**changes), count, tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_a_scripted_policy_acts(tmp_path):
    found = collect(recipe(policy="carts:homewards"), 3, tmp_path / "log")
    raw = read_raw(Path(found.path))
    place, action = (np.asarray(raw.columns[name]) for name in ("observation.state", "action"))
    assert np.abs(action[:, :2] + 0.5 * place[:, :2]).max() < 0.3


def test_a_preset_says_what_is_collected(tmp_path):
    world = {"name": "gym", "env": "carts:Settable-v0", "reps": CART, "policy": "carts:homewards", "episode_steps": 6}
    (tmp_path / "cart.yaml").write_text(json.dumps({"world": world}))
    made = recipe_of(str(tmp_path / "cart.yaml"), reps=None, policy=None, hold=None, steps=None, seed=5)
    assert (made.env, made.policy, made.steps, made.seed) == ("carts:Settable-v0", "carts:homewards", 6, 5)
    with pytest.raises(ConfigError, match="'field' is no environment"):
        recipe_of("vn-field-2d", reps=None, policy=None, hold=None, steps=None, seed=5)


@pytest.mark.parametrize("format", ["lerobot", "npz"])
def test_a_world_is_trained_on_what_was_collected(tmp_path, format):
    collect(recipe(), 5, tmp_path / "log", format=format)
    world = GymWorld(GymConfig(env="carts:Settable-v0", reps=CART, episodes=str(tmp_path / "log"), episode_steps=10))
    config = _training(transitions=30)
    data = training_data(config, world, seed=0)
    assert len(data) == 30
    assert torch.equal(world.step(data.observation, data.action), data.next_observation)
    whole = straight(recipe(), 5)
    first = world.state.tensor(whole[int(data.episode[0])].observations)
    assert torch.equal(data.observation[:10], first[:10])
    assert not torch.equal(training_data(config, world, seed=1).observation, data.observation)
    sequences = training_data(_training(transitions=20, horizon=4), world, seed=0)
    assert sequences.observations.shape == (5, 5, 2, 2)
    # What is measured is measured on new episodes.
    rows = {tuple(row) for row in data.observation.flatten(1).tolist()}
    assert not rows & {tuple(row) for row in world.transitions(30, seed=7).observation.flatten(1).tolist()}
    with pytest.raises(DataError, match=r"has 50 transitions, 51 were asked for"):
        training_data(_training(transitions=51), world, seed=0)


def _training(**changes):
    return TrainingConfig(batch=2, **changes)


@pytest.mark.parametrize("format", ["lerobot", "npz"])
def test_collected_episodes_are_a_world_of_data(tmp_path, format):
    found = collect(recipe(), 5, tmp_path / "log", format=format)
    config = world_config({"name": "data", "path": found.path, "group": "so2"})
    recorded, world = build_world(config), GymWorld(GymConfig(env="carts:Settable-v0", reps=CART))
    data = recorded.transitions(20, seed=0)
    assert recorded.observation_rep == world.observation_rep
    assert torch.equal(world.step(data.observation, data.action), data.next_observation)


@pytest.mark.parametrize("format", ["lerobot", "npz"])
def test_a_folder_and_its_reps_are_what_a_world_takes(tmp_path, format):
    """The folder stands for the log in it, and the names of the log for those of the environment."""
    found = collect(recipe(), 5, tmp_path / "log", format=format)
    assert {name: column.shape for name, column in read_raw(tmp_path / "log").columns.items()} == {
        name: column.shape for name, column in read_raw(Path(found.path)).columns.items()
    }
    written = GymWorld(GymConfig(env="carts:Settable-v0", reps=found.reps, episodes=str(tmp_path / "log")))
    data = training_data(_training(transitions=20), written, seed=0)
    assert torch.equal(written.step(data.observation, data.action), data.next_observation)


def test_episodes_of_another_environment_are_refused(tmp_path):
    collect(recipe(), 3, tmp_path / "log")
    other = {**CART, "state": {"all": {"from": "observation", "rep": "2x1o"}}}
    world = GymWorld(GymConfig(env="carts:Settable-v0", reps=other, episodes=str(tmp_path / "log")))
    with pytest.raises(DataError, match=r"has the quantities place \(1x1o\).*; the environment has all \(2x1o\)"):
        training_data(_training(transitions=5), world, seed=0)


def test_the_command_says_where_the_log_is(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("reps.yaml").write_text(json.dumps(CART))
    command = ["collect", "gym:carts:Settable-v0", "--reps", "reps.yaml", "--episodes", "3", "--steps", "4"]
    assert run([*command, "--out", "log"]) == 0
    assert "3 episodes, 12 transitions" in capsys.readouterr().out
    assert run([*command, "--out", "other", "--format", "npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["transitions"] == 12
    assert read_yaml(Path("log/reps.yaml"))["duplicates"] == "keep"
