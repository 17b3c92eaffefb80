"""The table: its state, its types, gravity and friction, its data, its symmetry through contact, its environment."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy.spatial.transform import Rotation

mujoco = pytest.importorskip("mujoco")

from equiwm.errors import ConfigError, DataError, GroupError, RepError  # noqa: E402
from equiwm.evidence.world.check import check_world  # noqa: E402
from equiwm.evidence.world.worlds import preset_probe  # noqa: E402
from equiwm.planning.control import ReplayPolicy, run_episodes  # noqa: E402
from equiwm.symmetry.elements import Elements  # noqa: E402
from equiwm.symmetry.group import Group  # noqa: E402
from equiwm.symmetry.laws import check_rep  # noqa: E402
from equiwm.symmetry.reps import Rep  # noqa: E402
from equiwm.worlds.factory import build_world  # noqa: E402
from equiwm.worlds.table.config import TableConfig  # noqa: E402
from equiwm.worlds.table.env import TableEnv  # noqa: E402
from equiwm.worlds.table.observation import (  # noqa: E402
    BODY,
    BODY_SPIN,
    BODY_VELOCITY,
    HAND,
    HAND_VELOCITY,
    MARK,
    STEM,
    UP,
    WIDTH,
    observe,
    state_of,
    vectors_of,
)
from equiwm.worlds.table.physics import (  # noqa: E402
    CONTROL_PERIOD,
    FRICTION,
    GRAVITY,
    ORIENTATION,
    POSITION,
    PUSH_SPEED,
    PUSHER,
    PUSHER_VELOCITY,
    REST_HEIGHT,
    SPIN,
    STATE_SIZE,
    TAG,
    VELOCITY,
    TablePhysics,
    gap,
    height,
    outline,
    turn,
)
from equiwm.worlds.table.world import Table  # noqa: E402

COLUMNS = ("observation", "action", "next_observation")
SE2Z, E2Z = Group.parse("se2z"), Group.parse("e2z")


@pytest.fixture(scope="module")
def world():
    return Table()


@pytest.fixture(scope="module")
def data(world):
    return world.transitions(300, seed=3)


def at_rest(pusher: tuple[float, float] = (0.0, 1.0), lift: float = 0.0) -> np.ndarray:
    state = np.zeros(STATE_SIZE)
    state[POSITION], state[ORIENTATION], state[PUSHER] = (0.0, 0.0, REST_HEIGHT + lift), (1.0, 0.0, 0.0, 0.0), pusher
    return state


def rolled(start: np.ndarray, *actions, config: TableConfig | None = None) -> np.ndarray:
    """States (H + 1, STATE_SIZE)."""
    physics = TablePhysics(config or TableConfig())
    physics.reset(start)
    states = [physics.state]
    for action in actions:
        physics.act(np.array(action, dtype=np.float64))
        states.append(physics.state)
    return np.array(states)


def everywhere(n: int, seed: int) -> np.ndarray:
    """States in which everything moves, at all heights and tilts."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n, STATE_SIZE))
    states[:, ORIENTATION] = Rotation.random(n, rng=rng).as_quat(scalar_first=True)
    return states


# Types


