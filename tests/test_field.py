"""The velocity field: its teacher, its scenes, its orientations, and the controls that have to fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from equiwm.config import Config, load, parse, preset_names
from equiwm.errors import ConfigError, DataError
from equiwm.models.factory import build_model
from equiwm.symmetry.coverage import Arc, Ball
from equiwm.symmetry.groups import O2, O3, SO2, SO3
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.draws import haar_angles
from equiwm.worlds.factory import build_world
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import STEP, Field
from equiwm.worlds.pusht.config import PushTConfig
from equiwm.worlds.pusht.world import PushT
from equiwm.worlds.world import SequenceWorld

BOTH = pytest.mark.parametrize("d", [2, 3])
COLUMNS = ("observation", "action", "next_observation")


def field(d: int, **settings) -> Field:
    return Field(FieldConfig(dimension=d, **settings))


def turn_between(before, after) -> torch.Tensor:
    """The rotation (n, d, d) that takes the vectors (n, C, d) to others, by Kabsch."""
    left, _, right = torch.linalg.svd(after.transpose(-1, -2) @ before)
    flip = torch.ones_like(left[..., 0])
    flip[..., -1] = torch.linalg.det(left @ right).sign()
    return (left * flip[..., None, :]) @ right


def degrees_of(turns: torch.Tensor) -> np.ndarray:
    """Angle in [0, 360) in the plane, geodesic angle in space."""
    if turns.shape[-1] == 2:
        return np.rad2deg(np.arctan2(turns[:, 1, 0].numpy(), turns[:, 0, 0].numpy())) % 360.0
    return np.rad2deg(Rotation.from_matrix(turns.numpy()).magnitude())


def orientations_of(world: Field, orientations: str, n: int = 3000) -> np.ndarray:
    data = world.transitions(n, seed=5, orientations=orientations)
    scenes = world._scenes(n, 5)
    return degrees_of(turn_between(scenes[:, :6], data.observation))


# --- the teacher


@BOTH
def test_the_world_is_typed(d):
    world = field(d)
    assert (str(world.observation_rep), str(world.action_rep), world.group) == ("6x1o", "1x1o", (SO2, SO3)[d - 2])
    data = world.transitions(9, seed=0)
    assert [tuple(getattr(data, name).shape) for name in COLUMNS] == [(9, 6, d), (9, d), (9, 6, d)]
    assert {getattr(data, name).dtype for name in COLUMNS} == {torch.float64}
    assert data.episode.tolist() == list(range(9))
    assert isinstance(world, SequenceWorld)
    assert {name: tuple(x.shape) for name, x in world.readout_targets(data.observation).items()} == {"state": (9, 6, d)}


@BOTH
def test_the_velocity_has_rms_one_over_the_scenes(d):
    data = field(d).transitions(4000, seed=7)
    velocity = (data.next_observation - data.observation) / STEP
    assert float(velocity.square().mean().sqrt()) == pytest.approx(1.0, rel=0.02)
    assert torch.equal(
        field(d).velocity(data.observation, data.action), field(d).velocity(data.observation, data.action)
    )


@BOTH
def test_the_teacher_carries_rotations_and_reflections(d):
    world = field(d)
    data = world.transitions(64, seed=1)
    for element in (O2 if d == 2 else O3).sample(16, 2)[:, None]:
        turned = data.transform(element, world.observation_rep, world.action_rep)
        stepped = world.step(turned.observation, turned.action)
        assert torch.allclose(stepped, turned.next_observation, rtol=0.0, atol=1e-13)


@BOTH
def test_the_world_is_equivariant_to_rounding_and_a_broken_one_is_not(d):
    exact = field(d).symmetry_residual(50, 64, seed=3)
    assert exact.worst["free"] < 1e-12
    assert (exact.unit, exact.steps, dict(exact.rollouts)) == ("length", 64, {"free": 50})
    weak, strong = (field(d, breaking=g).symmetry_residual(50, 16, seed=3).worst["free"] for g in (0.05, 0.4))
    assert strong > weak > 1e-2


@BOTH
def test_breaking_is_its_definition(d):
    data = field(d).transitions(32, seed=0)
    exact, broken = field(d), field(d, breaking=0.3)
    pull = torch.zeros_like(data.observation)
    pull[..., -1] = data.observation[..., -1]
    expected = exact.velocity(data.observation, data.action) - 0.3 * pull
    assert torch.allclose(broken.velocity(data.observation, data.action), expected, atol=1e-14)
    # A mirror that leaves the axis alone is still a symmetry: only what moves e is broken.
    mirror = torch.eye(d, dtype=torch.float64)
    mirror[0, 0] = -1.0
    stepped = broken.step(data.observation @ mirror, data.action @ mirror)
    assert torch.allclose(stepped, broken.step(data.observation, data.action) @ mirror, atol=1e-13)


@BOTH
def test_the_flow_is_well_conditioned(d):
    """What the teacher's seed was chosen for: no perturbation grows more than fourfold in 64 steps."""
    world = field(d)
    data = world.sequences(128, 64, seed=0)
    nudge = 1e-7 * torch.randn(data.observations[:, 0].shape, generator=torch.Generator().manual_seed(0)).double()
    state = data.observations[:, 0] + nudge
    for action in data.actions.unbind(1):
        state = world.step(state, action)
    grown = (state - data.observations[:, -1]).square().mean((1, 2)).sqrt() / nudge.square().mean().sqrt()
    assert float(grown.max()) < 4.0


