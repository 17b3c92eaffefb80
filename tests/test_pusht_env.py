"""The PushT world as a Gymnasium environment."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from equiwm.errors import DataError
from equiwm.worlds.pusht.env import PushTEnv
from equiwm.worlds.pusht.physics import STATE_SIZE, PushTPhysics
from equiwm.worlds.pusht.world import PushT


@pytest.mark.filterwarnings("ignore:.*A Box observation space m:UserWarning")
def test_gymnasium_accepts_it():
    env = gymnasium.make("equiwm.worlds:equiwm/PushT-v0", render_mode="rgb_array")
    check_env(env.unwrapped)
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert info["state"].shape == (STATE_SIZE,)
    picture = env.render()
    assert picture.shape == (680, 680, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


def test_direction_is_passed_on():
    tasks = PushT().tasks(1, seed=0)
    options = {"state": tasks.start[0]}
    directions = []
    for direction in ("stem", "body_x"):
        env = gymnasium.make("equiwm.worlds:equiwm/PushT-v0", direction=direction)
        directions.append(env.reset(options=options)[0][3])
    assert np.dot(*directions) == pytest.approx(0.0, abs=1e-12)


def test_an_episode_is_a_rollout_of_the_world():
    world, env = PushT(), PushTEnv()
    tasks = world.tasks(3, seed=1, orientations="all")
    actions = np.random.default_rng(0).uniform(-0.7, 0.7, (3, 12, 2))
    runs = world.rollout(tasks.start, actions)
    for start, goal, plan, states in zip(tasks.start, tasks.goal, actions, runs.states, strict=True):
        observation, info = env.reset(options={"state": start, "goal": goal})
        seen = [observation]
        assert np.array_equal(info["goal"], world.observe(goal).numpy()[2:])
        assert np.abs(info["state"] - start).max() <= 1e-9
        seen += [env.step(action)[0] for action in plan]
        assert np.array_equal(np.array(seen), world.observe(states).numpy())


def test_reward_is_gym_pushts_and_the_goal_ends_the_episode():
    env = PushTEnv()
    task = PushT().tasks(1, seed=2)
    _, info = env.reset(options={"state": task.start[0], "goal": task.goal[0]})
    _, reward, terminated, truncated, info = env.step(np.zeros(2))
    assert 0.1 < info["coverage"] < 0.95
    assert reward == info["coverage"] / 0.95
    assert (terminated, truncated, info["is_success"]) == (False, False, False)
    _, info = env.reset(options={"state": task.start[0], "goal": task.start[0]})
    assert info["coverage"] == pytest.approx(1.0)
    _, reward, terminated, _, info = env.step(np.zeros(2))
    assert (reward, terminated, info["is_success"]) == (1.0, True, True)


def test_coverage_is_gym_pushts_and_the_same_to_the_bit_every_time():
    env = PushTEnv()
    seen = []
    for _ in range(50):
        _, info = env.reset(seed=123)
        seen.append((info["coverage"], env.step(np.array([0.6, 0.3]))[1]))
    assert len(set(seen)) == 1
    assert 0.1 < seen[0][0] < 0.9
    arena = env._physics.arena
    assert env._physics.coverage() == pytest.approx(arena._get_coverage(), abs=1e-12)


def test_long_actions_are_scaled_to_the_disk():
    env = PushTEnv()
    start = PushT().tasks(1, seed=3).start[0]
    ends = []
    for action in ([3.0, 4.0], [0.6, 0.8]):
        env.reset(options={"state": start})
        ends.append(env.step(np.array(action))[0])
    assert np.array_equal(*ends)


def test_seeds_and_orientations_choose_the_task():
    env = PushTEnv()
    first, again, other = (env.reset(seed=seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    angles = []
    for _ in range(40):
        x, y = env.reset(options={"orientations": "seen"})[0][3]
        angles.append(np.rad2deg(np.arctan2(y, x)))
    assert 0.0 <= min(angles) < 30.0
    assert 60.0 < max(angles) < 90.0
    angles = [np.arctan2(*env.reset()[0][3]) for _ in range(40)]
    assert np.ptp(angles) > np.pi


def test_a_wall_is_reported():
    env = PushTEnv()
    state = np.zeros(STATE_SIZE)
    state[:2], state[4:6] = (255.5, 300.0), (255.5, 330.0)
    _, info = env.reset(options={"state": state})
    assert not info["touched_wall"]
    for _ in range(10):
        info = env.step(np.array([0.0, 1.0]))[-1]
    assert info["touched_wall"]


@pytest.mark.parametrize("action", [[np.nan, 0.0], [1.0], [[1.0, 0.0]], "left", None])
def test_a_wrong_action_is_refused(action):
    env = PushTEnv()
    env.reset(seed=0)
    with pytest.raises(DataError, match=r"PushT action (has shape \(2\)|is finite numbers)"):
        env.step(action)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stat": np.zeros(STATE_SIZE)}, "did you mean state"),
        ({"state": np.zeros(5)}, "PushT state"),
        ({"goal": np.full(STATE_SIZE, np.inf)}, "PushT goal"),
        ({"orientations": "some"}, "'seen', 'all' or 'unseen'"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        PushTEnv().reset(options=options)


def test_misuse_is_refused():
    with pytest.raises(DataError, match="did you mean stem"):
        PushTEnv(direction="stam")
    with pytest.raises(gymnasium.error.ResetNeeded):
        PushTEnv().step(np.zeros(2))
    env = PushTEnv()
    env.reset(seed=0)
    assert env.render() is None


@pytest.mark.parametrize("first", ["equiwm.worlds.pusht.config", "gymnasium", "equiwm.worlds.pusht.world"])
def test_the_environments_are_there_whatever_was_imported_first(first):
    code = f"import {first}\nimport gymnasium\nprint(gymnasium.make('equiwm.worlds:equiwm/PushT-v0').spec.id)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "equiwm/PushT-v0"


def test_coverage_is_computed_only_when_it_is_asked_for(monkeypatch):
    env, plain = PushTEnv(reward="none"), PushTEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.coverage()
    asked = []
    kept = PushTPhysics.coverage
    monkeypatch.setattr(PushTPhysics, "coverage", lambda physics: asked.append(physics) or kept(physics))
    task = PushT().tasks(1, seed=4)
    options = {"state": task.start[0], "goal": task.goal[0]}
    observations = [env.reset(options=options)[0]]
    for action in np.random.default_rng(0).uniform(-0.7, 0.7, (5, 2)):
        observation, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert not {"coverage", "is_success"} & set(info)
        observations.append(observation)
    assert not asked
    expected = [plain.reset(options=options)[0]]
    for action in np.random.default_rng(0).uniform(-0.7, 0.7, (5, 2)):
        observation, *_, info = plain.step(action)
        expected.append(observation)
    assert np.array_equal(observations, expected)
    assert env.coverage() == info["coverage"]
    with pytest.raises(DataError, match=r"unknown reward 'coverge'.*coverage"):
        PushTEnv(reward="coverge")


def test_coverage_of_poses_is_gym_pushts_everywhere():
    rng = np.random.default_rng(0)
    physics, state = PushTPhysics(), np.zeros(STATE_SIZE)
    physics.reset(state + 200.0)
    found = []
    for _ in range(60):
        state[4:6], state[6] = rng.uniform(150.0, 360.0, 2), rng.uniform(-4.0, 4.0)
        physics.reset(state)
        away = rng.normal(0.0, rng.choice([5.0, 60.0, 300.0]), 2)
        physics.arena.goal_pose = np.array([*(state[4:6] + away), rng.uniform(-4.0, 4.0)])
        found.append(physics.coverage())
        assert found[-1] == pytest.approx(physics.arena._get_coverage(), abs=1e-12)
    assert min(found) == 0.0
    assert max(found) > 0.5