def test_transitions_are_typed(world, data):
    assert data.observation.shape == data.next_observation.shape == (300, WIDTH) == (300, 27)
    assert data.action.shape == (300, 2)
    assert (str(world.observation_rep), str(world.action_rep)) == ("3xp+4x1o+1x1e+3x0e", "1xhorizontal")
    assert (world.observation_rep.dim, world.group.name) == (27, "se2z")
    assert {getattr(data, name).dtype for name in COLUMNS} == {torch.float64}
    assert data.action.norm(dim=-1).max() <= 1.0 + 1e-12
    assert data.episode.tolist() == [k // 8 for k in range(300)]
    linked = data.episode[1:] == data.episode[:-1]
    assert torch.equal(data.next_observation[:-1][linked], data.observation[1:][linked])
    check_rep(world.observation_rep, E2Z)
    check_rep(world.action_rep, E2Z)
    assert list(world.components.values()) == list(range(world.observation_rep.multiplicity))


def test_horizontal_vectors_are_refused_where_there_is_no_vertical():
    rep = Rep.parse("2xhorizontal", 3)
    with pytest.raises(GroupError, match="out of the plane"):
        rep.matrix(Group.parse("so3").sample(2, 0))
    with pytest.raises(RepError, match="in space"):
        Rep.parse("horizontal", 2)
    g = SE2Z.sample(3, 0)
    x = torch.randn(3, 3, dtype=torch.float64)
    upright = Rep.parse("1o", 3).transform(x, g)
    assert torch.allclose(Rep.parse("horizontal", 3).transform(x[:, :2].contiguous(), g), upright[:, :2])


def test_the_same_arguments_give_the_same_data_and_fewer_are_a_prefix(world, data):
    again, fewer = Table().transitions(300, seed=3), world.transitions(77, seed=3)
    for name in (*COLUMNS, "episode"):
        assert torch.equal(getattr(again, name), getattr(data, name))
        assert torch.equal(getattr(fewer, name), getattr(data, name)[:77])
    assert not torch.equal(world.transitions(8, seed=4).observation, data.observation[:8])
    tasks, fewer_tasks = world.tasks(9, seed=3), world.tasks(4, seed=3)
    assert np.array_equal(fewer_tasks.start, tasks.start[:4])
    assert torch.equal(fewer_tasks.goal, tasks.goal[:4])


def test_draws_are_what_they_were(world):
    """A weighted sum of each, which another processor's rounding hardly changes."""
    drawn = {
        1.7866293744134223: world.transitions(12, seed=0).next_observation,
        -2.622986680022857: world.sequences(5, 3, seed=1000, orientations="all").observations,
        0.26817669810352307: world.tasks(3, seed=0, orientations="unseen").goal,
    }
    for stored, values in drawn.items():
        flat = values.flatten()
        assert float(flat @ torch.arange(len(flat)).double().cos()) == pytest.approx(stored, abs=1e-7)


def test_states_and_observations_convert_both_ways(world):
    states = everywhere(40, 0)
    back = state_of(observe(states))
    back[:, ORIENTATION] *= np.sign((back[:, ORIENTATION] * states[:, ORIENTATION]).sum(-1, keepdims=True))
    assert np.abs(back - states).max() < 1e-13


def test_observations_are_of_their_rep_and_turns_are_an_action(world):
    states, g, h = everywhere(40, 1), E2Z.sample(40, 0), E2Z.sample(40, 1)
    assert bool((g.determinant < 0).any())
    expected = world.observation_rep.transform(observe(states), g)
    assert torch.allclose(observe(turn(states, g)), expected, atol=1e-12)
    twice, once = turn(turn(states, h), g), turn(states, g @ h)
    twice[:, ORIENTATION] *= np.sign((twice[:, ORIENTATION] * once[:, ORIENTATION]).sum(-1, keepdims=True))
    assert np.abs(twice - once).max() < 1e-12


def test_what_is_observed(world):
    state = at_rest((0.3, 0.4))
    state[TAG], state[VELOCITY], state[PUSHER_VELOCITY], state[SPIN] = (0.1, 0.2), (1, 2, 3), (4, 5), (6, 7, 8)
    seen = observe(state)
    vectors = vectors_of(seen)
    assert vectors[BODY].tolist() == [0.0, 0.0, REST_HEIGHT]
    assert vectors[HAND].tolist() == [0.3, 0.4, 0.03]
    assert vectors[MARK].tolist() == [0.1, 0.2, 0.0]
    assert (vectors[STEM].tolist(), vectors[UP].tolist()) == ([0.0, -1.0, 0.0], [0.0, 0.0, 1.0])
    assert (vectors[BODY_VELOCITY].tolist(), vectors[HAND_VELOCITY].tolist()) == ([1, 2, 3], [4, 5, 0])
    assert vectors[BODY_SPIN].tolist() == [6, 7, 8]
    assert seen[24:].tolist() == pytest.approx([-6e-5, 0.0, 1.0])
    assert observe(at_rest((0.0, 0.089)))[25:].tolist() == [1.0, 1.0]  # 1 mm off the bar's back
    assert observe(at_rest(lift=0.01))[24:].tolist() == pytest.approx([0.01 - 6e-5, 0.0, 0.0])


# Physics


def test_gravity_pulls_the_t_down_and_the_table_holds_it():
    falling = rolled(at_rest(lift=0.5), *[(0, 0)] * 2)
    assert falling[2, VELOCITY][2] == pytest.approx(-GRAVITY * 2 * CONTROL_PERIOD, rel=1e-9)
    tilted = at_rest(lift=0.05)
    tilted[ORIENTATION] = Rotation.from_euler("xy", (0.2, -0.1)).as_quat(scalar_first=True)
    landed = rolled(tilted, *[(0, 0)] * 10)[-1]
    assert landed[2] == pytest.approx(REST_HEIGHT, abs=1e-5)
    assert np.abs(landed[VELOCITY]).max() < 1e-4
    assert vectors_of(observe(landed))[UP][2] == pytest.approx(1.0, abs=1e-6)
    still = rolled(at_rest(), *[(0, 0)] * 20)
    assert np.abs(still - still[0])[:, POSITION].max() < 1e-5
    assert np.abs(still[10:] - still[10])[:, POSITION].max() < 1e-9  # it settles, and does not creep


def test_friction_stops_what_slides():
    sliding = at_rest()
    sliding[VELOCITY] = (0.6, -0.3, 0.0)
    end = rolled(sliding, *[(0, 0)] * 5)[-1]
    coulomb = (0.6**2 + 0.3**2) / (2 * FRICTION * GRAVITY)
    assert np.linalg.norm(end[:2]) == pytest.approx(coulomb, rel=0.05)
    assert np.abs(end[VELOCITY]).max() < 1e-3


def test_the_pusher_goes_where_it_is_sent_and_pushes():
    free = rolled(at_rest(), (0.6, 0.8), (0.6, 0.8))
    assert np.allclose(free[2, PUSHER_VELOCITY], PUSH_SPEED * np.array([0.6, 0.8]), atol=1e-4)
    assert np.linalg.norm(free[2, PUSHER] - free[1, PUSHER]) == pytest.approx(PUSH_SPEED * CONTROL_PERIOD, rel=1e-3)
    pushed = rolled(at_rest((-0.05, 0.1)), *[(0, -1)] * 4)[-1]
    assert pushed[1] < -0.05
    turned_by = Rotation.from_quat(pushed[ORIENTATION], scalar_first=True).as_rotvec()
    assert turned_by[2] > 0.2  # a push at its left turns it to the left
    assert np.abs(turned_by[:2]).max() < 0.02
    physics = TablePhysics(TableConfig())
    physics.reset(at_rest((0.0, 0.085)))
    physics.act(np.array([0.0, -0.1]))
    assert physics.touching == ["T-pusher", "T-world"]


def test_gap_and_height_are_mujocos_distances():
    physics, rng, close = TablePhysics(TableConfig()), np.random.default_rng(0), 0
    for _ in range(200):
        state = at_rest(tuple(rng.normal(0.0, 0.1, 2)), lift=rng.normal(0.0, 0.02))
        state[ORIENTATION] = Rotation.from_rotvec(rng.normal(0.0, (0.2, 0.2, 2.0))).as_quat(scalar_first=True)
        physics.reset(state)
        mujoco.mj_forward(physics._model, physics._data)
        found = {"T-pusher": [], "T-world": []}
        for contact in physics._data.contact:
            pair = {physics.bodies[physics._model.geom_bodyid[geom]] for geom in contact.geom}
            found["-".join(sorted(pair))].append(contact.dist)
        for name, distance in (("T-pusher", gap(state)), ("T-world", height(state))):
            if found[name] and distance > -0.019:  # the pusher's centre is outside of the T
                close += 1
                assert distance == pytest.approx(min(found[name]), abs=1e-12)
            elif not found[name]:
                assert distance >= 0.0
    assert close > 40


def test_a_step_depends_on_the_state_alone(world, data):
    moved = world.step(data.observation[:100], data.action[:100])
    assert torch.allclose(moved, data.next_observation[:100], rtol=0, atol=1e-12)
    pairs = world.step(data.observation[:6].unflatten(0, (2, 3)), data.action[:6].unflatten(0, (2, 3)))
    assert torch.equal(pairs.flatten(0, 1), moved[:6])
    assert torch.equal(world.step(data.observation[0], data.action[0]), moved[0])
    start = state_of(data.observation[40])  # the first of an episode
    physics = TablePhysics(world.config)
    physics.reset(start)
    for k in range(40, 48):  # a simulator that goes on, against one that is placed anew in every step
        physics.act(data.action[k].numpy())
        assert torch.allclose(observe(physics.state), data.next_observation[k], rtol=0, atol=1e-11)


# Data


def test_scenes_are_pushed_fall_and_start_apart(world):
    data = world.transitions(1600, seed=0)
    first = torch.arange(0, 1600, 8)
    starts = state_of(data.observation[first])
    falls = height(starts) > 1e-3
    assert 0.1 < falls.mean() < 0.3
    assert 0.009 < gap(starts)[~falls].min() < gap(starts)[~falls].max() < 0.051
    touched = data.observation[:, 25]
    assert 0.2 < touched.mean() < 0.6
    moved = (vectors_of(data.next_observation)[:, BODY, :2] - vectors_of(data.observation)[:, BODY, :2]).norm(dim=-1)
    assert 0.3 < (moved > 1e-3).double().mean() < 0.7
    assert vectors_of(data.observation)[:, UP, 2].min() < 0.98


def test_orientations(world):
    for orientations, low, high in (("seen", -30.0, 120.0), ("all", -180.0, 180.0), ("unseen", -180.0, 180.0)):
        axes = vectors_of(observe(world.tasks(80, seed=0, orientations=orientations).start))[:, STEM]
        assert axes[:, 2].abs().max() < 1e-12  # about the vertical alone
        angles = torch.rad2deg(torch.atan2(axes[:, 1], axes[:, 0]))
        assert angles.min() >= low
        assert angles.max() <= high
        assert (angles.max() - angles.min() > 300.0) == (orientations != "seen")
    with pytest.raises(DataError, match="none is unseen"):
        Table(TableConfig(wedge=(0.0, 360.0))).tasks(2, seed=0, orientations="unseen")


def test_sequences_of_two_orientations_are_the_same_but_turned():
    for cone in ("elliptic", "pyramidal"):
        world = Table(TableConfig(cone=cone))
        seen, unseen = (world.sequences(12, 8, seed=0, orientations=name) for name in ("seen", "unseen"))
        (x, y), (a, b) = (vectors_of(part.observations[:, 0])[:, STEM, :2].unbind(-1) for part in (seen, unseen))
        at, by = (vectors_of(part.observations[:, 0])[:, STEM, 2] for part in (seen, unseen))
        assert torch.allclose(at, by, atol=1e-12)
        g = SE2Z.rotation(torch.rad2deg(torch.atan2(x * b - y * a, x * a + y * b)))
        assert g.angle_deg.max() > 90.0
        assert torch.allclose(world.action_rep.transform(seen.actions, g[:, None]), unseen.actions, atol=1e-12)
        turned = world.observation_rep.transform(seen.observations, g[:, None])
        apart = (turned - unseen.observations).abs().amax((1, 2))
        assert (apart.max() < 1e-9) == (cone == "elliptic")


# Symmetry


def test_symmetry_residual_is_rounding_through_contact(world):
    residual = world.symmetry_residual(40, 15, seed=0)
    assert (residual.unit, residual.steps) == ("m", 15)
    assert residual.rollouts["push"] >= 35
    assert residual.rollouts["table"] >= 25
    assert 0.0 < residual.worst["table"] <= 1e-11
    assert 0.0 < residual.worst["push"] <= 1e-9
    assert world.symmetry_residual(3, 2, seed=0) == world.symmetry_residual(3, 2, seed=0)


@pytest.mark.parametrize("broken", [{"cone": "pyramidal"}, {"slope": 0.1}])
def test_pyramidal_cones_and_a_leaning_table_break_the_symmetry(broken):
    world = Table(TableConfig(**broken))
    assert not world.equivariant
    residual = world.symmetry_residual(30, 8, seed=0)
    assert residual.worst["push"] > 1e-3
    assert residual.worst["table"] > 1e-3


def test_a_solver_that_stops_early_breaks_the_symmetry():
    world = Table(TableConfig(iterations=2))
    assert not world.equivariant
    assert world.symmetry_residual(60, 20, seed=0).worst["push"] > 1e-3


@pytest.mark.parametrize(
    ("group", "settings", "verdict", "cause"),
    [
        (None, (), "exact", ""),
        ("e2z", (), "exact", ""),
        (None, ("world.cone=pyramidal",), "broken", "pyramidal"),
        (None, ("world.slope=0.1",), "broken", "leans by 0.1 degrees"),
    ],
)
def test_check_world_on_it(group, settings, verdict, cause):
    probe = preset_probe("table", group, settings)
    result = check_world(probe, horizons=[1, 6], states=8, copies=2, seed=1000)
    assert result.verdict == verdict
    assert bool(result.causes) == bool(cause)
    assert cause in " ".join(found.text for found in result.causes)
    if verdict == "exact":
        assert max(result.rounding_growth) < 1e-9


def test_a_world_is_checked_by_its_short_name():
    assert preset_probe("body").name == "body (body)"
    with pytest.raises(ConfigError, match="unknown preset 'tabel'"):
        preset_probe("tabel")
    with pytest.raises(ConfigError, match=r"world\.slop"):
        preset_probe("table", None, ("world.slop=1",))


# Control


def test_tasks_ask_for_a_turn_and_a_push(world):
    tasks, control = world.tasks(40, seed=0, orientations="all"), world.control(torch.empty(0, WIDTH))
    start = observe(tasks.start)
    angle, distance = control.pose_error(start, tasks.goal)
    assert 25.0 - 1e-9 <= angle.min() < 30.0 < 40.0 < angle.max() <= 45.0 + 1e-9
    assert 0.02 - 1e-9 <= distance.min() < 0.03 < 0.04 < distance.max() <= 0.05 + 1e-9
    assert np.abs(tasks.start[:, 9:17]).max() == 0.0
    assert gap(tasks.start).min() > 0.009
    here, there = (vectors_of(side) for side in (start, tasks.goal))
    assert torch.allclose(  # the pusher keeps its place at the T
        (here[:, HAND] - here[:, BODY]).norm(dim=-1), (there[:, HAND] - there[:, BODY]).norm(dim=-1), atol=1e-12
    )
    assert torch.equal(here[:, MARK], there[:, MARK])
    assert (control.pose_error(tasks.goal, tasks.goal)[0] < 1e-6).all()


def test_a_turned_episode_is_the_episode_turned(world):
    control = world.control(torch.empty(0, WIDTH))
    tasks, g = control.tasks(6, 11), SE2Z.sample(6, 5)
    actions = torch.from_numpy(np.random.default_rng(3).normal(0.5, 0.4, size=(6, 8, 2)))
    actions = world.action_rep.transform(actions / actions.norm(dim=-1, keepdim=True).clamp_min(1.0), world.turns(
        6, 11, "seen")[:, None])  # fmt: skip
    runs = run_episodes(control, tasks, ReplayPolicy(actions, 8), steps=8, replan=4)
    turned = control.turned(tasks, g)
    policy = ReplayPolicy(world.action_rep.transform(actions, g[:, None]), 8)
    copies = run_episodes(control, turned, policy, steps=8, replan=8)
    expected = world.observation_rep.transform(runs.observations, g[:, None])
    assert (expected - copies.observations).abs().max() < 1e-10
    moved = vectors_of(runs.observations[:, -1] - runs.observations[:, 0])[:, BODY].norm(dim=-1)
    assert moved.max() > 0.01
    for was, now in zip(
        *(control.pose_error(a.observations, b.goal[:, None]) for a, b in ((runs, tasks), (copies, turned))),
        strict=True,
    ):
        assert (was - now).abs().max() < 1e-9
    points = Rep(((len(control.parts), "p"),), 3)
    track = points.transform(control.track(runs.observations), g[:, None])
    assert (track - control.track(copies.observations)).abs().max() < 1e-10
    frames = control.frames(runs.observations[:, -1])
    assert not frames.degenerate.any()
    assert (g.linear @ frames.axes - control.frames(copies.observations[:, -1]).axes).abs().max() < 1e-9
    assert torch.equal(frames.axes[:, 2], torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(6, 3))


def test_the_pose_goal_reads_the_state_off_a_latent_that_does_not_say_where_it_is(world):
    control = world.control(torch.empty(0, WIDTH))
    tasks, g = control.tasks(3, 1), SE2Z.sample(3, 2)
    term = control.pose_term(tasks.goal, running=0.3, approach=0.2, weight=60.0)
    seen = world.sequences(3, 4, seed=5).observations[:, 1:]  # (T, H, 27), one sample each

    def latent(observations, shift):
        away = torch.zeros(WIDTH, dtype=torch.float64)
        away[:9] = torch.tensor(shift, dtype=torch.float64).repeat(3)
        return (observations - away)[:, :, :, None, None]

    actions = torch.zeros(3, 1, 4, 2, dtype=torch.float64)
    cost = term.score(latent(seen, [0.0, 0.0, 0.0]), actions, slice(None))
    vectors, goal = vectors_of(seen), vectors_of(tasks.goal)[:, None]
    place = (vectors[:, :, BODY] - vectors[:, :, MARK]) - (goal[:, :, BODY] - goal[:, :, MARK])
    pose = 60.0 * place.square().sum(-1) + 1.0 - (vectors[:, :, STEM] * goal[:, :, STEM]).sum(-1)
    near = (vectors[:, :, HAND] - vectors[:, :, BODY]).square().sum(-1)
    assert torch.allclose(cost[:, 0], pose[:, -1] + 0.3 * pose.mean(1) + 0.2 * near.mean(1), atol=1e-12)
    assert torch.allclose(term.score(latent(seen, [3.0, -2.0, 1.0]), actions, slice(None)), cost, atol=1e-12)
    turned = control.turned(tasks, g)
    again = control.pose_term(turned.goal, running=0.3, approach=0.2, weight=60.0)
    moved = world.observation_rep.transform(seen, g[:, None])
    assert torch.allclose(again.score(latent(moved, [0.0, 0.0, 0.0]), actions, slice(None)), cost, atol=1e-10)


def test_readout_targets_are_the_pose_whatever_the_place(world, data):
    targets = world.readout_targets(data.observation)
    assert {name: target.shape[1:] for name, target in targets.items()} == {
        "T_position": (1, 3),
        "T_direction": (1, 3),
    }
    away = Elements(torch.eye(3, dtype=torch.float64), torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64))
    shifted = world.observation_rep.transform(data.observation, away)
    for name, target in world.readout_targets(shifted).items():
        assert torch.allclose(target, targets[name], atol=1e-13)


