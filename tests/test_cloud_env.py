"""The point-cloud world as a Gymnasium environment."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from equiwm.errors import DataError
from equiwm.symmetry.groups import SE3
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.cloud.env import CloudEnv
from equiwm.worlds.cloud.world import TASK_STEPS, Cloud


@pytest.mark.filterwarnings("ignore:.*A Box observation space m:UserWarning")
@pytest.mark.parametrize(("action", "shape"), [("coupled", (3,)), ("separate", (2, 3))])
def test_gymnasium_accepts_it(action, shape):
    env = gymnasium.make("equiwm.worlds:equiwm/Cloud-v0", action=action)
    check_env(env.unwrapped)
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert env.action_space.shape == shape
    assert observation.shape == info["goal"].shape == (24, 3)


@pytest.mark.parametrize("kind", ["coupled", "separate"])
def test_an_episode_is_a_rollout_of_the_world(kind):
    world, env = Cloud(CloudConfig(action=kind)), CloudEnv(action=kind)
    tasks = world.tasks(3, seed=1, orientations="all")
    actions = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 6, *world.action_shape))
    clouds = world.rollout(tasks.start, torch.from_numpy(actions)).numpy()
    for start, goal, plan, expected in zip(tasks.start, tasks.goal, actions, clouds, strict=True):
        observation, info = env.reset(options={"state": start.numpy(), "goal": goal})
        assert np.array_equal(info["goal"], goal.numpy())
        seen = [observation, *(env.step(action)[0] for action in plan)]
        assert np.array_equal(np.array(seen), expected)


def test_reward_is_minus_the_rms_distance_and_the_goal_ends_the_episode():
    env, world = CloudEnv(), Cloud()
    start = world.sample_scenes(1, 2)[0].numpy()
    shift = np.array([0.3, 0.0, 0.4])
    env.reset(options={"state": start, "goal": start + shift})
    _, reward, terminated, truncated, info = env.step(np.zeros(3))
    assert reward == pytest.approx(-0.5)
    assert (terminated, truncated, info["is_success"]) == (False, False, False)
    assert info["centroid_distance"] == pytest.approx(0.5)
    assert info["angle_deg"] == pytest.approx(0.0, abs=1e-4)
    env.reset(options={"state": start, "goal": start + 0.15 * shift})
    _, reward, terminated, _, info = env.step(np.zeros(3))
    assert reward == pytest.approx(-0.075)
    assert terminated
    assert info["is_success"]


@pytest.mark.parametrize("kind", ["coupled", "separate"])
def test_the_goal_of_a_task_can_be_reached(kind):
    env, world = CloudEnv(action=kind), Cloud(CloudConfig(action=kind))
    start = world.sample_scenes(1, 0)[0]
    plan = torch.from_numpy(np.random.default_rng(3).normal(size=world.action_shape))
    plan = plan / plan.norm(dim=-1, keepdim=True)
    goal = world.rollout(start, plan.expand(TASK_STEPS, *plan.shape))[-1]
    env.reset(options={"state": start, "goal": goal})
    rewards, successes = zip(*((env.step(plan.numpy())[1:3]) for _ in range(TASK_STEPS)), strict=True)
    assert rewards[-1] == pytest.approx(0.0, abs=1e-12)
    assert not successes[0]
    assert successes[-1]
    assert list(rewards) == sorted(rewards)


def test_long_actions_are_scaled_vector_by_vector():
    env = CloudEnv(action="separate")
    start = env.world.sample_scenes(1, 3)[0]
    ends = []
    for action in ([[3.0, 4.0, 0.0], [0.0, 0.1, 0.0]], [[0.6, 0.8, 0.0], [0.0, 0.1, 0.0]]):
        env.reset(options={"state": start})
        ends.append(env.step(np.array(action))[0])
    assert np.array_equal(*ends)


def test_turned_tasks_with_turned_actions_are_worth_the_same():
    env, rep = CloudEnv(), Cloud().observation_rep
    task = env.world.tasks(1, seed=5)
    actions = np.random.default_rng(0).normal(size=(5, 3))  # some longer than 1
    rewards = []
    for g in (SE3.identity(), SE3.sample(1, 0)[0]):
        env.reset(options={"state": rep.transform(task.start[0], g), "goal": rep.transform(task.goal[0], g)})
        rewards.append([env.step(g.linear.numpy() @ action)[1] for action in actions])
    assert np.allclose(*rewards, rtol=0, atol=1e-13)


def test_seeds_and_orientations_choose_the_task():
    env = CloudEnv()
    first, again, other = (env.reset(seed=seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(env.reset(seed=0, options={"orientations": "seen"})[0], first)
    first[:] = 0.0  # what was handed out is the caller's
    assert np.abs(env.step(np.zeros(3))[0]).max() > 0.1


@pytest.mark.parametrize("action", [[np.nan, 0.0, 0.0], [1.0], [[1.0, 0.0, 0.0]], "left", None])
def test_a_wrong_action_is_refused(action):
    env = CloudEnv()
    env.reset(seed=0)
    with pytest.raises(DataError, match="action"):
        env.step(action)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stat": np.zeros((24, 3))}, "did you mean state"),
        ({"state": np.zeros((5, 3))}, r"a state has shape \(24, 3\)"),
        ({"state": np.zeros((1, 24, 3))}, r"got \(1, 24, 3\)"),
        ({"goal": np.full((24, 3), np.inf)}, "a goal is finite"),
        ({"orientations": "some"}, "orientations: got"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        CloudEnv().reset(options=options)


def test_misuse_is_refused():
    with pytest.raises(DataError, match="did you mean coupled"):
        CloudEnv(action="coupld")
    with pytest.raises(DataError, match="at least 4"):
        CloudEnv(points=3)
    with pytest.raises(gymnasium.error.ResetNeeded):
        CloudEnv().step(np.zeros(3))
