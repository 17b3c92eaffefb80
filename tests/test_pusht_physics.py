"""The simulator under the PushT world: gym-pusht's own trajectories, from exactly the state asked for."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from equiwm.errors import DataError
from equiwm.symmetry.groups import O2, SO2
from equiwm.worlds.pusht.physics import (
    AGENT,
    AGENT_VELOCITY,
    ANGLE,
    BLOCK,
    BLOCK_VELOCITY,
    REACH,
    SPIN,
    STATE_SIZE,
    GymPushT,
    PushTPhysics,
    agent_inside,
    block_inside,
    gap,
    geometry,
    turn,
)


def random_states(n: int, seed: int, spread: float = 150.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    states = np.zeros((n, STATE_SIZE))
    states[:, AGENT] = 255.5 + rng.uniform(-spread, spread, (n, 2))
    states[:, BLOCK] = 255.5 + rng.uniform(-spread, spread, (n, 2))
    states[:, ANGLE] = rng.uniform(-np.pi, np.pi, n)
    states[:, AGENT_VELOCITY] = rng.normal(0.0, 100.0, (n, 2))
    states[:, BLOCK_VELOCITY] = rng.normal(0.0, 30.0, (n, 2))
    states[:, SPIN] = rng.normal(size=n)
    return states


def chasing_actions(states: np.ndarray, steps: int, seed: int) -> np.ndarray:
    """Pushes towards where the block was, with noise: they make contact."""
    rng = np.random.default_rng(seed)
    towards = states[:, BLOCK] - states[:, AGENT]
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    actions = 0.7 * towards[:, None] + rng.normal(0.0, 0.5, (len(states), steps, 2))
    return actions / np.maximum(1.0, np.linalg.norm(actions, axis=-1, keepdims=True))


def test_trajectories_are_bitwise_those_of_gym_pusht():
    starts = random_states(40, 0)
    plans = chasing_actions(starts, 12, 1)
    fast, reference = PushTPhysics(), PushTPhysics()
    moved = touched = 0
    for start, plan in zip(starts, plans, strict=True):
        reference.reset(start)
        for shape in reference.arena.space.shapes:
            shape.collision_type = 0  # as gym-pusht leaves it, its contact counter included
        expected = [reference.state]
        for action in plan:
            reference.arena.step(np.array(reference.arena.agent.position) + REACH * action)
            expected.append(reference.state)
        states, walls = fast.rollout(start, plan)
        assert np.array_equal(states, np.array(expected))
        moved += np.abs(np.diff(states[:, BLOCK], axis=0)).max() > 5.0
        touched += walls.any()
    assert moved > 20
    assert touched > 5


def test_placement_is_exact_where_gym_pushts_own_reset_is_not():
    physics = PushTPhysics()
    for state in random_states(50, 2, spread=400.0):
        physics.reset(state)
        assert np.abs(physics.state - state).max() <= 1e-9
    trap = GymPushT()
    told = np.array([100.0, 120.0, 200.0, 220.0, 1.0])
    trap.reset(options={"reset_to_state": told})
    assert np.linalg.norm(np.array(trap.block.position) - told[2:4]) > 10.0


def test_collision_detection_sees_the_placed_shapes_at_once():
    # The T is placed far from where it is built, the agent against its bar: one step must push it.
    state = np.zeros(STATE_SIZE)
    state[BLOCK], state[ANGLE], state[AGENT] = (120.0, 380.0), 0.0, (120.0, 380.0 - 15.5)
    states, _ = PushTPhysics().rollout(state, np.array([[0.0, 1.0]]))
    assert states[1, BLOCK][1] > 390.0


def test_velocities_carry_into_the_first_step():
    still = random_states(1, 3, spread=20.0)[0]
    still[AGENT] = (60.0, 60.0)
    still[AGENT_VELOCITY], still[BLOCK_VELOCITY], still[SPIN] = 0.0, 0.0, 0.0
    moving = still.copy()
    moving[AGENT_VELOCITY], moving[BLOCK_VELOCITY] = (200.0, 0.0), (0.0, 300.0)
    physics = PushTPhysics()
    ends = [physics.rollout(start, np.zeros((1, 2)))[0][1] for start in (still, moving)]
    assert np.allclose(ends[0][AGENT], still[AGENT], atol=1e-12)
    assert ends[1][AGENT][0] > still[AGENT][0] + 5.0
    assert ends[1][BLOCK][1] == pytest.approx(still[BLOCK][1] + 3.0, abs=1e-6)  # one substep, then damped


def test_block_velocity_belongs_to_the_state():
    starts = random_states(60, 4, spread=60.0)
    plans = chasing_actions(starts, 6, 5)
    physics = PushTPhysics()
    errors: dict[bool, list[float]] = {True: [], False: []}
    for start, plan in zip(starts, plans, strict=True):
        states, _ = physics.rollout(start, plan)
        for t in range(1, 6):
            for keep in errors:
                restart = states[t].copy()
                if not keep:
                    restart[7:] = 0.0
                again, _ = physics.rollout(restart, plan[t : t + 1])
                errors[keep].append(float(np.abs(again[1, BLOCK] - states[t + 1, BLOCK]).max()))
    assert np.mean(errors[True]) < 0.4 * np.mean(errors[False])


def test_nothing_leaks_from_one_episode_into_the_next():
    starts = random_states(12, 6, spread=60.0)
    plans = chasing_actions(starts, 10, 7)
    reused = PushTPhysics()
    in_order = [reused.rollout(start, plan)[0] for start, plan in zip(starts, plans, strict=True)]
    fresh = [PushTPhysics().rollout(start, plan)[0] for start, plan in zip(starts, plans, strict=True)]
    assert np.array_equal(in_order, fresh)
    backwards = [reused.rollout(starts[k], plans[k])[0] for k in reversed(range(12))]
    assert np.array_equal(backwards[::-1], fresh)


def test_wall_contact_is_noted_and_forgotten_at_reset():
    start = np.zeros(STATE_SIZE)
    start[AGENT], start[BLOCK], start[ANGLE] = (255.5, 300.0), (255.5, 330.0), 0.0
    physics = PushTPhysics()
    states, touched = physics.rollout(start, np.tile([0.0, 1.0], (10, 1)))
    assert touched[-1]
    assert not touched[0]
    assert not block_inside(states)[1:][touched].any()  # driven straight at a wall
    physics.reset(start)
    assert not physics.touched_wall


def test_a_block_inside_the_guard_touches_no_wall():
    starts = random_states(80, 8, spread=100.0)
    plans = chasing_actions(starts, 10, 9)
    physics = PushTPhysics()
    inside = touched = 0
    for start, plan in zip(starts, plans, strict=True):
        states, walls = physics.rollout(start, plan)
        guarded = np.logical_and.accumulate(block_inside(states))[1:]
        assert not (guarded & walls).any()
        inside, touched = inside + guarded.sum(), touched + walls.sum()
    assert inside > 100
    assert touched > 20


def test_geometry_is_gym_pushts():
    shape = geometry()
    assert shape.centre.tolist() == [255.5, 255.5]
    assert shape.clearance == 248.5
    assert shape.agent_radius == 15.0
    assert shape.lever == pytest.approx(np.hypot(15.0, 120.0))
    physics = PushTPhysics()
    for state in random_states(20, 10):
        physics.reset(state)
        corners = GymPushT.get_keypoints(physics.arena._block_shapes)
        far = np.linalg.norm(corners - shape.centre, axis=1).max()
        assert block_inside(state) == (far < 248.5)


def test_gap_is_pymunks_distance():
    physics = PushTPhysics()
    for state in random_states(100, 11, spread=60.0):
        physics.reset(state)
        queries = [shape.point_query(tuple(state[AGENT])).distance for shape in physics.arena._block_shapes]
        assert gap(state) == pytest.approx(max(min(queries), 0.0), abs=1e-9)


def test_guard_does_not_depend_on_how_the_scene_is_turned():
    states = random_states(2000, 12, spread=230.0)
    turned = turn(states, O2.sample(2000, 13))
    for inside in (block_inside, agent_inside):
        assert np.array_equal(inside(states), inside(turned))
        assert 0.1 < inside(states).mean() < 0.9
    assert np.allclose(gap(states), gap(turned), atol=1e-9)


def test_turn_is_a_group_action():
    states = random_states(50, 14)
    g, h = O2.sample(50, 15), O2.sample(50, 16)
    twice, once = turn(turn(states, h), g), turn(states, g @ h)
    once[:, ANGLE] += 2 * np.pi * np.round((twice - once)[:, ANGLE] / (2 * np.pi))
    assert np.allclose(twice, once, atol=1e-9)
    assert np.allclose(turn(states, SO2.identity(50)), states, atol=1e-12)
    assert turn(states[:, None], SO2.orbit(7)).shape == (50, 7, STATE_SIZE)


def test_a_reflection_turns_every_corner_of_the_t():
    states = random_states(20, 17)
    g = O2.elements(torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64))
    physics = PushTPhysics()
    for state, mirrored in zip(states, turn(states, g), strict=True):
        corners = []
        for placed in (state, mirrored):
            physics.reset(placed)
            corners.append(GymPushT.get_keypoints(physics.arena._block_shapes) - geometry().centre)
        reflected = corners[0] * [1.0, -1.0]
        distances = np.linalg.norm(reflected[:, None] - corners[1][None], axis=-1)
        assert distances.min(1).max() < 1e-9  # the same eight corners, in another order


def test_a_placement_that_does_not_read_back_is_refused(monkeypatch):
    monkeypatch.setattr(PushTPhysics, "state", property(lambda self: np.full(STATE_SIZE, 1e-8)))
    with pytest.raises(DataError, match="expected 1e-9"):
        PushTPhysics().reset(np.zeros(STATE_SIZE))


@pytest.mark.parametrize("state", [np.zeros(5), np.full(STATE_SIZE, np.nan), ["a"] * STATE_SIZE])
def test_a_state_that_is_not_numbers_is_refused(state):
    with pytest.raises(DataError) as caught:
        PushTPhysics().reset(state)
    assert "\n" not in str(caught.value)


def test_importing_prints_nothing():
    command = [sys.executable, "-c", "import equiwm.worlds.pusht.env"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
