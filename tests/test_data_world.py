"""Recorded episodes as a world: split, turned where that is allowed, read from every layout, trained by one command."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recorded
import torch

import equiwm
from equiwm.claims.probe import held_out, held_out_seed
from equiwm.cli.main import run
from equiwm.config import load, world_config
from equiwm.errors import ConfigError, DataError, MachineError
from equiwm.evidence.data.settle import shows
from equiwm.logs import spool
from equiwm.training.run import prepare_run, train_run
from equiwm.worlds.data.world import Recorded
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import RecordedWorld, SequenceWorld

pytest.importorskip("pyarrow", reason="logs are Parquet files: pip install 'equiwm[logs]'")

LEROBOT = Path(__file__).parent / "data" / "lerobot-v3"
TINY = ("--set", "training.epochs=2", "--set", "training.batch=64")


def world(path: Path = LEROBOT, **settings: Any) -> Recorded:
    made = build_world(world_config({"name": "data", "path": str(path), **settings}))
    assert isinstance(made, Recorded)
    return made


def angles(episodes: int = 40, steps: int = 30, *, wind: float = 0.0) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A body that turns and is pushed along its own axis, with a mass: vectors, an angle and a scalar."""
    rng = np.random.default_rng(5)
    angle, place, mass = (
        rng.uniform(0, 2 * np.pi, episodes),
        rng.normal(size=(episodes, 2)),
        rng.uniform(1, 2, episodes),
    )
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("place", "angle", "mass", "push", "episode")}
    for _ in range(steps):
        along = np.stack([np.cos(angle), np.sin(angle)], 1)
        size = rng.normal(size=(episodes, 1))
        for name, values in {"place": place, "angle": angle, "mass": mass, "push": size * along}.items():
            found[name].append(np.array(values))
        found["episode"].append(np.arange(episodes))
        place = place + 0.1 * size * along / mass[:, None] + [wind, 0.0]
        angle = angle + 0.1 * size[:, 0]
    columns = {name: np.stack(rows, 1).reshape(episodes * steps, -1) for name, rows in found.items()}
    spec = {
        "dimension": 2,
        "episodes": {"index": "episode"},
        "state": {
            "place": {"from": "place", "rep": "p"},
            "angle": {"from": "angle", "rep": "angle", "unit": "rad"},
            "mass": {"from": "mass", "rep": "0e"},
        },
        "action": {"push": {"from": "push", "rep": "1o"}},
    }
    columns["angle"] = columns["angle"] % (2 * np.pi)
    return columns, spec


def saved(folder: Path, columns: dict[str, np.ndarray], spec: dict[str, Any]) -> Path:
    np.savez(folder / "log.npz", **columns)
    recorded.write_spec(folder / "reps.yaml", spec)
    return folder / "log.npz"


# What a state is


def test_a_state_is_the_quantities_in_order_and_history_before_them(tmp_path):
    columns, spec = angles(4, 6)
    found = world(saved(tmp_path, columns, {**spec, "history": 1}), held_out=0.25)
    assert str(found.observation_rep) == "2x1o+1x0e+2x1o+1x0e"
    data = found.transitions(1000, seed=0)
    place, angle, mass = (columns[name].reshape(4, 6, -1) for name in ("place", "angle", "mass"))
    state = np.concatenate([place, np.cos(angle), np.sin(angle), mass], -1)
    episode = data.episode.numpy()
    assert sorted(np.bincount(episode, minlength=4)) == [
        0,
        4,
        4,
        4,
    ]  # of six rows the first has no history, the last no next
    expected = np.concatenate([state[:, :-1], state[:, 1:]], -1)
    for row in range(len(data)):
        gaps = np.abs(expected[episode[row]] - data.observation[row].numpy()).max(-1)
        t = int(gaps.argmin())
        assert gaps[t] == 0.0
        assert np.array_equal(data.next_observation[row].numpy(), expected[episode[row], t + 1])
        assert np.array_equal(data.action[row].numpy(), columns["push"].reshape(4, 6, 2)[episode[row], t + 1])


def test_points_are_counted_from_the_centre_and_move_only_under_translations():
    fixed, moving = world(), world(group="se2")
    assert str(fixed.observation_rep) == "18x1o"
    assert str(moving.observation_rep) == "18xp"
    raw = recorded.rows(120)["observation.state"]
    assert float(fixed.transitions(10**6, seed=0).observation[:, 9].max()) <= raw.max() - recorded.CENTRE
    targets = moving.readout_targets(moving.transitions(5, seed=0).observation)
    assert float(torch.cat(list(targets.values()), 1).mean(1).abs().max()) < 1e-9


