"""PushT as others measure it: gym-pusht's own episodes, criteria by their sources, and what cannot be expressed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gym_pusht.envs.pusht import PushTEnv as GymPushT

from equiwm.claims.closed_loop.criteria import judged
from equiwm.claims.closed_loop.result import TaskResult
from equiwm.cli.main import run
from equiwm.config import load
from equiwm.errors import ConfigError, DataError
from equiwm.planning.control import ReplayPolicy, run_episodes
from equiwm.stats import wilson_interval
from equiwm.symmetry.groups import SO2
from equiwm.training.run import prepare_run, train_run
from equiwm.worlds.pusht.demonstrations import read_demonstrations
from equiwm.worlds.pusht.judges import GYM, OURS, STABLE
from equiwm.worlds.pusht.physics import AGENT, ANGLE, BLOCK, STATE_SIZE, block_in_arena
from equiwm.worlds.pusht.standard import CLIPPED, STANDARD, StandardControl, WMControl, reset_state
from equiwm.worlds.pusht.world import PushT

SMALL = ("training.transitions=256", "training.epochs=2", "training.batch=64", "model.predictor_widths=[8]")
PLANNING = ("samples=8", "iterations=1", "elites=4", "horizon=6")


@pytest.fixture(scope="module")
def world() -> PushT:
    return PushT()


@pytest.fixture(scope="module")
def arena_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("arena")
    train_run(
        prepare_run(load("vn-2d-arena", None, SMALL), folder, "tiny", seed=0, resume=False), device=torch.device("cpu")
    )
    return folder / "tiny"


def command(path: Path, *options: str) -> list[str]:
    settings = [part for each in PLANNING for part in ("--set", f"planning.{each}")]
    return ["closed-loop", str(path), *settings, "--jobs", "1", "--quiet", *options]


@pytest.fixture
def short(monkeypatch):
    """Episodes of 12 steps."""
    for control in (StandardControl, WMControl):
        monkeypatch.setattr(control, "steps", 12)


def test_starts_and_goal_are_gym_pushts(world):
    arena = GymPushT()
    seen, _ = arena.reset(seed=5)
    state = reset_state(5)
    assert np.array_equal(state[[0, 1, 4, 5]], seen[:4])
    control = world.standard("standard", None)
    tasks = control.tasks(3, 1)
    assert np.array_equal(control.tasks(2, 1).start, tasks.start[:2])
    assert not np.array_equal(control.tasks(3, 2).start, tasks.start)
    assert np.allclose(control.poses(tasks.goal), arena.goal_pose, atol=1e-12)
    assert np.allclose(np.ptp(control.tasks(200, 1).start[:, AGENT], axis=0), 400.0, atol=15.0)


def test_an_episode_and_its_rewards_are_gym_pushts(world):
    control, arena = world.standard("standard", None), GymPushT()
    tasks = control.tasks(3, 4)
    rng, steps = np.random.default_rng(0), 40
    for k in range(3):
        one = tasks.take([k])
        actions = torch.from_numpy(rng.uniform(-0.7, 0.7, (1, steps, 1, 2)))
        # Towards the block, so that it moves.
        towards = (one.start[:, BLOCK] - one.start[:, AGENT]) / 300.0
        actions[:, :20, 0] += torch.from_numpy(np.clip(towards, -0.5, 0.5))[:, None]
        episode = run_episodes(control, one, ReplayPolicy(actions, steps), steps=steps, replan=steps)
        _, reward = control.judge(episode.observations, one.goal[:, None])
        arena._setup()
        start = one.start[0]
        arena.agent.position, arena.agent.velocity = tuple(start[:2]), tuple(start[2:4])
        arena.block.angle = start[ANGLE]
        arena.block.position = tuple(start[BLOCK])
        arena.block.velocity, arena.block.angular_velocity = tuple(start[7:9]), start[9]
        for step, action in enumerate(actions[0, :, 0].numpy()):
            target = np.clip(np.array(arena.agent.position) + 100.0 * action, 0.0, 512.0)
            _, given, *_ = arena.step(target)
            assert float(reward[0, step + 1]) == pytest.approx(given, abs=1e-6)
    assert float(reward.std()) >= 0.0


def test_an_episode_ends_where_it_is_solved_and_stays_there(world):
    control = world.standard("standard", None)
    tasks = control.tasks(1, 0)
    solved = tasks.start.copy()
    pose = control.poses(tasks.goal)[0]
    solved[0, BLOCK], solved[0, ANGLE] = (pose[0] + 1.0, pose[1]), pose[2]
    solved[0, AGENT] = 60.0, 60.0
    near = type(tasks)(solved, tasks.goal)
    simulation = control.begin(near)
    assert simulation.stopped.all()
    calls = []

    def policy(observation, goal, remaining):
        calls.append(remaining)
        return torch.zeros(1, 3, 1, 2, dtype=torch.float64)

    episode = run_episodes(control, near, policy, steps=6, replan=3)
    assert episode.observations.shape[1] == 7
    assert not calls
    far = solved.copy()
    far[0, BLOCK] += 30.0
    episode = run_episodes(control, type(tasks)(far, tasks.goal), policy, steps=6, replan=3)
    assert calls == [6, 3]
    reached, _ = control.judge(episode.observations, tasks.goal[:, None])
    assert not reached[GYM].any()


def test_criteria_are_what_their_sources_ask(world):
    control, with_agent = world.standard("standard", None), world.standard("wm", None)
    state = np.zeros((1, STATE_SIZE))
    state[0, BLOCK], state[0, AGENT] = (256.0, 256.0), (200.0, 200.0)

    def met(control, agent=(0.0, 0.0), block=(0.0, 0.0), degrees=0.0):
        moved = state.copy()
        moved[0, AGENT] += agent
        moved[0, BLOCK] += block
        moved[0, ANGLE] += np.deg2rad(degrees)
        reached, reward = control.judge(world.observe(moved), world.observe(state))
        return [bool(reached[source]) for source in (GYM, STABLE, OURS)], float(reward)

    assert met(control) == ([True, True, True], 1.0)
    assert met(control, agent=(90.0, 0.0))[0] == [True, True, True]
    assert met(with_agent, agent=(19.0, 0.0))[0] == [True, True, True]
    assert met(with_agent, agent=(15.0, 0.0), block=(0.0, 15.0))[0] == [False, False, True]
    assert met(control, agent=(15.0, 0.0), block=(0.0, 15.0))[0] == [False, True, True]
    assert met(control, block=(22.0, 0.0))[0] == [False, False, True]
    assert met(control, degrees=19.0)[0] == [False, True, False]
    flags, reward = met(control, block=(6.0, 0.0))
    assert flags == [False, True, True]
    assert 0.8 < reward < 0.97
    assert "no agent" in control.asks[STABLE]
    assert "no agent" not in with_agent.asks[STABLE]


def test_turned_tasks_turn_with_their_goal_and_lie_inside_the_walls_however_they_are_turned(world):
    control = world.standard("standard-turned", None)
    tasks = control.tasks(40, 1)
    whole = world.standard("standard", None).tasks(40, 1)
    assert 5 < np.sum((tasks.start == whole.start).all(1)) < 40  # some resets are passed over
    for degrees in (45.0, 101.3, 180.0):
        g = SO2.rotation(torch.full((40,), degrees, dtype=torch.float64))
        turned = control.turned(tasks, g)
        assert torch.equal(turned.goal, world.observation_rep.transform(tasks.goal, g))
        assert block_in_arena(turned.start).all()
        assert (np.abs(turned.start[:, AGENT] - 255.5) < 250.5).all()


def test_targets_stay_in_gym_pushts_action_space_and_what_is_cut_off_is_not_paired(world):
    control = world.standard("standard", None)
    tasks = control.tasks(40, 1)
    k = int(np.abs(tasks.start[:, AGENT] - 255.5).max(1).argmax())
    outwards = torch.from_numpy(np.sign(tasks.start[k, AGENT] - 255.5) * 0.7)[None, None, None].repeat(1, 12, 1, 1)
    episode = run_episodes(control, tasks.take([k]), ReplayPolicy(outwards, 12), steps=12, replan=12)
    assert CLIPPED in episode.excluded
    assert (world.state_of(episode.observations)[0, :, AGENT] <= 512.0 + 1e-9).all()


def _recorded(folder: Path, **changed) -> Path:
    rng = np.random.default_rng(0)
    state = np.concatenate([rng.uniform(100, 400, (60, 4)), rng.uniform(0, 6, (60, 1))], 1).astype(np.float32)
    columns = {"state": state, "episode_ends": np.array([20, 60]), **changed}
    np.savez(folder / "mine.npz", **columns)
    return folder / "mine.npz"


def test_goals_of_demonstrations_lie_25_steps_ahead_in_one_episode(world, tmp_path):
    recorded = read_demonstrations(_recorded(tmp_path))
    control = world.standard("wm", tmp_path / "mine.npz")
    assert "2 demonstrations (mine.npz" in control.goals
    assert str(tmp_path) not in control.goals
    tasks = control.tasks(50, 3)
    for start, goal in zip(tasks.start, world.state_of(tasks.goal), strict=True):
        row = int(np.flatnonzero((recorded.states == start).all(1))[0])
        assert 20 <= row < 35  # the first episode has no room for 25 steps
        assert np.allclose(recorded.states[row + 25, BLOCK], goal[BLOCK], atol=1e-9)
        assert np.allclose(recorded.states[row + 25, AGENT], goal[AGENT], atol=1e-9)
    assert "exploration" in world.standard("wm", None).goals
    explored = world.standard("wm", None).tasks(2, 3)
    assert np.array_equal(world.standard("wm", None).tasks(1, 3).start, explored.start[:1])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"state": np.zeros((60, 4))}, "'state' has shape"),
        ({"state": np.full((60, 5), np.nan)}, "not finite"),
        ({"episode_ends": np.array([20, 50])}, "do not rise to the 60 rows"),
        ({"episode_ends": np.array([30, 20, 60])}, "do not rise"),
        ({"episode_ends": np.arange(20, 61, 20)}, "longest of its 3 episodes has 20 rows"),
    ],
)
def test_recordings_that_are_none_are_refused(world, tmp_path, changed, expected):
    with pytest.raises(DataError, match=expected):
        world.standard("wm", _recorded(tmp_path, **changed)).tasks(1, 0)


def test_demonstrations_go_with_the_task_that_takes_them(world, tmp_path):
    with pytest.raises(ConfigError, match="--demonstrations goes with --task wm"):
        world.standard("standard", _recorded(tmp_path))
    with pytest.raises(DataError, match="no such file"):
        world.standard("wm", tmp_path / "nowhere.npz")


def _task(met, begun=(False, False), reward=(0.5, 0.25)):
    return TaskResult(
        [[1.0]] * 2,
        [[1.0]] * 2,
        [1.0] * 2,
        [None, None],
        reached={"us": list(met)},
        begun={"us": list(begun)},
        reward=list(reward),
    )


def test_rates_are_over_every_episode():
    tasks = [_task((True, False)), _task((True, False)), _task((False, True), (True, False))]
    found = judged(tasks, [1.0, 2.0, 3.0], {"us": "ours"})
    rate, interval = found["criteria"]["us"], wilson_interval(2, 3)
    assert rate.success == pytest.approx(2 / 3)
    assert rate.ci95 == (interval.low, interval.high)
    assert rate.turned == pytest.approx(1 / 3)
    assert rate.turned_minus_seen == pytest.approx(-1 / 3)
    assert rate.at_start == 1
    assert found["episodes"] == 6
    assert found["seconds_per_episode"] == pytest.approx(1.0)
    assert found["mean_max_reward"] == 0.5
    assert judged(tasks, [1.0], {}) == {}


@pytest.mark.parametrize("task", STANDARD)
def test_the_command_prints_every_criterion_by_its_source(arena_run, short, tmp_path, capsys, task):
    orbit = ("--orbit", "90") if task == "standard-turned" else ()
    assert run(command(arena_run, "--task", task, "--tasks", "2", *orbit, "--out", str(tmp_path))) == 0
    shown = capsys.readouterr().out
    for words in (GYM, STABLE, OURS, "mean max reward", "CPU seconds", "met at the start by", "Wilson"):
        assert words in shown
    section = json.loads((tmp_path / "metrics.json").read_text())["closed_loop"]
    found = section["variants"][f"equivariant/keypoints/{task}"]
    assert set(found["criteria"]) == {GYM, STABLE, OURS}
    for rate in found["criteria"].values():
        assert rate["ci95"][0] <= rate["success"] <= rate["ci95"][1]
        assert len(rate["met"]) == 2
    assert found["task"] == task
    assert 0.0 <= found["mean_max_reward"] <= 1.0
    assert found["seconds_per_episode"] > 0.0
    assert found["sees"] == "agent position, agent velocity, block position, block direction"
    assert found["orbit"] == (["90°"] if task == "standard-turned" else [])


def test_todays_task_has_the_criteria_beside_it(arena_run, tmp_path, capsys):
    options = ("--tasks", "2", "--orbit", "90", "--set", "planning.steps=4", "--json", "--out", str(tmp_path))
    assert run(command(arena_run, *options)) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["criteria"]) == {GYM, STABLE, OURS}
    assert found["task"] == "own"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--task", "standrad"), "unknown task 'standrad': did you mean standard"),
        (("--task", "standard", "--orbit", "90"), "the goal of this task stands where it stands"),
        (("--task", "standard", "--tasks", "0"), "--tasks"),
        (("--task", "wm", "--demonstrations", "nowhere.npz"), "no such file"),
        (("--task", "standard", "--demonstrations", "nowhere.npz"), "--demonstrations goes with --task wm"),
        (("--demonstrations", "nowhere.npz"), "--demonstrations goes with --task wm"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line_or_two(arena_run, tmp_path, capsys, options, expected):
    assert run(command(arena_run, *options, "--out", str(tmp_path / "out"))) == 2
    shown = capsys.readouterr()
    assert expected in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert not shown.out
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_world_without_such_tasks_says_so(trained, tmp_path, capsys):
    assert run(["closed-loop", str(trained / "vn-2d"), "--task", "standard", "--goal", "keypoints", "--quiet"]) == 2
    assert "the state" in capsys.readouterr().err


@pytest.mark.slow
def test_the_preset_solves_it_and_turns_with_it(tmp_path, capsys):
    """Targets of one model seed on fewer resets: 66 CPU seconds of training and about one an episode."""
    assert run(["train", "--preset", "vn-2d-arena", "--quiet", "--out", str(tmp_path)]) == 0
    path = tmp_path / "vn-2d-arena"
    capsys.readouterr()
    options = ["--seed", "5000", "--jobs", "1", "--quiet", "--json"]
    assert run(["closed-loop", str(path), "--task", "standard", "--tasks", "30", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["criteria"][GYM]["success"] >= 0.9
    assert found["mean_max_reward"] >= 0.99
    assert found["seconds_per_episode"] <= 3.0
    turned = ["--task", "standard-turned", "--orbit", "101.3", "--tasks", "12", "--expect-invariant", *options]
    assert run(["closed-loop", str(path), *turned]) == 0
    found = json.loads(capsys.readouterr().out)
    assert abs(found["criteria"][GYM]["turned_minus_seen"]) <= 0.1
    assert found["paired_pairs"] >= 6
    assert found["paired_abs_max_deg"] <= 1e-9
    assert run(["closed-loop", str(path), "--task", "wm", "--tasks", "50", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["criteria"][STABLE]["success"] >= 0.9