# --- scenes and orientations


@BOTH
def test_scenes_are_anisotropic(d):
    """The layout stands out of the noise, or every orientation would be in distribution."""
    scenes = field(d)._scenes(2000, 0)
    mean = scenes.mean(0)
    assert float(mean.square().mean().sqrt()) > 4 * 0.3
    assert float((scenes - mean).square().mean().sqrt()) == pytest.approx(0.3, rel=0.02)
    assert float(torch.linalg.svdvals(mean)[-1]) > 1.0  # it spans the space


def test_planar_orientations_fill_the_arc_and_its_complement():
    for coverage in (None, 90.0):
        world, covered = field(2, coverage=coverage), coverage or 180.0
        seen, everywhere, unseen = (orientations_of(world, kind) for kind in ("seen", "all", "unseen"))
        assert kstest(seen, "uniform", (0.0, covered)).pvalue > 1e-3
        assert kstest(everywhere, "uniform", (0.0, 360.0)).pvalue > 1e-3
        assert kstest(unseen, "uniform", (covered, 360.0 - covered)).pvalue > 1e-3
        assert seen.max() < covered < unseen.min()


def test_spatial_orientations_fill_the_ball_and_its_complement():
    haar = np.rad2deg(Rotation.random(20_000, rng=np.random.default_rng(0)).magnitude())
    for coverage in (None, 60.0):
        world, covered = field(3, coverage=coverage), coverage or 90.0
        seen, everywhere, unseen = (orientations_of(world, kind) for kind in ("seen", "all", "unseen"))
        assert seen.max() <= covered <= unseen.min()
        for found, reference in ((seen, haar[haar < covered]), (everywhere, haar), (unseen, haar[haar > covered])):
            assert kstest(found, reference).pvalue > 1e-3


def test_no_coverage_in_space_is_the_wedge_about_z():
    world = field(3, coverage=0.0)
    turns = world.turns(20_000, 5, "seen").linear
    angles = torch.rad2deg(torch.atan2(turns[:, 1, 0], turns[:, 0, 0])).numpy()
    assert kstest(angles, "uniform", (0.0, 90.0)).pvalue > 1e-3
    assert float((turns[:, 2, 2] - 1.0).abs().max()) < 1e-12
    haar = np.rad2deg(Rotation.random(20_000, rng=np.random.default_rng(0)).magnitude())
    assert kstest(orientations_of(world, "unseen"), haar).pvalue > 1e-3
    assert world.coverage == Arc(0.0, 90.0, 3)


@BOTH
def test_augmented_copies_are_the_scenes_turned_anew(d):
    world = field(d, coverage=120.0)
    state, action = world.augmented(50, 3, seed=4)
    data = world.transitions(50, seed=4)
    assert torch.equal(state[:50], data.observation)
    assert torch.equal(action[:50], data.action)

    def gram(rows):
        vectors = torch.cat([state[rows], action[rows, None]], 1)
        return vectors @ vectors.mT

    first, second = slice(0, 50), slice(50, 100)
    torch.testing.assert_close(gram(first), gram(second))
    assert float((state[first] - state[second]).abs().amax((1, 2)).min()) > 0
    with pytest.raises(DataError, match="augmented"):
        world.augmented(50, 0, seed=4)


@pytest.mark.parametrize(("low", "high"), [(0.0, np.pi), (0.0, 0.7), (1.2, np.pi)])
def test_haar_angles_invert_their_distribution(low, high):
    uniform = np.linspace(0.0, 1.0, 101)
    angles = haar_angles(uniform, low, high)
    share = (angles - np.sin(angles) - low + np.sin(low)) / (high - np.sin(high) - low + np.sin(low))
    assert np.abs(share - uniform).max() < 1e-12
    assert angles[0] == pytest.approx(low, abs=1e-6)
    assert angles[-1] == pytest.approx(high, abs=1e-6)