# The split


@pytest.mark.parametrize("seed", [0, 3, 1000])
def test_evaluation_never_sees_an_episode_of_training(seed):
    found = world(held_out=0.3)
    assert isinstance(found, RecordedWorld)
    assert isinstance(found, SequenceWorld)
    training, held_out = (side.transitions(10**6, seed=seed).episode for side in (found, found.held_out))
    assert not set(training.tolist()) & set(held_out.tolist())
    assert len(set(held_out.tolist())) == 36
    steps = [side.sequences(10**6, 3, seed=seed).episode for side in (found, found.held_out)]
    assert set(steps[0].tolist()) <= set(training.tolist())
    assert set(steps[1].tolist()) <= set(held_out.tolist())
    assert set(found.transitions(10**6, seed=seed + 1).episode.tolist()) == set(
        training.tolist()
    )  # the world's own split


def test_the_split_has_a_seed_of_its_own():
    kept = [set(world(split=split).held_out.transitions(10**6, seed=0).episode.tolist()) for split in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]


def test_claims_ask_the_held_out_side(tmp_path):
    subject = equiwm.load_run(trained(tmp_path))
    asked = held_out(subject, 50, 1000)
    expected = subject.world.held_out.transitions(50, seed=held_out_seed(1000))
    assert torch.equal(asked.observation, expected.observation)
    assert not set(asked.episode.tolist()) & set(subject.train_transitions.episode.tolist())


# Turned, or as it was recorded


def test_without_a_known_symmetry_nothing_is_turned():
    found = world()
    assert not found.equivariant
    with pytest.raises(DataError, match="hold some out with"):
        found.transitions(5, seed=0, orientations="unseen")
    straight, every = (found.transitions(30, seed=0, orientations=kind).observation for kind in ("seen", "all"))
    assert torch.equal(straight, every)
    with pytest.raises(DataError, match="cannot be stepped"):
        found.step(straight, straight)


def test_a_wedge_holds_recorded_orientations_out():
    found = world(wedge=[0, 120])
    for kind, inside in (("seen", True), ("unseen", False)):
        now = found.transitions(10**6, seed=0, orientations=kind).observation[:, 9]  # the agent, from the centre
        angle = torch.rad2deg(torch.atan2(now[:, 1], now[:, 0])) % 360.0
        assert bool(((angle < 120) == inside).all())
    assert found.coverage.label.startswith("angles of [0, 120)")


def test_a_symmetric_world_turns_what_was_recorded():
    found = world(wedge=[0, 120], symmetric=True)
    seen, unseen = (found.transitions(50, seed=0, orientations=kind) for kind in ("seen", "unseen"))
    now = unseen.observation[:, 9]
    assert bool((torch.rad2deg(torch.atan2(now[:, 1], now[:, 0])) % 360.0 >= 120 - 1e-9).all())
    for of in ("observation", "next_observation"):
        lengths = [getattr(data, of).norm(dim=-1) for data in (seen, unseen)]
        assert torch.allclose(*lengths)
        inner = [getattr(data, of)[:, :1] @ data.action[..., None] for data in (seen, unseen)]
        assert torch.allclose(*inner)


def test_what_was_seen_is_what_was_recorded(tmp_path):
    columns, spec = angles()
    keep = columns["angle"][:, 0] < np.pi / 2
    spec["episodes"] = {"done": ["end"]}
    columns = {name: values[keep] for name, values in columns.items()} | {"end": np.arange(int(keep.sum())) % 10 == 9}
    found = world(saved(tmp_path, columns, {**spec, "duplicates": "keep"}), orientation="angle")
    assert 85 < found.coverage.high - found.coverage.low <= 90
    assert world().coverage.label == "all rotations"
    with pytest.raises(ConfigError, match="no quantity 'angel'"):
        _ = world(tmp_path / "log.npz", orientation="angel").coverage


