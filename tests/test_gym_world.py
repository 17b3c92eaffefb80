"""Any Gymnasium environment as a world: typed, stepped where it can be placed, refused in a line where it cannot be
used."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from equiwm.config import parse
from equiwm.environments.bounds import ActionBounds
from equiwm.environments.environment import Environment
from equiwm.errors import ConfigError, DataError, EquiwmError, GroupError, RepError
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.factory import build_world
from equiwm.worlds.gym.config import GymConfig

OUTSIDE = Path(__file__).parent / "outside"
CART = {
    "dimension": 2,
    "state": {
        "place": {"from": "observation", "entries": [0, 1], "rep": "p", "unit": "m"},
        "speed": {"from": "observation", "entries": [2, 3], "rep": "1o", "unit": "m/s"},
    },
    "action": {
        "force": {"from": "action", "entries": [0, 1], "rep": "1o"},
        "brake": {"from": "action", "entries": [2], "rep": "0e"},
    },
}
TURNING = {
    "dimension": 3,
    "centre": [0.5, -1.0, 2.0],
    "state": {
        "heat": {"from": "heat", "rep": "2x0e"},
        "turn": {"from": "pose/turn", "rep": "quat", "order": "xyzw"},
        "heading": {"from": "heading", "rep": "angle", "unit": "deg"},
        "place": {"from": "place", "rep": "p"},
    },
    "action": {"push": {"from": "push", "rep": "1o"}},
}


@pytest.fixture(autouse=True)
def _carts(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(OUTSIDE)])


def world(kind="Settable", reps=CART, **settings):
    return build_world(GymConfig(env=f"carts:{kind}-v0", reps=reps, **settings))


def test_a_preset_names_an_environment():
    found = parse({"world": {"name": "gym", "env": "carts:Settable-v0", "reps": CART, "episode_steps": 7}})
    assert build_world(found.world).steps == 7


def test_observations_are_the_quantities_in_the_order_of_reps_yaml():
    cart = world()
    assert str(cart.observation_rep) == "2x1o"  # so2 about a centre: a point is a vector
    assert str(world(group="se2").observation_rep) == "1xp+1x1o"
    assert str(cart.action_rep) == "1x1o+1x0e"
    data = cart.transitions(45, seed=3)
    assert data.observation.shape == (45, 2, 2)
    assert data.action.shape == (45, 3)
    assert data.episode.tolist() == [0] * 20 + [1] * 20 + [2] * 5
    assert torch.equal(data.observation[1], data.next_observation[0])
    cart.environment.reset(0)


def test_the_same_arguments_give_the_same_tensors_and_fewer_are_part_of_more():
    more, fewer, again = (world().transitions(n, seed=3) for n in (50, 30, 50))
    for name in ("observation", "action", "next_observation", "episode"):
        assert torch.equal(getattr(more, name), getattr(again, name))
        assert torch.equal(getattr(more, name)[:30], getattr(fewer, name))
    assert not torch.equal(more.observation, world().transitions(50, seed=4).observation)


def test_the_world_is_stepped_from_what_an_observation_shows():
    cart = world()
    data = cart.transitions(40, seed=0)
    assert torch.equal(cart.step(data.observation, data.action), data.next_observation)


def test_a_dict_with_quaternion_and_angle_is_read_and_put_together_again():
    found = world("Turning", TURNING, group="se3")
    assert str(found.observation_rep) == "2x0e+4x1o+1xp"
    rows = np.stack([found.environment.reset(seed) for seed in range(8)])
    tensor = found.state.tensor(rows)
    assert tensor.shape == (8, 2 + 12 + 3)
    assert np.abs(found.state.rows(tensor) - rows).max() < 1e-12
    heading = found.state.part(tensor, "heading")
    angle = np.deg2rad(rows[:, found.environment.observations.columns["heading"].start])
    assert np.allclose(heading.numpy(), np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1))
    place = found.environment.observations.columns["pose/place"].entries
    assert np.allclose(found.state.part(tensor, "place").numpy(), rows[:, place] - np.array([0.5, -1.0, 2.0]))
    upright = world("Turning", TURNING, group="se2z")
    turned = upright.observation_rep.transform(tensor, upright.group.sample(8, 0))
    assert torch.allclose(upright.state.tensor(upright.state.rows(turned)), turned, atol=1e-12)
    assert upright.unplaced is None
    # An angle about z is none any more once all rotations may turn it; nor is a quaternion in a mirror.
    assert found.unplaced == "'heading', turned by SE(3), is no angle any more"
    mirrored = {**TURNING, "state": {key: TURNING["state"][key] for key in ("heat", "turn", "place", "heading")}}
    assert "is no quat any more" in world("Turning", mirrored, group="e2z").unplaced


# Bounds


def box(low, high, rep="1o+0e", kind="ball"):
    cart = world()
    flat = cart.push.flat
    flat.parts[0].box.low[:], flat.parts[0].box.high[:] = low, high
    return ActionBounds.of(cart.push, kind)


def test_a_vector_is_bounded_by_the_ball_that_its_box_holds_and_a_scalar_by_its_interval():
    bounds = world().bounds  # the box is [-1, 2] x [-1, 1], and [0, 0.5]
    assert bounds.radius.tolist() == [1.0, 1.0, 0.25]
    assert bounds.centre.tolist() == [0.0, 0.0, 0.25]
    assert box([-0.3, -1, 0], [2, 1, 0.5]).radius.tolist() == pytest.approx([0.3, 0.3, 0.25], rel=1e-6)
    free = box([-np.inf, -1, -np.inf], [np.inf, 1, np.inf])
    assert free.radius.tolist() == [1.0, 1.0, float("inf")]
    given = torch.tensor([[0.3, 0.4, 7.0]], dtype=torch.float64)
    assert torch.equal(free.clipped(given), given)


def test_clipping_commutes_with_the_group_and_a_box_does_not():
    cart, g = world(), Group.parse("so2").sample(64, 0)
    actions = 2.0 * torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rep = cart.action_rep
    turned = rep.transform(cart.bounds.clipped(actions), g)
    assert torch.allclose(cart.bounds.clipped(rep.transform(actions, g)), turned, atol=1e-12)
    assert cart.bounds.clipped(actions)[:, :2].norm(dim=-1).max() <= 1.0 + 1e-12
    assert bool(((cart.bounds.clipped(actions)[:, 2] >= 0.0) & (cart.bounds.clipped(actions)[:, 2] <= 0.5)).all())
    box_ = world(bounds="box").bounds
    assert (box_.clipped(rep.transform(actions, g)) - rep.transform(box_.clipped(actions), g)).abs().max() > 0.1


def test_what_lies_inside_keeps_its_digits():
    bounds = world().bounds
    inside = torch.stack([bounds.draw(np.random.default_rng(k)) for k in range(200)])
    assert torch.equal(bounds.clipped(inside), inside)
    assert inside[:, :2].norm(dim=-1).max() > 0.9


def test_a_box_that_holds_no_ball_is_refused():
    with pytest.raises(DataError, match=r"'force' is bounded by .* holds no ball about 0"):
        world("Cart", options={"low": 0.5})
    assert world("Cart", options={"low": 0.5}, bounds="box").bounds.kind == "box"


# Placing, symmetry, orientations


def test_states_are_set_where_the_environment_offers_it_and_it_is_true():
    assert Environment("carts:Settable-v0").unplaced is None
    assert Environment("carts:Single-v0").unplaced is None
    assert "offers neither" in Environment("carts:Cart-v0").unplaced
    assert "does not show the whole state" in Environment("carts:Hidden-v0").unplaced


def test_a_mujoco_body_is_placed_where_its_observation_is_its_state():
    pytest.importorskip("mujoco")
    whole = Environment("Swimmer-v5", {"exclude_current_positions_from_observation": False})
    assert whole.unplaced is None
    assert Environment("Swimmer-v5").unplaced == "its observation has 8 numbers, its state (qpos, qvel) 10"


def test_the_symmetry_is_measured():
    assert world().equivariant
    assert world().symmetry_residual(10, 5).worst["place"] < 1e-14
    windy = world(options={"wind": 0.01})
    assert not windy.equivariant
    assert windy.symmetry_residual(10, 5).worst["speed"] > 1e-3
    assert world(options={"wind": 0.01}, symmetric=True).equivariant
    assert not world("Cart").equivariant  # nothing can be measured
    assert not world(bounds="box", policy="carts:homewards").symmetry_residual(4, 2).worst["speed"] > 1e-9


def test_scenes_of_other_orientations_are_the_same_episodes_turned():
    cart = world()
    seen, unseen = (cart.transitions(40, seed=0, orientations=which) for which in ("seen", "unseen"))
    length = seen.observation.norm(dim=-1)
    assert torch.allclose(unseen.observation.norm(dim=-1), length, atol=1e-12)
    assert torch.allclose(unseen.next_observation.norm(dim=-1), seen.next_observation.norm(dim=-1), atol=1e-12)
    assert (unseen.observation - seen.observation).abs().max() > 0.1
    assert torch.equal(cart.step(unseen.observation, unseen.action), unseen.next_observation)
    assert cart.coverage.high - cart.coverage.low < 180


def test_without_a_state_to_set_there_are_seeded_resets_and_it_is_said():
    cart = world("Cart")
    data = cart.transitions(30, seed=0)
    assert len(data) == 30
    for refused in (
        lambda: cart.step(data.observation, data.action),
        lambda: cart.transitions(3, seed=0, orientations="unseen"),
        lambda: cart.symmetry_residual(2, 2),
        cart.state_access,
    ):
        with pytest.raises(DataError, match="Seeded resets are all there is"):
            refused()


def test_undeclared_numbers_are_no_whole_state():
    reps = {**CART, "state": {"place": CART["state"]["place"]}}
    cart = world(reps=reps)
    with pytest.raises(DataError, match="entry 2 of 'observation' is no quantity"):
        cart.step(cart.transitions(2, seed=0).observation, cart.transitions(2, seed=0).action)


def test_sequences_are_whole_and_those_that_end_are_counted():
    data = world().sequences(5, 6, seed=0)
    assert data.observations.shape == (5, 7, 2, 2)
    assert data.actions.shape == (5, 6, 3)
    ending = world("Ending").sequences(20, 20, seed=0)
    assert 0 < len(ending) < 20
    assert ending.excluded == {"the episode ended": 20 - len(ending)}


def test_float32_is_stepped_from_what_it_shows():
    cart = world("Single")
    data = cart.transitions(20, seed=0)
    assert torch.allclose(cart.step(data.observation, data.action), data.next_observation, atol=1e-6)


def test_a_scripted_policy_explores():
    data = world(policy="carts:homewards").transitions(20, seed=0)
    towards = (data.action[:, :2] * data.observation[:, 0]).sum(-1)
    assert (towards < 0).double().mean() > 0.75


# What is refused


@pytest.mark.parametrize(
    ("kind", "reps", "settings", "error", "said"),
    [
        ("Pixels", CART, {}, DataError, "its observation is pixels alone; expected numbers"),
        ("Choice", CART, {}, DataError, "its action is Discrete space; expected numbers"),
        ("Random", CART, {}, DataError, "is not deterministic: two episodes with one seed"),
        ("Broken", CART, {}, DataError, "the observation 'observation' is not finite"),
        ("Nothing", CART, {}, DataError, "cannot be made: NameNotFound"),
        ("Settable", None, {}, ConfigError, "world.reps is missing"),
        ("Settable", {**CART, "history": 1}, {}, ConfigError, "history is for logs"),
        ("Settable", {**CART, "action": {}}, {}, ConfigError, "action is missing"),
        ("Settable", CART, {"group": "so3"}, GroupError, "acts on d = 3"),
        ("Turning", TURNING, {}, ConfigError, "world.group is missing"),
        ("Settable", CART, {"policy": "homewards"}, DataError, "expected random, or module:function"),
        ("Settable", CART, {"policy": "carts:nobody"}, ConfigError, "has no 'nobody'"),
        (
            "Settable",
            {**CART, "state": {"place": {"from": "observation", "entries": [0, 7], "rep": "p"}}},
            {},
            DataError,
            "takes entry 7",
        ),
        ("Settable", {**CART, "state": {"place": {"from": "where", "rep": "p"}}}, {}, DataError, "has no 'where'"),
        ("Settable", {**CART, "state": {"place": {"from": "observation", "rep": "p"}}}, {}, RepError, "4 entries"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(kind, reps, settings, error, said):
    with pytest.raises(error, match=said) as caught:
        world(kind, reps, **settings)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, EquiwmError)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(DataError, match="no module named 'nowhere'"):
        build_world(GymConfig(env="nowhere:Env-v0", reps=CART))


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ({"channels": {}}, "expected tolerances"),
        ({"channels": {"place": 0.0}}, "above 0"),
        ({"channels": {"place": 0.1}, "form": "reset"}, "unknown key"),
        ({"channels": {"place": 0.1}, "from": "nowhere"}, "world.goal.from"),
        ({"channels": {"place": 0.1}, "approach": ["place"]}, "world.goal.approach"),
    ],
)
def test_a_goal_that_is_none_is_refused(goal, said):
    with pytest.raises(ConfigError, match=said):
        parse({"world": {"name": "gym", "env": "carts:Settable-v0", "reps": CART, "goal": goal}})


def test_a_run_keeps_the_reps_and_not_a_path(tmp_path, monkeypatch):
    file = tmp_path / "reps.yaml"
    said = "dimension: 2\nstate: {s: {from: observation, rep: 2x1o}}\naction: {a: {from: action, rep: 3x0e}}\n"
    file.write_text(said)
    settled, _ = GymConfig(env="carts:Settable-v0", reps=str(file), episodes="eps").settled()
    assert settled.reps["dimension"] == 2
    assert Path(settled.episodes).is_absolute()
    assert Rep.parse("2x1o", 2) == build_world(settled).observation_rep