@BOTH
@pytest.mark.parametrize("warmup", [0, 7])
def test_seen_and_unseen_are_the_same_but_for_their_turns(d, warmup):
    world = field(d, warmup=warmup)
    seen, unseen = (world.transitions(200, seed=11, orientations=kind) for kind in ("seen", "unseen"))
    turns = SO2 if d == 2 else SO3
    g = turns.elements(turn_between(seen.observation, unseen.observation))
    turned = seen.transform(g, world.observation_rep, world.action_rep)
    for name in COLUMNS:
        assert torch.allclose(getattr(turned, name), getattr(unseen, name), atol=1e-12)
    # Generic turns: half a turn, which floats take exactly, would be no test.
    angles = g.angle_deg
    assert float(angles.std()) > 10.0


@BOTH
def test_the_same_arguments_give_the_same_data_and_fewer_are_a_prefix(d):
    world = field(d, warmup=3)
    data, again, fewer, other = (world.transitions(n, seed=s) for n, s in ((90, 3), (90, 3), (33, 3), (90, 4)))
    for name in COLUMNS:
        assert torch.equal(getattr(data, name), getattr(again, name))
        assert torch.equal(getattr(data, name)[:33], getattr(fewer, name))
        assert not torch.equal(getattr(data, name), getattr(other, name))


@BOTH
def test_sequences_obey_the_world_and_shorter_ones_are_part_of_longer_ones(d):
    world = field(d)
    data = world.sequences(40, 9, seed=2)
    assert (data.observations.shape, data.actions.shape) == ((40, 10, 6, d), (40, 9, d))
    assert (len(data), data.horizon, dict(data.excluded)) == (40, 9, {})
    stepped = world.step(data.observations[:, :-1].flatten(0, 1), data.actions.flatten(0, 1))
    assert torch.allclose(stepped, data.observations[:, 1:].flatten(0, 1), atol=1e-14)
    part = world.sequences(13, 4, seed=2)
    assert torch.equal(part.observations, data.observations[:13, :5])
    assert torch.equal(part.actions, data.actions[:13, :4])
    first = world.transitions(40, seed=2)
    assert torch.equal(first.observation, data.observations[:, 0])
    assert torch.equal(first.action, data.actions[:, 0])


@BOTH
def test_warm_transitions_are_steps_of_sequences(d):
    world = field(d, warmup=5)
    data, whole = world.transitions(300, seed=2), world.sequences(300, 6, seed=2)
    same = (data.observation[:, None] == whole.observations[:, :-1]).all(-1).all(-1)
    moments = same.double().argmax(1)
    assert bool(same.any(1).all())
    assert sorted(set(moments.tolist())) == list(range(6))
    assert torch.equal(data.next_observation, whole.observations[torch.arange(300), moments + 1])


# --- sequences of the other worlds


@pytest.mark.parametrize("action", ["coupled", "separate"])
def test_sequences_of_clouds(action):
    world = Cloud(CloudConfig(action=action))
    seen, unseen = (world.sequences(20, 5, seed=4, orientations=kind) for kind in ("seen", "unseen"))
    assert seen.actions.shape == (20, 5, *world.action_shape)
    assert torch.equal(seen.observations[:, 0], world.sample_scenes(20, 4))
    assert torch.equal(unseen.observations[:, 0], world.sample_scenes(20, 4, "unseen"))
    centred = (part.observations[:, 0] - part.observations[:, 0].mean(1, keepdim=True) for part in (seen, unseen))
    g = SO3.elements(turn_between(*centred))
    assert torch.allclose(
        world.observation_rep.transform(seen.observations, g[:, None]), unseen.observations, atol=1e-12
    )
    assert torch.allclose(world.action_rep.transform(seen.actions, g[:, None]), unseen.actions, atol=1e-12)
    assert float(seen.actions.abs().max()) <= 1.0
    part = world.sequences(7, 3, seed=4)
    assert torch.equal(part.actions, seen.actions[:7, :3])
    with pytest.raises(DataError, match="horizon = 0"):
        world.sequences(3, 0, seed=0)


