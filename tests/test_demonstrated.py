"""Training on recorded PushT episodes alone: velocities that they do not show, what is left out, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from equiwm.claims.closed_loop.measure import closed_loop
from equiwm.cli.main import run
from equiwm.config import load
from equiwm.errors import ConfigError, DataError
from equiwm.loading import load_run
from equiwm.training.data import training_data
from equiwm.worlds.factory import build_world
from equiwm.worlds.pusht.agent import agent_velocities, control_step
from equiwm.worlds.pusht.demonstrated import AT_WALL, OUTSIDE, TOO_FAR
from equiwm.worlds.pusht.physics import AGENT, AGENT_VELOCITY, ANGLE, BLOCK, STATE_SIZE, PushTPhysics, block_in_arena
from equiwm.worlds.pusht.standard import StandardControl

HUMAN = os.environ.get("EQUIWM_PUSHT_HUMAN", "")
LENGTHS = (30, 1, 40, 25)


def states_and_targets() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Episodes of gym-pusht's own steps towards the block: states with velocities, targets (px) and ends."""
    physics, rng = PushTPhysics(), np.random.default_rng(3)
    states, targets = [], []
    for length in LENGTHS:
        state = np.zeros(STATE_SIZE)
        state[BLOCK], state[ANGLE] = rng.uniform(200, 310, 2), rng.uniform(0, 2 * np.pi)
        state[AGENT] = state[BLOCK] + 130.0 * np.array([np.cos(state[ANGLE]), np.sin(state[ANGLE])])
        physics.reset(state)
        for _ in range(length):
            now = physics.state
            towards = now[BLOCK] - now[AGENT]
            target = now[AGENT] + 40.0 * towards / np.linalg.norm(towards) + rng.normal(0.0, 10.0, 2)
            states.append(now)
            targets.append(target.astype(np.float32))
            physics.step(*targets[-1].tolist())
    return np.array(states), np.array(targets), np.cumsum(LENGTHS)


STATES, TARGETS, ENDS = states_and_targets()


def recorded(folder: Path, states: np.ndarray = STATES, **changed: np.ndarray) -> Path:
    """The layout of the diffusion policy's recordings, in float32, the angle in [0, 2 pi)."""
    seen = np.concatenate([states[:, AGENT], states[:, BLOCK], states[:, ANGLE, None] % (2 * np.pi)], 1)
    columns = {"state": seen.astype(np.float32), "action": TARGETS, "episode_ends": ENDS, **changed}
    np.savez(folder / "mine.npz", **columns)
    return folder / "mine.npz"


def trained_on(path: Path, *settings: str):
    config = load("vn-2d-demonstrations", None, [f"world.demonstrations={path}", *settings])
    return training_data(config.training, build_world(config.world), seed=0)


def test_a_control_step_is_gym_pushts():
    physics, state = PushTPhysics(), np.zeros(STATE_SIZE)
    state[BLOCK], state[AGENT], state[AGENT_VELOCITY] = (300.0, 300.0), (100.0, 120.0), (30.0, -80.0)
    physics.reset(state)
    physics.step(180.0, 90.0)
    whole, pushed = control_step()
    for axis, target in enumerate((180.0, 90.0)):
        expected = whole @ [state[AGENT][axis], state[AGENT_VELOCITY][axis]] + pushed * target
        found = [physics.state[AGENT][axis], physics.state[AGENT_VELOCITY][axis]]
        assert np.allclose(found, expected, atol=1e-9)


def test_velocities_that_are_not_recorded_follow_from_the_controller():
    found = agent_velocities(STATES[:, AGENT].astype(np.float32).astype(float), TARGETS, ENDS, "mine")
    true = STATES[:, AGENT_VELOCITY].copy()
    assert np.linalg.norm(true, axis=1).max() > 50.0
    assert np.abs(found - true).max() < 0.01  # px/s: float32 of positions
    crude = np.gradient(STATES[:30, AGENT], 0.1, axis=0)
    assert np.abs(crude - true[:30]).max() > 10.0  # the control: differences do not do


def test_transitions_are_the_recorded_steps(tmp_path):
    data = trained_on(recorded(tmp_path))
    world = build_world(load("vn-2d-demonstrations").world)
    rows = np.flatnonzero(np.isin(np.arange(len(STATES)) + 1, ENDS, invert=True))
    clear = block_in_arena(STATES[rows]) & block_in_arena(STATES[rows + 1])
    rows = rows[clear]
    near = np.linalg.norm(TARGETS[rows] - STATES[rows, AGENT], axis=1) <= 100.0
    rows = rows[near]
    assert len(data) == len(rows) > 60
    assert sum(data.excluded.values()) == sum(LENGTHS) - len(LENGTHS) - len(rows)
    places = data.observation.flatten(1)
    for row in rows[::7]:
        expected = world.observe(STATES[row])
        at = int((places - expected.flatten()).abs().amax(1).argmin())
        assert (data.observation[at] - expected).abs().max() < 1e-4
        assert (data.next_observation[at] - world.observe(STATES[row + 1])).abs().max() < 1e-4
        assert np.allclose(data.action[at].numpy(), (TARGETS[row] - STATES[row, AGENT]) / 100.0, atol=1e-5)
    fewer = trained_on(tmp_path / "mine.npz", "training.transitions=40", "training.batch=8")
    assert torch.equal(fewer.observation, data.observation[:40])
    assert data.episode.unique().tolist() == [0, 2, 3]  # an episode of one row has no step


