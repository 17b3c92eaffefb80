"""The PushT world: its types, its data, and its symmetry as measured."""

import numpy as np
import pytest
import torch

from equiwm.errors import DataError
from equiwm.symmetry.groups import O2, SO2
from equiwm.worlds.draws import generator
from equiwm.worlds.pusht.config import PushTConfig
from equiwm.worlds.pusht.physics import (
    AGENT,
    ANGLE,
    BLOCK,
    STATE_SIZE,
    agent_inside,
    block_inside,
    gap,
    geometry,
    turn,
)
from equiwm.worlds.pusht.world import ANYWHERE, PushT, Rollouts, _explore, _guarded, _scenes

COLUMNS = ("observation", "action", "next_observation", "episode")


@pytest.fixture(scope="module")
def data():
    return PushT().transitions(800, seed=3)


def scenes(n: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    draws = [generator(9, 0, seed=k) for k in range(n)]
    frames = np.linspace(0.0, 2 * np.pi, n, endpoint=False)
    return _scenes(draws, frames, ANYWHERE), _explore(draws, frames, steps)


def first_states(world: PushT, data) -> np.ndarray:
    first = np.unique(data.episode.numpy(), return_index=True)[1]
    return world.state_of(data.observation[first])


def test_transitions_are_typed(data):
    assert data.observation.shape == data.next_observation.shape == (800, 4, 2)
    assert data.action.shape == (800, 2)
    assert {getattr(data, name).dtype for name in COLUMNS[:3]} == {torch.float64}
    assert data.action.norm(dim=-1).max() <= 1.0 + 1e-12
    norms = data.observation[:, 3].norm(dim=-1)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-12)


def test_the_same_arguments_give_the_same_data_and_fewer_are_a_prefix(data):
    world = PushT()
    again, fewer = world.transitions(800, seed=3), world.transitions(333, seed=3)
    other = world.transitions(9, seed=4)
    for name in COLUMNS:
        assert torch.equal(getattr(again, name), getattr(data, name))
        assert torch.equal(getattr(fewer, name), getattr(data, name)[:333])
    assert again.excluded == data.excluded
    assert not torch.equal(other.observation, data.observation[:9])


def test_an_episode_is_a_chain(data):
    linked = data.episode[1:] == data.episode[:-1]
    assert torch.equal(data.next_observation[:-1][linked], data.observation[1:][linked])
    assert 0.8 < linked.double().mean() < 1.0
    assert bool((data.episode[1:] >= data.episode[:-1]).all())


def test_transitions_obey_the_simulator(data):
    world = PushT()
    starts = np.unique(data.episode.numpy(), return_index=True)[1]
    runs = world.rollout(world.state_of(data.observation[starts]), data.action[starts][:, None].numpy())
    assert torch.allclose(world.observe(runs.states[:, 1]), data.next_observation[starts], atol=1e-9)


def test_seen_orientations_lie_in_the_wedge_and_all_fill_the_circle():
    for direction, shift in (("stem", 0.0), ("body_x", -90.0)):
        world = PushT(PushTConfig(direction=direction, wedge=(20.0, 50.0)))
        for orientations, width in (("seen", 30.0), ("all", 360.0)):
            data = world.transitions(1500, seed=0, orientations=orientations)
            first = np.unique(data.episode.numpy(), return_index=True)[1]
            x, y = data.observation[first, 3].numpy().T
            angles = (np.rad2deg(np.arctan2(y, x)) - shift - 20.0) % 360.0
            assert angles.max() < width + 1e-9
            assert angles.max() > 0.9 * width
            assert angles.min() < 0.1 * width


def test_a_turned_wedge_gives_the_turned_data():
    near, far = PushT(PushTConfig(wedge=(0.0, 90.0))), PushT(PushTConfig(wedge=(137.0, 227.0)))
    data, expected = (world.transitions(400, seed=1) for world in (far, near))
    turned = expected.transform(SO2.rotation(137.0), near.observation_rep, near.action_rep)
    for name in COLUMNS[:3]:
        assert torch.allclose(getattr(data, name), getattr(turned, name), atol=1e-9)
    assert torch.equal(data.episode, expected.episode)
    assert data.excluded == expected.excluded


def test_episodes_start_at_rest_behind_the_block_and_clear_of_it(data):
    world = PushT()
    states = first_states(world, data)
    clearance = gap(states) - geometry().agent_radius
    assert clearance.min() >= 34.0 - 15.0 - 1e-9
    assert clearance.max() <= 52.0 - 15.0 + 1e-9
    assert np.abs(states[:, 2:4]).max() == 0.0
    assert np.linalg.norm(states[:, BLOCK] - geometry().centre, axis=1).max() <= 12.0 * np.sqrt(2) + 1e-9