# Wrong input


def test_the_factory_builds_it():
    assert isinstance(build_world(TableConfig()), Table)
    for wrong, message in (({"dropped": 1.5}, "expected a share"), ({"wedge": (90.0, 90.0)}, "wedge")):
        with pytest.raises(ConfigError, match=message):
            TableConfig(**wrong).check()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda world: world.transitions(0, seed=0), "n = 0"),
        (lambda world: world.transitions(5, seed=-1), "seed"),
        (lambda world: world.transitions(5, seed=0, orientations="wedge"), "orientations"),
        (lambda world: world.sequences(3, 0, seed=0), "horizon = 0"),
        (lambda world: world.tasks(0, seed=0), "n = 0"),
        (lambda world: world.symmetry_residual(0), "rollouts = 0"),
        (lambda world: world.step(torch.zeros(26), torch.zeros(2)), r"\(\.\.\., 27\); got \(26,\)"),
        (lambda world: world.step(torch.full((27,), torch.nan), torch.zeros(2)), "27 that are NaN"),
        (lambda world: world.step(torch.zeros(27), torch.zeros(2)), "misses every state"),
        (lambda world: world.step(observe(at_rest()) + 0.01, torch.zeros(2)), "misses every state"),
        (lambda world: world.step(observe(at_rest()), torch.ones(2)), "outside the unit disk"),
        (lambda world: world.step(observe(at_rest()), torch.zeros(3)), "action"),
        (lambda world: TablePhysics(world.config).reset(np.zeros(STATE_SIZE)), "unit quaternion; got one of norm 0"),
        (lambda world: TablePhysics(world.config).reset(np.full(STATE_SIZE, np.nan)), "finite"),
    ],
)
def test_wrong_input_is_refused_in_one_line(world, wrong, message):
    with pytest.raises(DataError, match=message) as caught:
        wrong(world)
    assert "\n" not in str(caught.value)