def test_sequences_of_pusht_stay_inside_and_pairs_drop_the_same():
    world = PushT()
    seen, unseen = (world.sequences(24, 20, seed=4, orientations=kind) for kind in ("seen", "unseen"))
    assert seen.observations.shape == (24, 21, 4, 2)
    assert torch.equal(seen.episode, unseen.episode)
    assert seen.excluded == unseen.excluded
    assert sum(seen.excluded.values()) == int(seen.episode[-1]) + 1 - 24 > 0
    directions = [part.observations[:, 0, 3].numpy() for part in (seen, unseen)]
    angles = [np.rad2deg(np.arctan2(y, x)) % 360.0 for x, y in (direction.T for direction in directions)]
    assert angles[0].max() < 90.0 <= angles[1].min()
    g = SO2.rotation(angles[1] - angles[0])[:, None]
    turned = world.observation_rep.transform(seen.observations, g)
    assert torch.allclose(turned, unseen.observations, atol=1e-9)
    assert torch.allclose(world.action_rep.transform(seen.actions, g), unseen.actions, atol=1e-12)
    fewer = world.sequences(5, 20, seed=4)
    assert torch.equal(fewer.observations, seen.observations[:5])


def test_unseen_pushes_are_the_complement_of_the_wedge():
    data = PushT(PushTConfig(wedge=(20.0, 50.0))).transitions(300, seed=0, orientations="unseen")
    first = np.unique(data.episode.numpy(), return_index=True)[1]
    x, y = data.observation[first, 3].numpy().T
    angles = np.rad2deg(np.arctan2(y, x)) % 360.0
    assert not ((angles > 20.0) & (angles < 50.0)).any()
    with pytest.raises(DataError, match="none is unseen"):
        PushT(PushTConfig(wedge=(0.0, 360.0))).transitions(3, seed=0, orientations="unseen")


def test_a_horizon_that_no_push_survives():
    with pytest.raises(DataError, match="64 steps"):
        PushT().sequences(4, 64, seed=0)


# --- wrong input


@BOTH
def test_wrong_arguments(d):
    world = field(d)
    for call in (
        lambda: world.transitions(0, seed=0),
        lambda: world.transitions(3, seed=-1),
        lambda: world.transitions(3, seed=0, orientations="some"),
        lambda: world.sequences(0, 3, seed=0),
        lambda: world.sequences(3, 0, seed=0),
        lambda: world.symmetry_residual(0),
        lambda: world.step(torch.zeros(2, 5, d), torch.zeros(2, d)),
        lambda: world.step(torch.zeros(2, 6, d), torch.zeros(2, d + 1)),
        lambda: world.step(torch.full((2, 6, d), torch.nan), torch.zeros(2, d)),
        lambda: field(d, coverage=360.0 if d == 2 else 180.0).transitions(3, seed=0, orientations="unseen"),
    ):
        with pytest.raises(DataError):
            call()


def config(**world) -> Config:
    model = {"encoder": "identity", "weights": "real"}
    return parse({"world": {"name": "field", **world}, "model": model, "training": {"objective": "forward"}})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dimension": 4}, "world.dimension"),
        ({"coverage": 0}, "world.coverage"),
        ({"coverage": 361}, "world.coverage"),
        ({"dimension": 3, "coverage": 181}, "world.coverage"),
        ({"coverage": float("nan")}, "world.coverage"),
        ({"breaking": -0.1}, "world.breaking"),
        ({"breaking": float("inf")}, "world.breaking"),
        ({"warmup": -1}, "world.warmup"),
        ({"wedge": [0, 90]}, "unknown key 'world.wedge'"),
    ],
)
def test_wrong_settings(settings, words):
    with pytest.raises(ConfigError, match=words):
        config(**settings)


def test_settings_are_resolved():
    settings = config(dimension=2.0).world
    assert isinstance(settings, FieldConfig)
    assert isinstance(settings.dimension, int)
    assert settings.covered == 180.0
    assert build_world(settings).coverage == Arc(0.0, 180.0)
    space = config(dimension=3, coverage=60).world
    assert build_world(space).coverage == Ball(60.0)
    assert parse(config(dimension=3).as_dict()) == config(dimension=3)
    assert isinstance(build_world(space), Field)


@pytest.mark.parametrize(("name", "parameters"), [("vn-field-2d", 3488), ("vn-field-3d", 3488)])
def test_presets(name, parameters):
    settings = load(name)
    world = build_world(settings.world)
    model = build_model(settings.model, world.observation_rep, world.action_rep, seed=0)
    assert model.parameter_count == parameters
    assert settings.baseline in preset_names()
    assert load(settings.baseline).world == settings.world
    assert load(settings.baseline).training == settings.training