def test_exploration_moves_the_block(data):
    moved = (data.next_observation - data.observation)[:, 2].norm(dim=-1) * 256.0 > 0.01
    assert 0.35 < moved.double().mean() < 0.65


def test_transitions_stay_inside_the_guard_and_what_does_not_is_counted():
    world = PushT(PushTConfig(episode_steps=40))
    data = world.transitions(600, seed=0)
    for observation in (data.observation, data.next_observation):
        states = world.state_of(observation)
        assert block_inside(states).all()
        assert agent_inside(states).all()
    assert set(data.excluded) == {"wall: agent outside the guard", "wall: block outside the guard"}
    episodes = int(data.episode.max()) + 1
    dropped = sum(data.excluded.values())
    assert episodes * 40 - 40 < dropped + len(data) <= episodes * 40
    assert not PushT(PushTConfig(episode_steps=1)).transitions(50, seed=0).excluded


def test_an_episode_that_left_the_guard_stays_out_and_says_why():
    states = np.zeros((3, 5, STATE_SIZE))
    states[..., AGENT], states[..., BLOCK] = 255.5, 255.5
    states[0, 2, AGENT] = 500.0  # out at state 2, back at 3
    states[1, 3, BLOCK] = 450.0
    inside, reasons = _guarded(Rollouts(states, np.zeros((3, 4), dtype=bool)))
    assert inside.tolist() == [[True, False, False, False], [True, True, False, False], [True] * 4]
    assert reasons[:2] == ["wall: agent outside the guard", "wall: block outside the guard"]
    touched = np.zeros((3, 4), dtype=bool)
    touched[2, 1:] = True
    assert _guarded(Rollouts(states, touched))[0][2].tolist() == [True, False, False, False]