def test_in_space_rotations_are_read_off_quaternions_and_two_vectors(tmp_path):
    rng = np.random.default_rng(1)
    q = rng.normal(size=(600, 4))
    columns = {
        "q": q / np.linalg.norm(q, axis=1, keepdims=True),
        "push": rng.normal(size=(600, 3)),
        "episode": np.arange(600) // 20,
    }
    spec = {
        "dimension": 3,
        "episodes": {"index": "episode"},
        "state": {"body": {"from": "q", "rep": "quat"}},
        "action": {"push": {"from": "push", "rep": "1o"}},
    }
    path = saved(tmp_path, columns, spec)
    with pytest.raises(ConfigError, match="so2z where gravity"):
        world(path)
    found = world(path, group="so3", symmetric=True)
    assert found.coverage.label == "rotations within 20 degrees of those recorded"
    unseen = found.transitions(20, seed=0, orientations="unseen").observation
    assert torch.allclose(unseen.mT @ unseen, torch.eye(3, dtype=torch.float64), atol=1e-9)
    bins = found.held_out.recorded_bins(100, seed=0)
    assert bins[0].label == "seen"
    upright = world(path, group="so2z")
    assert upright.coverage.label.endswith("about z")


@pytest.mark.parametrize(("wind", "carried"), [(0.0, True), (0.02, False)])
def test_auto_asks_check_data(wind, carried, tmp_path):
    config = world_config({"name": "data", "path": str(saved(tmp_path, *angles(60, 20, wind=wind)))})
    settled, said = config.settled(shows)
    assert settled.symmetric is carried
    assert ("test sets are turned" in said[-1]) is carried
    assert Path(settled.path).is_absolute()
    assert settled.settled(shows) == (settled, ())


# Layouts


@pytest.mark.parametrize("layout", ["csv", "parquet", "folder", "zarr", "minari", "v2.1", "v3.0"])
def test_every_layout_is_the_same_world(layout, tmp_path):
    pytest.importorskip("pyarrow")
    for module in {"zarr": ["zarr"], "minari": ["h5py"]}.get(layout, []):
        pytest.importorskip(module)
    npz = world(recorded.write("npz", tmp_path / "npz"))
    other = world(recorded.write(layout, tmp_path / layout))
    for orientations in ("seen", "all"):
        first, second = (each.transitions(10**6, seed=3, orientations=orientations) for each in (npz, other))
        assert torch.equal(first.observation, second.observation)
        assert torch.equal(first.action, second.action)
        assert torch.equal(first.next_observation, second.next_observation)
        assert torch.equal(first.episode, second.episode)


