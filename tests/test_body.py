"""The rigid body in MuJoCo: its state, its types, its data, its symmetry through contact, and its environment."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

mujoco = pytest.importorskip("mujoco")

from equiwm.errors import DataError  # noqa: E402
from equiwm.symmetry.fit import pose_error  # noqa: E402
from equiwm.symmetry.groups import SE3, SO3  # noqa: E402
from equiwm.worlds.body import physics as body_physics  # noqa: E402
from equiwm.worlds.body.config import BodyConfig  # noqa: E402
from equiwm.worlds.body.env import BodyEnv  # noqa: E402
from equiwm.worlds.body.physics import (  # noqa: E402
    CONTROL_PERIOD,
    MARKS,
    ORIENTATION,
    POSITION,
    PUSHER,
    PUSHER_VELOCITY,
    SPIN,
    STATE_SIZE,
    VELOCITY,
    BodyPhysics,
    gap,
    turn,
)
from equiwm.worlds.body.world import CHANNELS, POINTS, VELOCITY_MARKS, Body  # noqa: E402
from equiwm.worlds.factory import build_world  # noqa: E402

COLUMNS = ("observation", "action", "next_observation", "episode")


@pytest.fixture(scope="module")
def world():
    return Body()


@pytest.fixture(scope="module")
def data(world):
    return world.transitions(300, seed=3)


def at_rest(pusher: tuple[float, float, float] = (0.0, -3.0, 0.0)) -> np.ndarray:
    state = np.zeros(STATE_SIZE)
    state[ORIENTATION], state[PUSHER] = (1.0, 0.0, 0.0, 0.0), pusher
    return state


def acting(force=(0, 0, 0), torque=(0, 0, 0), push=(0, 0, 0)) -> np.ndarray:
    return np.array([force, torque, push], dtype=np.float64)


def test_transitions_are_typed(world, data):
    assert data.observation.shape == data.next_observation.shape == (300, CHANNELS, 3) == (300, 17, 3)
    assert data.action.shape == (300, 3, 3)
    assert (str(world.observation_rep), str(world.action_rep)) == ("13xp+4x1o", "3x1o")
    assert {getattr(data, name).dtype for name in COLUMNS[:3]} == {torch.float64}
    assert data.action.norm(dim=-1).max() <= 1.0 + 1e-12
    assert data.episode.tolist() == [k // 8 for k in range(300)]
    linked = data.episode[1:] == data.episode[:-1]
    assert torch.equal(data.next_observation[:-1][linked], data.observation[1:][linked])


def test_the_same_arguments_give_the_same_data_and_fewer_are_a_prefix(world, data):
    again, fewer = Body().transitions(300, seed=3), world.transitions(77, seed=3)
    for name in COLUMNS:
        assert torch.equal(getattr(again, name), getattr(data, name))
        assert torch.equal(getattr(fewer, name), getattr(data, name)[:77])
    assert not torch.equal(world.transitions(8, seed=4).observation, data.observation[:8])
    tasks, fewer_tasks = world.tasks(9, seed=3), world.tasks(4, seed=3)
    assert np.array_equal(fewer_tasks.start, tasks.start[:4])
    assert torch.equal(fewer_tasks.goal, tasks.goal[:4])


def test_a_step_from_an_observation_is_the_simulators(world, data):
    moved = world.step(data.observation[:200], data.action[:200])
    assert torch.allclose(moved, data.next_observation[:200], rtol=0, atol=1e-11)
    pairs = world.step(data.observation[:6].unflatten(0, (2, 3)), data.action[:6].unflatten(0, (2, 3)))
    assert torch.allclose(pairs.flatten(0, 1), moved[:6], rtol=0, atol=1e-12)
    assert torch.allclose(world.step(data.observation[0], data.action[0]), moved[0], rtol=0, atol=1e-12)
    rounded = world.step(data.observation[:6].float(), data.action[:6].float())
    assert torch.allclose(rounded, moved[:6], atol=1e-3)


def test_states_and_observations_convert_both_ways(world):
    states = world.explore(range(20), seed=0, orientations="all").states.reshape(-1, STATE_SIZE)
    back = world.state_of(world.observe(states))
    back[:, ORIENTATION] *= np.sign((back[:, ORIENTATION] * states[:, ORIENTATION]).sum(-1, keepdims=True))
    assert np.abs(back - states).max() < 1e-13


def test_observed_velocities_are_the_rates_of_the_points(world):
    states = world.explore(range(5), seed=1).states[:, 4]
    seen, ahead, h = world.observe(states), states.copy(), 1e-6
    ahead[:, POSITION] += h * states[:, VELOCITY]
    ahead[:, PUSHER] += h * states[:, PUSHER_VELOCITY]
    for row, state in zip(ahead, states, strict=True):  # MuJoCo's own integration of the quaternion
        mujoco.mju_quatIntegrate(row[ORIENTATION], state[SPIN], h)
    rates = (world.observe(ahead) - seen)[:, [*VELOCITY_MARKS, POINTS]] / h
    assert torch.allclose(rates, seen[:, POINTS + 1 :], atol=1e-5)
    assert seen[:, POINTS + 1 : -1].norm(dim=-1).min() > 0.01


def test_observations_are_of_their_rep(world):
    states = world.explore(range(20), seed=2).states[:, 3]
    g = SE3.sample(20, 0)
    expected = world.observation_rep.transform(world.observe(states), g)
    assert torch.allclose(world.observe(turn(states, g)), expected, atol=1e-13)


def test_force_torque_and_pusher_do_what_they_are_called():
    physics = BodyPhysics()
    assert np.abs(physics._model.body_ipos).max() < 1e-12  # the frame's origin is the centre of mass
    states, touched = physics.rollout(at_rest(), acting(force=(0.6, 0.0, 0.8))[None])
    direction = states[1, VELOCITY] / np.linalg.norm(states[1, VELOCITY])
    assert np.allclose(direction, (0.6, 0.0, 0.8), atol=1e-12)
    mass = physics._model.body_mass[1]
    assert np.linalg.norm(states[1, VELOCITY]) == pytest.approx(5.0 / mass * CONTROL_PERIOD, rel=0.1)  # less drag
    assert np.abs(states[1, SPIN]).max() < 1e-12
    assert not touched.any()
    states, _ = physics.rollout(at_rest(), acting(torque=(0.0, 0.0, 1.0))[None])
    assert np.abs(states[1, VELOCITY]).max() < 1e-12
    assert states[1, SPIN][2] > 0.2
    states, _ = physics.rollout(at_rest(), np.repeat(acting(push=(0.0, 0.0, -1.0))[None], 3, 0))
    assert np.allclose(states[3, PUSHER_VELOCITY], (0.0, 0.0, -2.0), atol=0.01)
    assert np.array_equal(states[3, POSITION], np.zeros(3))
    states, touched = physics.rollout(at_rest((0.0, -0.7, 0.0)), np.repeat(acting(push=(0.0, 1.0, 0.0))[None], 6, 0))
    assert touched.any()
    assert not touched[0]
    assert states[-1, VELOCITY][1] > 0.2


def test_gap_is_mujocos_distance():
    physics, rng, close = BodyPhysics(), np.random.default_rng(0), 0
    for _ in range(200):
        state = at_rest(tuple(rng.normal(0.0, 0.6, 3)))
        physics.reset(state)
        mujoco.mj_forward(physics._model, physics._data)
        contacts = [contact.dist for contact in physics._data.contact]
        if contacts and gap(state) > -0.14:  # the centre of the pusher is outside of the body
            close += 1
            assert gap(state) == pytest.approx(min(contacts), abs=1e-12)
        elif not contacts:
            assert gap(state) >= 0.0
    assert close > 20


def test_scenes_start_apart_and_touch_often(world):
    runs = world.explore(range(60), seed=0)
    clearance = gap(runs.states[:, 0])
    assert 0.02 - 1e-9 < clearance.min() < clearance.max() < 0.15 + 1e-9
    assert 0.3 < runs.touched.mean() < 0.6
    assert gap(runs.states).min() > -0.05  # contact is stiff


def test_a_step_depends_on_the_state_alone():
    world = Body()
    runs = world.explore(range(6), seed=5)
    replay = world.rollout(runs.states[:, 0], runs.actions)
    assert np.array_equal(replay.states, runs.states)
    assert np.array_equal(replay.touched, runs.touched)
    later = world.rollout(runs.states[:, 4], runs.actions[:, 4:])  # no warm start, no memory of the contact
    assert np.abs(later.states - runs.states[:, 4:]).max() < 1e-12


def test_another_wedge_gives_the_turned_episodes():
    near, far = (Body(BodyConfig(wedge=wedge)) for wedge in ((0.0, 90.0), (137.0, 227.0)))
    data = far.transitions(80, seed=1)
    turned = near.transitions(80, seed=1).transform(SO3.rotation(137.0), near.observation_rep, near.action_rep)
    for name in COLUMNS[:3]:
        assert torch.allclose(getattr(data, name), getattr(turned, name), rtol=0, atol=1e-10)


def test_orientations(world):
    upright = world.observe(at_rest())[:POINTS]
    for orientations, largest in (("seen", 140.0), ("all", 180.0), ("unseen", 180.0)):
        starts = world.tasks(80, seed=0, orientations=orientations).start
        angles = pose_error(upright, world.observe(starts)[:, :POINTS])[0]
        assert angles.max() <= largest
        assert (angles.max() > 150.0) == (largest == 180.0)


def test_sequences_are_chained_steps_of_the_simulator(world):
    data = world.sequences(5, 6, seed=3)
    assert data.observations.shape == (5, 7, CHANNELS, 3)
    assert data.actions.shape == (5, 6, 3, 3)
    assert data.observations.dtype == data.actions.dtype == torch.float64
    assert data.excluded == {}
    moved = world.step(data.observations[:, :-1], data.actions)
    assert torch.allclose(moved, data.observations[:, 1:], rtol=0, atol=1e-11)
    seen: list[tuple[int, int]] = []
    again = Body().sequences(70, 6, seed=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 70), (70, 70)]
    assert torch.equal(again.observations[:5], data.observations)
    assert torch.equal(again.actions[:5], data.actions)
    assert again.episode.tolist() == list(range(70))
    assert not torch.equal(world.sequences(5, 6, seed=4).observations, data.observations)
    starts = {tuple(row) for row in world.transitions(80, seed=3).observation[:, 0].tolist()}
    assert not starts & {tuple(row) for row in data.observations[:, 0, 0].tolist()}


@pytest.mark.parametrize("cone", ["elliptic", "pyramidal"])
def test_sequences_of_two_orientations_are_the_same_but_turned(cone):
    world = Body(BodyConfig(cone=cone))
    seen, unseen = (world.sequences(24, 8, seed=0, orientations=name) for name in ("seen", "unseen"))
    upright = world.observe(at_rest())[:POINTS]
    assert pose_error(upright, unseen.observations[:, 0, :POINTS])[0].max() > 150.0
    fit = torch.linalg.lstsq(*(part.actions.flatten(1, 2) for part in (seen, unseen))).solution  # a @ R^T = a'
    g = SO3.elements(fit.transpose(-1, -2))
    assert torch.allclose(world.action_rep.transform(seen.actions, g[:, None]), unseen.actions, atol=1e-12)
    start = world.observation_rep.transform(seen.observations[:, 0], g)
    assert torch.allclose(start, unseen.observations[:, 0], rtol=0, atol=1e-12)
    turned = world.observation_rep.transform(seen.observations, g[:, None])
    apart = (turned - unseen.observations).abs().amax((1, 2, 3))
    assert (apart.max() < 1e-10) == (cone == "elliptic")


def test_symmetry_residual_is_rounding_through_contact(world):
    residual = world.symmetry_residual(60, 20, seed=0)
    assert (residual.unit, residual.steps) == ("m", 20)
    assert residual.rollouts["contact"] >= 50
    assert residual.rollouts["free"] >= 30
    assert 0.0 < residual.worst["free"] <= 1e-12
    assert 0.0 < residual.worst["contact"] <= 1e-10
    assert residual == world.symmetry_residual(60, 20, seed=0)


def test_the_pyramidal_cone_breaks_the_symmetry_on_contact_and_only_there():
    residual = Body(BodyConfig(cone="pyramidal")).symmetry_residual(40, 8, seed=0)
    assert residual.rollouts["contact"] >= 30
    assert residual.worst["free"] <= 1e-12
    assert residual.worst["contact"] > 0.01


def test_gravity_is_found(monkeypatch):
    exact = body_physics._mjcf
    monkeypatch.setattr(
        body_physics, "_mjcf", lambda cone: exact(cone).replace('gravity="0 0 0"', 'gravity="0 0 -.01"')
    )
    residual = Body().symmetry_residual(20, 4, seed=0)
    assert residual.worst["free"] > 1e-5


def test_tasks_move_the_body_rigidly(world):
    tasks = world.tasks(40, seed=0, orientations="all")
    start = world.observe(tasks.start)[:, :POINTS]
    angles, distances = pose_error(start, tasks.goal)
    assert 20.0 <= angles.min() < 30.0 < 50.0 < angles.max() <= 60.0
    assert 0.2 < distances.min() < 0.5 < 0.8 < distances.max() < 1.1
    assert torch.allclose(torch.cdist(tasks.goal, tasks.goal), torch.cdist(start, start), atol=1e-6)


def test_readout_targets_and_components(world, data):
    targets = world.readout_targets(data.observation)
    assert {name: target.shape[1:] for name, target in targets.items()} == {
        "centred_cloud": (POINTS, 3),
        "pusher_offset": (1, 3),
    }
    shifted = world.observation_rep.transform(
        data.observation, SE3.elements(torch.eye(3), torch.tensor([4.0, 1.0, -2.0]))
    )
    for name, target in world.readout_targets(shifted).items():
        assert torch.allclose(target, targets[name], atol=1e-13)
    assert world.components["pusher_position"] == 12
    assert world.components["pusher_velocity"] == 16
    assert len(world.components) == 5


def test_the_factory_builds_it():
    assert isinstance(build_world(BodyConfig()), Body)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda world: world.transitions(0, seed=0), "n = 0"),
        (lambda world: world.transitions(5, seed=-1), "seed"),
        (lambda world: world.transitions(5, seed=0, orientations="wedge"), "orientations"),
        (lambda world: world.sequences(0, 3, seed=0), "sequences: got n = 0"),
        (lambda world: world.sequences(3, 0, seed=0), "horizon = 0"),
        (lambda world: world.sequences(3, 3, seed=-1), "seed"),
        (lambda world: world.sequences(3, 3, seed=0, orientations="wedge"), "orientations"),
        (lambda world: world.tasks(0, seed=0), "n = 0"),
        (lambda world: world.symmetry_residual(0), "rollouts = 0"),
        (lambda world: world.step(torch.zeros(16, 3), torch.zeros(3, 3)), r"\(\.\.\., 17, 3\); got \(16, 3\)"),
        (lambda world: world.step(torch.full((17, 3), torch.nan), torch.zeros(3, 3)), "51 that are NaN"),
        (lambda world: world.step(torch.zeros(17, 3), torch.zeros(3, 3)), "misses every motion of the body"),
        (lambda world: world.step(world.observe(at_rest()), torch.ones(3, 3)), "outside the unit ball"),
        (lambda world: world.step(world.observe(at_rest()), torch.zeros(2, 3)), "action"),
        (lambda world: world.rollout(np.zeros((2, 19)), np.zeros((3, 4, 3, 3))), "rollouts need"),
        (lambda world: world.rollout(np.zeros((1, 19)), np.zeros((1, 4, 3, 3))), "unit quaternion; got one of norm 0"),
        (lambda world: world.rollout(np.full((1, 19), np.nan), np.zeros((1, 4, 3, 3))), "finite"),
    ],
)
def test_wrong_input_is_refused_in_one_line(world, wrong, message):
    with pytest.raises(DataError, match=message) as caught:
        wrong(world)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*A Box observation space m:UserWarning")
def test_gymnasium_accepts_it():
    env = gymnasium.make("equiwm.worlds:equiwm/Body-v0")
    check_env(env.unwrapped)
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert observation.shape == (17, 3)
    assert info["goal"].shape == (POINTS, 3)
    assert info["state"].shape == (STATE_SIZE,)


def test_an_episode_is_a_rollout_of_the_world(world):
    env = BodyEnv()
    runs = world.explore(range(3), seed=7, orientations="all")
    goal = world.observe(runs.states[:, -1])[:, :POINTS]
    for start, target, plan, states, touched in zip(
        runs.states[:, 0], goal, runs.actions, runs.states, runs.touched, strict=True
    ):
        observation, info = env.reset(options={"state": start, "goal": target})
        results = [env.step(action) for action in plan]
        seen = [observation, *(result[0] for result in results)]
        assert np.allclose(np.array(seen), world.observe(states).numpy(), rtol=0, atol=1e-12)
        assert [result[-1]["touched"] for result in results] == touched.tolist()
        assert np.array_equal(info["goal"], target.numpy())
        assert results[-1][1] == pytest.approx(0.0, abs=1e-12)
        assert results[-1][2]


def test_reward_is_minus_the_rms_distance_of_the_bodys_points():
    env = BodyEnv()
    env.reset(options={"state": at_rest(), "goal": MARKS + np.array([0.0, 0.3, 0.4])})
    _, reward, terminated, _, info = env.step(np.zeros((3, 3)))
    assert reward == pytest.approx(-0.5)
    assert not terminated
    assert not info["touched"]


def test_misuse_of_the_environment_is_refused():
    with pytest.raises(DataError, match="did you mean pyramidal"):
        BodyEnv(cone="pyramid")
    env = BodyEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros((3, 3)))
    for options in ({"state": np.zeros(5)}, {"state": "here"}, {"goal": np.zeros((24, 3))}, {"stat": None}):
        with pytest.raises(DataError):
            env.reset(options=options)


def test_the_world_says_whether_its_cone_breaks_the_symmetry():
    assert Body(BodyConfig()).equivariant
    assert not Body(BodyConfig(cone="pyramidal")).equivariant