def test_progress_is_reported():
    calls: list[tuple[int, int]] = []
    PushT().transitions(700, seed=0, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (700, 700)
    assert len(calls) > 1
    assert calls == sorted(calls)


@pytest.mark.parametrize("direction", ["stem", "body_x"])
def test_observations_and_states_convert_both_ways(direction):
    world = PushT(PushTConfig(direction=direction))
    states, _ = scenes(200, 1)
    states[:, 2:4] = np.random.default_rng(0).normal(0.0, 100.0, (200, 2))
    observation = world.observe(states)
    back = world.state_of(observation)
    turns = (back - states)[:, ANGLE] / (2 * np.pi)
    back[:, ANGLE] -= 2 * np.pi * np.round(turns)
    assert np.abs(back - states).max() < 1e-12
    assert (np.abs(world.state_of(observation)[:, ANGLE]) <= np.pi).all()
    assert torch.allclose(world.observe(world.state_of(observation)), observation, rtol=0, atol=1e-14)
    assert observation[0, 0].tolist() == ((states[0, AGENT] - 255.5) / 256.0).tolist()


def test_the_direction_is_the_axis_it_is_called():
    state = np.zeros((1, STATE_SIZE))
    state[:, ANGLE] = np.deg2rad(30.0)
    stem = PushT(PushTConfig(direction="stem")).observe(state)[0, 3]
    body_x = PushT(PushTConfig(direction="body_x")).observe(state)[0, 3]
    assert torch.allclose(stem, torch.tensor([-0.5, np.sqrt(0.75)], dtype=torch.float64))
    assert torch.allclose(body_x, torch.tensor([np.sqrt(0.75), 0.5], dtype=torch.float64))


def test_observations_are_vectors_and_only_the_stem_is_one_under_reflections():
    states, _ = scenes(64, 1)
    rotations = SO2.sample(64, 1)
    mirror = O2.rotation(np.linspace(0.0, 300.0, 64)) @ O2.elements(torch.diag(torch.tensor([1.0, -1.0])))
    for direction, reflects in (("stem", True), ("body_x", False)):
        world = PushT(PushTConfig(direction=direction))
        for g, expected in ((rotations, True), (mirror, reflects)):
            turned = world.observation_rep.transform(world.observe(states), g)
            assert torch.allclose(world.observe(turn(states, g)), turned, atol=1e-12) == expected


def test_the_simulator_is_mirror_symmetric_about_the_stem():
    world = PushT()
    tasks = world.tasks(60, seed=0, orientations="all")
    actions = _explore([generator(9, 1, seed=k) for k in range(60)], np.zeros(60), 8)
    mirror = O2.rotation(np.linspace(0.0, 300.0, 60)) @ O2.elements(torch.diag(torch.tensor([1.0, -1.0])))
    mirrored_actions = world.action_rep.transform(torch.from_numpy(actions), mirror[:, None]).numpy()
    runs = world.rollout(tasks.start, actions)
    copies = world.rollout(turn(tasks.start, mirror), mirrored_actions)
    free = ~(runs.wall | copies.wall)
    assert free.sum() > 30
    expected = world.observation_rep.transform(world.observe(runs.states), mirror[:, None])
    assert torch.allclose(world.observe(copies.states)[free], expected[free], atol=1e-9)
    assert np.ptp(runs.states[free][..., ANGLE], axis=1).max() > 0.3


def test_symmetry_residual_is_rounding_away_from_walls_and_large_at_them():
    residual = PushT().symmetry_residual(500, 30, seed=0)
    assert residual.unit == "px"
    assert residual.rollouts["free"] >= 500
    assert residual.rollouts["overlapping"] >= 10
    assert residual.rollouts["wall"] >= 50
    assert 0.0 < residual.worst["free"] <= 1e-9
    assert residual.worst["overlapping"] <= 1e-6
    assert residual.worst["wall"] > 1.0


def test_symmetry_residual_is_reproducible():
    assert PushT().symmetry_residual(20, 10, seed=1) == PushT().symmetry_residual(20, 10, seed=1)


@pytest.mark.slow
def test_symmetry_residual_of_many_rollouts():
    residual = PushT().symmetry_residual(2000, 30, seed=7)
    assert residual.rollouts["free"] >= 2000
    # One of these rollouts amplifies any difference by 1e4 through three contacts in a row: an agent moved by 1e-12
    # px at its start, without any turn, ends 1e-8 px away.
    assert residual.worst["free"] <= 1e-8
    assert residual.worst["overlapping"] <= 1e-6
    assert residual.worst["embedded"] > 1.0  # known, and shown apart


def test_a_wall_is_the_same_for_turned_copies():
    world = PushT()
    starts, actions = scenes(100, 15)
    g = SO2.sample(100, 3)
    runs = world.rollout(starts, actions)
    assert runs.states.shape == (100, 16, STATE_SIZE)
    assert 0.1 < runs.wall.mean() < 0.95
    copies = Rollouts(turn(runs.states, g[:, None]), np.zeros_like(runs.touched))
    assert np.array_equal(copies.wall, runs.wall)


def test_tasks_turn_the_block_as_a_push_from_behind_does():
    world = PushT()
    tasks = world.tasks(40, seed=0)
    fewer = world.tasks(15, seed=0)
    assert len(tasks) == 40
    assert np.array_equal(fewer.start, tasks.start[:15])
    assert np.array_equal(fewer.goal, tasks.goal[:15])
    turns = tasks.goal[:, ANGLE] - tasks.start[:, ANGLE]
    assert np.allclose(np.abs(turns), np.deg2rad(35.0))
    assert 5 < (turns > 0).sum() < 35
    shift = tasks.goal[:, BLOCK] - tasks.start[:, BLOCK]
    stem = world.observe(tasks.start)[:, 3].numpy()
    assert np.allclose(shift, 20.0 * stem)
    angles = np.rad2deg(np.arctan2(stem[:, 1], stem[:, 0]))
    assert ((angles >= 0.0) & (angles < 90.0)).all()
    pushed = world.rollout(tasks.start, np.repeat(stem[:, None], 3, axis=1))
    turned = pushed.states[:, -1, ANGLE] - tasks.start[:, ANGLE]
    assert (np.abs(turned) > np.deg2rad(5.0)).all()
    assert (turned * turns > 0).all()


def test_tasks_and_exploration_do_not_share_scenes():
    world = PushT()
    data, tasks = world.transitions(16, seed=0), world.tasks(1, seed=0)
    assert not np.allclose(world.state_of(data.observation[:1]), tasks.start, atol=1e-3)


def test_readout_targets(data):
    targets = PushT().readout_targets(data.observation)
    assert list(targets) == ["block_position", "block_direction"]
    assert torch.equal(targets["block_position"], data.observation[:, 2:3])
    assert torch.equal(targets["block_direction"], data.observation[:, 3:4])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda world: world.transitions(0, seed=0),
        lambda world: world.transitions(5, seed=-1),
        lambda world: world.transitions(5, seed=0, orientations="wedge"),
        lambda world: world.tasks(0, seed=0),
        lambda world: world.symmetry_residual(0),
        lambda world: world.symmetry_residual(1, 0),
        lambda world: world.state_of(torch.zeros(3, 2)),
        lambda world: world.state_of(torch.zeros(4, 2)),
        lambda world: world.state_of(torch.full((4, 2), torch.nan)),
        lambda world: world.rollout(np.zeros((2, STATE_SIZE)), np.zeros((3, 4, 2))),
        lambda world: world.rollout(np.zeros((2, 7)), np.zeros((2, 4, 2))),
        lambda world: world.rollout(np.zeros((2, STATE_SIZE)), np.ones((2, 4, 2))),
        lambda world: world.rollout(np.zeros((2, STATE_SIZE)), np.full((2, 4, 2), np.nan)),
    ],
)
def test_wrong_input_is_refused_in_one_line(wrong):
    with pytest.raises(DataError) as caught:
        wrong(PushT())
    assert "\n" not in str(caught.value)