@pytest.mark.parametrize("layout", ["npz", "csv", "parquet", "folder", "zarr", "minari", "v2.1", "v3.0"])
def test_a_log_that_is_laid_out_on_disk_is_the_same(layout, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    for module in {"zarr": ["zarr"], "minari": ["h5py"]}.get(layout, []):
        pytest.importorskip(module)
    path = recorded.write(layout, tmp_path, 8)
    kept = world(path).transitions(10**6, seed=0)
    assert not is_mapped(kept.observation)
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    monkeypatch.setattr(spool, "BLOCK", 7)
    laid_out = world(path)
    found = laid_out.transitions(10**6, seed=0)
    for name in ("observation", "action", "next_observation"):
        assert torch.equal(getattr(kept, name), getattr(found, name))
    assert is_mapped(found.observation)
    assert is_mapped(laid_out._shared.recording.state)


def is_mapped(values: torch.Tensor) -> bool:
    """Whether a tensor lies in a file: its addresses are those of one that has no name any more."""
    address = values.untyped_storage().data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if low <= address < high:
            return line.endswith("(deleted)")
    return False


def test_a_disk_that_is_full_is_said(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    monkeypatch.setattr(spool.os, "posix_fallocate", full)
    with pytest.raises(MachineError, match="TMPDIR"):
        world(recorded.write("npz", tmp_path, 8)).transitions(5, seed=0)


def test_the_stored_folders_are_those_that_are_made(tmp_path):
    pytest.importorskip("pyarrow")
    for version, episodes in (("v3.0", 120), ("v2.1", 24)):
        made = recorded.write_lerobot(tmp_path / version, version, episodes)
        stored = recorded.HERE / {"v3.0": "lerobot-v3", "v2.1": "lerobot-v2.1"}[version]
        assert (made / "meta" / "info.json").read_text() == (stored / "meta" / "info.json").read_text()
        first, second = (world(path).transitions(10**6, seed=0) for path in (made, stored))
        assert torch.equal(first.observation, second.observation)


# Commands


def called(capsys, *arguments: str | Path) -> tuple[int, str, str]:
    """Status, stdout and stderr of one command line."""
    capsys.readouterr()
    status = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def trained(folder: Path, *settings: str, preset: str = "vn-data", path: Path = LEROBOT) -> Path:
    """A tiny run."""
    tiny = ["training.epochs=2", "training.batch=64", f"world.path={path}", *settings]
    made = prepare_run(load(preset, None, tiny), folder / "runs", preset, seed=0, resume=False)
    train_run(made, device=torch.device("cpu"))
    return made.path


def test_one_command_trains_and_the_run_is_measured_where_it_is_copied(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = Path(shutil.copytree(LEROBOT, tmp_path / "episodes"))
    status, _, err = called(capsys, "train", "--preset", "vn-data", "--set", "world.path=episodes", *TINY)
    assert status == 0
    assert "consistent with SO(2)" in err
    path = Path(shutil.move(tmp_path / "runs" / "vn-data", tmp_path / "elsewhere"))
    assert equiwm.load_run(path).world.config.path == str(data)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    status, out, _ = called(capsys, "verify-equivariance", path, "--samples", "4", "--json")
    assert status == 0
    assert json.loads(out)["trained"]["composed"] < 1e-5
    status, out, _ = called(
        capsys, "sweep-group", path, "--bins", "4", "--transitions", "50", "--json", "--expect-invariant"
    )
    assert (status, json.loads(out)["outcomes"]) == (0, "turned")
    status, out, _ = called(capsys, "rollout", path, "--horizons", "1,4", "--json", "--expect-invariant")
    assert (status, json.loads(out)["compared"]) == (0, "all")
    shutil.rmtree(data)
    status, _, err = called(capsys, "sweep-group", path)
    assert status == 2
    assert "no such log" in err
    assert len(err.splitlines()) <= 2
    assert called(capsys, "report", path)[0] == 0
    observation = torch.zeros(1, 18, 2)
    assert equiwm.load_run(path).model.encode(observation).shape == (1, 128)  # the model needs no data


def test_recorded_bins_are_said_to_be_recorded(tmp_path, capsys):
    path = trained(tmp_path, "world.symmetric=no", "world.wedge=[0, 180]")
    status, out, _ = called(capsys, "sweep-group", path, "--transitions", "100", "--bins", "6")
    assert status == 0
    assert "what was recorded at each orientation" in out
    found = json.loads(called(capsys, "sweep-group", path, "--bins", "6", "--json")[1])
    assert found["outcomes"] == "recorded"
    overlaps = {entry["label"]: entry["overlap"] for entry in found["bins"]}
    assert overlaps["seen"] == overlaps["0 to 60"] == "full"
    assert overlaps["240 to 300"] == "none"
    status, _, err = called(capsys, "sweep-group", path, "--bins", "6", "--expect-invariant")
    assert (status, "not decided" in err) == (1, True)
    found = json.loads(called(capsys, "rollout", path, "--horizons", "2", "--json")[1])
    assert found["compared"] == "recorded"
    status, _, err = called(capsys, "sweep-group", path, "--group", "o2")
    assert (status, "cannot be stepped" in err) == (2, True)


def test_the_baseline_fails_where_the_model_does_not(tmp_path, capsys):
    path = trained(tmp_path, "world.symmetric=yes", preset="mlp-data")
    assert called(capsys, "sweep-group", path, "--bins", "4", "--transitions", "50", "--expect-invariant")[0] == 1


# Wrong input


def refused(capsys, folder: Path, path: Path, *words: str, options: tuple[str, ...] = ()) -> str:
    """A training that is refused in one or two lines and leaves nothing."""
    out = folder / "refused"
    status, _, err = called(
        capsys, "train", "--preset", "vn-data", "--set", f"world.path={path}", "--out", out, *TINY, *options
    )
    assert status == 2, err
    assert len(err.splitlines()) <= 2, err
    for word in words:
        assert word in err
    assert not list(out.glob("*")) if out.exists() else True
    return err


@pytest.mark.parametrize("layout", ["folder", "v2.1"])
def test_a_corrupt_file_is_named_and_the_rest_is_usable(layout, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    path = recorded.write(layout, tmp_path)
    victim = sorted(path.rglob("episode_*"))[12]
    victim.write_bytes(victim.read_bytes()[:-200])
    refused(capsys, tmp_path, path, victim.name, "--skip-bad")
    out = tmp_path / "runs"
    status, _, err = called(
        capsys, "train", "--preset", "vn-data", "--set", f"world.path={path}", "--out", out, "--skip-bad", *TINY
    )
    assert status == 0, err
    assert f"left out: {victim}" in err.replace("\n", " ") or victim.name in err
    whole, rest = (world(path, skip_bad=True, symmetric=False), world(recorded.write("npz", tmp_path / "npz")))
    assert len(whole._shared.recording.rows) < len(rest._shared.recording.rows)


def test_an_episode_that_is_not_finite_is_left_out_when_asked(tmp_path, capsys):
    columns, spec = angles(30, 10)
    columns["place"][57] = np.nan
    path = saved(tmp_path, columns, spec)
    refused(capsys, tmp_path, path, "'place', row 57")
    found = world(path, skip_bad=True)
    assert found._shared.recording.notes[0].startswith("left out: episode 5, row 57")
    assert found._shared.recording.episodes == 29


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"angle": lambda values: np.rad2deg(values)}, ("beyond 7", "unit: deg")),
        ({"place": lambda values: np.hstack([values, values[:, :1]])}, ("rep 1xp", "3 entries")),
        ({"episode": lambda values: np.arange(len(values))}, ("no row has a successor",)),
        ({"push": lambda values: values[:-1]}, ("unequal lengths",)),
    ],
    ids=["degrees", "width", "one step", "lengths"],
)
def test_what_is_wrong_in_a_log_is_said_and_nothing_is_left(change, words, tmp_path, capsys):
    columns, spec = angles(10, 8)
    path = saved(
        tmp_path, {name: change.get(name, lambda values: values)(values) for name, values in columns.items()}, spec
    )
    refused(capsys, tmp_path, path, *words)