# Environment


@pytest.mark.filterwarnings("ignore:.*A Box observation space m:UserWarning")
def test_gymnasium_accepts_it():
    env = gymnasium.make("equiwm.worlds:equiwm/Table-v0")
    check_env(env.unwrapped)
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert observation.shape == info["goal"].shape == (WIDTH,)
    assert info["state"].shape == (STATE_SIZE,)


def test_an_episode_of_the_environment_is_the_simulators(world):
    env, control = TableEnv(), world.control(torch.empty(0, WIDTH))
    tasks = world.tasks(3, seed=7, orientations="all")
    for k in range(3):
        simulation = control.begin(tasks.take([k]))
        observation, info = env.reset(options={"state": tasks.start[k], "goal": tasks.goal[k]})
        assert np.array_equal(observation, simulation.observation[0].numpy())
        assert info["angle_deg"] > 20.0
        for action in np.random.default_rng(k).uniform(-0.7, 0.7, (6, 2)):
            observation, reward, terminated, _, info = env.step(action)
            simulation.advance(torch.from_numpy(action)[None])
            assert np.array_equal(observation, simulation.observation[0].numpy())
            assert terminated == info["is_success"]
        apart = outline(info["state"]) - outline(state_of(tasks.goal[k]))
        assert reward == pytest.approx(-np.sqrt(np.square(apart).sum(-1).mean()))


def test_an_episode_ends_where_the_pose_is_reached():
    env, goal = TableEnv(), at_rest((0.0, 0.2))
    goal[POSITION] += (0.01, 0.02, 0.0)
    env.reset(options={"state": at_rest((0.0, 0.2)), "goal": observe(goal)})
    _, reward, terminated, _, info = env.step(np.zeros(2))
    assert reward == pytest.approx(-np.hypot(0.01, 0.02), abs=1e-4)
    assert terminated
    assert info["touching"] == ["T-world"]
    longer, unit = (
        env.reset(options={"state": at_rest()}) and env.step(np.array(a))[0] for a in ((3.0, 4.0), (0.6, 0.8))
    )
    assert np.array_equal(longer, unit)


def test_misuse_of_the_environment_is_refused():
    with pytest.raises(DataError, match="did you mean pyramidal"):
        TableEnv(cone="pyramid")
    env = TableEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(2))
    for options in ({"state": np.zeros(5)}, {"state": "here"}, {"goal": np.zeros((24, 3))}, {"stat": None}):
        with pytest.raises(DataError):
            env.reset(options=options)