def test_stretches_share_no_step_and_end_where_a_demonstration_does(tmp_path):
    data = trained_on(recorded(tmp_path), "training.transitions=40", "training.horizon=4", "training.batch=8")
    assert data.observations.shape == (10, 5, 4, 2)
    single = trained_on(tmp_path / "mine.npz")
    for sequence, episode in zip(data.observations, data.episode, strict=True):
        of_episode = single.observation[single.episode == episode]
        for seen in sequence[:-1]:
            assert bool((of_episode == seen).flatten(1).all(1).any())
    starts = data.observations[:, :-1].flatten(0, 1).flatten(1)
    assert len(torch.unique(starts, dim=0)) == 40
    with pytest.raises(DataError, match="no demonstration goes on for 50 steps"):
        trained_on(tmp_path / "mine.npz", "training.transitions=500", "training.horizon=50", "training.batch=8")


def test_what_is_left_out_is_counted(tmp_path):
    far = TARGETS.copy()
    states, row = STATES.copy(), 10
    far[row] = states[row, AGENT] + 130.0
    whole, pushed = control_step()
    for later in range(row, 29):  # what the controller makes of it
        for axis in (0, 1):
            now = [states[later, axis], states[later, 2 + axis]]
            states[later + 1, axis], states[later + 1, 2 + axis] = whole @ now + pushed * far[later, axis]
    states[50:60, BLOCK] = 5.0
    data = trained_on(recorded(tmp_path, states, action=far))
    assert data.excluded[TOO_FAR] == 1
    assert data.excluded[AT_WALL] >= 11
    assert float(data.action.norm(dim=-1).max()) <= 1.0
    wedge = trained_on(tmp_path / "mine.npz", "world.wedge=[0,180]")
    direction = wedge.observation[:, 3]
    assert 0 < len(wedge) < len(data)
    assert (direction[:, 1] >= -1e-6).all()
    assert wedge.excluded[OUTSIDE] == len(data) - len(wedge)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"action": (TARGETS - STATES[:, AGENT]) / 100.0}, "absolute targets x, y"),
        ({"action": np.roll(TARGETS, 1, 0)}, "does not move as gym-pusht's controller"),
        ({"action": TARGETS[:, :1]}, r"its 'action' has shape \(96, 1\)"),
        ({"action": np.full_like(TARGETS, np.nan)}, "'action' has entries that are not finite"),
        ({"episode_ends": np.arange(1, 97)}, "none of its rows is left"),
        ({"episode_ends": np.array([30])}, "do not rise"),
    ],
)
def test_recordings_that_are_none_are_refused(tmp_path, changed, expected):
    with pytest.raises(DataError, match=expected) as refused:
        trained_on(recorded(tmp_path, **changed))
    assert "world.demonstrations" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_settings_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"goes with world\.scenes=demonstrations"):
        load("vn-2d-arena", None, ["world.demonstrations=mine.npz"])
    with pytest.raises(ConfigError, match=r"world\.demonstrations is missing"):
        build_world(load("vn-2d-demonstrations").world).training_side()


def equiwm(capsys, *arguments: object) -> tuple[int, str, str]:
    status = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_one_command_trains_and_the_run_acts_without_the_recordings(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(StandardControl, "steps", 6)
    monkeypatch.chdir(tmp_path)
    train = ("train", "--preset", "vn-2d-demonstrations", "--quiet")
    status, _, err = equiwm(capsys, *train)
    assert status == 2
    assert "world.demonstrations is missing" in err
    status, _, err = equiwm(capsys, *train, "--set", "world.demonstrations=mine.npz")
    assert status == 2
    assert "no such file" in err
    recorded(tmp_path, action=np.roll(TARGETS, 1, 0))
    status, _, err = equiwm(capsys, *train, "--set", "world.demonstrations=mine.npz")
    assert status == 2
    assert "gym-pusht's controller" in err
    assert not (tmp_path / "runs").exists()
    recorded(tmp_path)
    small = ["training.epochs=2", "training.batch=16", "model.predictor_widths=[8]", "world.demonstrations=mine.npz"]
    settings = [part for each in small for part in ("--set", each)]
    assert equiwm(capsys, *train, *settings, "--name", "mine")[0] == 0
    path = tmp_path / "runs" / "mine"
    assert json.loads((path / "metrics.json").read_text())["train"]["transitions"] > 60
    (tmp_path / "mine.npz").unlink()
    fast = [f"planning.{each}" for each in ("samples=8", "iterations=1", "elites=4", "horizon=6")]
    loop = closed_loop(load_run(path), tasks=2, task="standard", settings=fast, store=tmp_path / "loop").result
    assert loop.goals == "gym-pusht's resets and goal"


def test_the_presets_differ_in_class_alone():
    ours, theirs = (load(preset).as_dict() for preset in ("vn-2d-demonstrations", "mlp-2d-demonstrations"))
    assert ours["baseline"] == "mlp-2d-demonstrations"
    differ = {key for key in ours["model"] if ours["model"][key] != theirs["model"][key]}
    assert differ == {"predictor", "predictor_widths"}
    for section in ("world", "training", "planning"):
        assert ours[section] == theirs[section]


@pytest.mark.skipif(not HUMAN, reason="set EQUIWM_PUSHT_HUMAN to the folder of the human PushT demonstrations")
def test_the_human_demonstrations():
    data = trained_on(Path(HUMAN) / "pusht_human.npz")
    assert len(data) == 25252
    assert data.excluded == {AT_WALL: 159, TOO_FAR: 33}
    assert len(data.episode.unique()) == 206