def test_a_quaternion_that_is_not_unit_is_refused(tmp_path, capsys):
    rng = np.random.default_rng(0)
    columns = {"q": rng.normal(size=(60, 4)), "push": rng.normal(size=(60, 3)), "episode": np.arange(60) // 10}
    spec = {
        "dimension": 3,
        "episodes": {"index": "episode"},
        "state": {"body": {"from": "q", "rep": "quat"}},
        "action": {"push": {"from": "push", "rep": "1o"}},
    }
    refused(capsys, tmp_path, saved(tmp_path, columns, spec), "unit quaternions", options=("--set", "world.group=so3"))


def test_a_log_or_a_reps_yaml_that_is_missing_is_asked_for(tmp_path, capsys):
    status, _, err = called(capsys, "train", "--preset", "vn-data", "--out", tmp_path)
    assert (status, "world.path is missing" in err) == (2, True)
    refused(capsys, tmp_path, tmp_path / "nowhere.npz", "no such log")
    columns, _ = angles(4, 5)
    np.savez(tmp_path / "alone.npz", **columns)
    refused(capsys, tmp_path, tmp_path / "alone.npz", "no reps.yaml", "--guess")
    refused(capsys, tmp_path, LEROBOT, "SO(3)", "dimension", options=("--set", "world.group=so3"))


def test_angles_that_count_on_are_allowed_when_said(tmp_path):
    columns, spec = angles(10, 8)
    columns["angle"] = columns["angle"] + 50 * np.pi
    spec["state"]["angle"]["unwrapped"] = True
    turned = world(saved(tmp_path, columns, spec)).transitions(5, seed=0).observation
    assert torch.allclose(turned[:, 2:4].norm(dim=1), torch.ones(5, dtype=torch.float64))


# Human demonstrations


@pytest.mark.slow
@pytest.mark.skipif("EQUIWM_PUSHT_HUMAN" not in os.environ, reason="EQUIWM_PUSHT_HUMAN names no folder")
@pytest.mark.parametrize("name", ["pusht_human.npz", "replay.zarr"])
def test_human_demonstrations_train_and_are_audited(name, tmp_path, capsys):
    reps = Path(__file__).parent.parent / "examples" / "pusht-human.reps.yaml"
    path = Path(os.environ["EQUIWM_PUSHT_HUMAN"]) / name
    settings = ("--set", f"world.path={path}", "--set", f"world.reps={reps}", "--set", "training.epochs=2")
    status, _, err = called(capsys, "train", "--preset", "vn-data", "--out", tmp_path, *settings)
    assert status == 0, err
    assert "cannot tell" in err
    assert called(capsys, "verify-equivariance", tmp_path / "vn-data")[0] == 0
