"""The point-cloud world: its equation, its data, and its symmetry as measured."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from equiwm.checks import as_finite
from equiwm.errors import DataError
from equiwm.symmetry.fit import pose_error
from equiwm.symmetry.groups import O3, SE3, SO3
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.cloud.world import TASK_STEPS, Cloud
from equiwm.worlds.factory import build_world

COLUMNS = ("observation", "action", "next_observation", "episode")
KINDS = ("coupled", "separate")


@pytest.fixture(params=KINDS)
def world(request):
    return Cloud(CloudConfig(action=request.param))


def expected_step(cloud: np.ndarray, force: np.ndarray, torque: np.ndarray) -> np.ndarray:
    """The paper's equation, point by point."""
    mean, moved = cloud.mean(0), []
    for point in cloud:
        arm = point - mean
        u = arm / np.linalg.norm(arm)
        moved.append(point + 0.15 * force + 0.15 * np.cross(torque, arm) + 0.08 * np.dot(force, u) * u)
    return np.array(moved)


def test_transitions_are_typed(world):
    data = world.transitions(50, seed=0)
    assert data.observation.shape == data.next_observation.shape == (50, 24, 3)
    assert data.action.shape == (50, *world.action_shape)
    assert (str(world.observation_rep), str(world.action_rep)) == ("24xp", f"{len(world.action_shape)}x1o")
    assert {getattr(data, name).dtype for name in COLUMNS[:3]} == {torch.float64}
    assert torch.equal(data.episode, torch.arange(50))
    world.observation_rep.transform(data.observation, SE3.sample(50, 0))
    world.action_rep.transform(data.action, SE3.sample(50, 0))


def test_a_step_is_the_papers_equation(world):
    data = world.transitions(20, seed=1)
    for cloud, action, following in zip(data.observation, data.action, data.next_observation, strict=True):
        force, torque = action.numpy().reshape(-1, 3)[[0, -1]]
        assert np.allclose(following.numpy(), expected_step(cloud.numpy(), force, torque), rtol=0, atol=1e-14)


def test_force_and_torque_are_apart_in_the_separate_world():
    coupled, separate = (Cloud(CloudConfig(action=kind)) for kind in KINDS)
    cloud, action = coupled.sample_scenes(1, 0)[0], torch.tensor([0.3, -0.5, 0.2])
    both = separate.step(cloud, torch.stack([action, action]))
    assert torch.equal(both, coupled.step(cloud, action))
    turned = separate.step(cloud, torch.stack([torch.zeros(3), action]))
    assert torch.allclose(turned.mean(0), cloud.mean(0), atol=1e-15)
    pushed = separate.step(cloud, torch.stack([action, torch.zeros(3)]))
    assert torch.allclose(both - cloud, (turned - cloud) + (pushed - cloud), atol=1e-15)


def test_a_step_takes_any_leading_axes(world):
    data = world.transitions(6, seed=2)
    cloud, action = data.observation.unflatten(0, (2, 3)), data.action.unflatten(0, (2, 3))
    assert torch.equal(world.step(cloud, action), data.next_observation.unflatten(0, (2, 3)))
    assert torch.equal(world.step(cloud[0, 0], action[0, 0]), data.next_observation[0])
    assert world.step(cloud[:1, :1], action).shape == (2, 3, 24, 3)
    assert world.step(cloud[:0], action[:0]).shape == (0, 3, 24, 3)
    assert world.step(cloud.float(), action.float()).dtype == torch.float64


def test_a_rollout_is_its_steps(world):
    scenes = world.sample_scenes(4, 0)
    actions = torch.randn(4, 5, *world.action_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    clouds = world.rollout(scenes, actions)
    assert clouds.shape == (4, 6, 24, 3)
    assert torch.equal(clouds[:, 0], scenes)
    assert torch.equal(clouds[:, 1:], world.step(clouds[:, :-1], actions))
    assert world.rollout(scenes[0], actions).shape == (4, 6, 24, 3)


def test_a_point_at_the_centroid_is_not_stretched(world):
    cloud = torch.zeros(24, 3, dtype=torch.float64, requires_grad=True)
    action = torch.full(world.action_shape, 0.5, dtype=torch.float64)
    moved = world.step(cloud, action)
    assert torch.allclose(moved, torch.full((24, 3), 0.15 * 0.5, dtype=torch.float64), atol=1e-15)
    moved.sum().backward()
    assert cloud.grad is not None
    assert bool(cloud.grad.isfinite().all())


def test_the_same_arguments_give_the_same_data_and_fewer_are_a_prefix(world):
    for orientations in ("seen", "all"):
        data, again, fewer = (world.transitions(n, seed=3, orientations=orientations) for n in (200, 200, 77))
        for name in COLUMNS:
            assert torch.equal(getattr(again, name), getattr(data, name))
            assert torch.equal(getattr(fewer, name), getattr(data, name)[:77])
    tasks, fewer_tasks = world.tasks(20, seed=3), world.tasks(7, seed=3)
    assert torch.equal(fewer_tasks.goal, tasks.goal[:7])
    assert not torch.equal(world.transitions(77, seed=4).observation, fewer.observation)


def test_scenes_are_the_turned_template_anisotropic_and_about_the_origin():
    world = Cloud(CloudConfig(wedge=(20.0, 50.0)))
    template = torch.from_numpy(world._template)
    for orientations in ("seen", "all"):
        scenes = world.sample_scenes(400, 0, orientations)
        assert scenes.mean(-2).norm(dim=-1).max() < 0.1
        spread = torch.linalg.svdvals(scenes - scenes.mean(-2, keepdim=True)).mean(0) / 24**0.5
        assert spread[0] > 1.3 * spread[1] > 1.3**2 * spread[2]
        angle, _ = pose_error(template.expand_as(scenes), scenes)
        if orientations == "seen":
            assert 15.0 < angle.min() < 25.0 < 45.0 < angle.max() < 55.0
        else:
            assert angle.max() > 170.0


def test_all_orientations_are_haar():
    scenes = Cloud().sample_scenes(4000, 0, "all")
    first = scenes[:, 0] / scenes[:, 0].norm(dim=-1, keepdim=True)
    assert first.mean(0).abs().max() < 0.05
    assert torch.allclose(first.T @ first / 4000, torch.eye(3, dtype=torch.float64) / 3, atol=0.03)


def test_a_turned_wedge_gives_the_turned_scenes():
    near, far = (Cloud(CloudConfig(wedge=wedge)).sample_scenes(30, 1) for wedge in ((0.0, 90.0), (137.0, 227.0)))
    assert torch.allclose(Cloud().observation_rep.transform(near, SO3.rotation(137.0)), far, atol=1e-12)


def test_actions_are_the_papers(world):
    actions = world.transitions(4000, seed=0).action.reshape(-1)
    assert actions.abs().max() == 1.0
    assert 0.05 < (actions.abs() == 1.0).double().mean() < 0.15  # P(|N(0, 0.6)| > 1) = 0.096
    assert actions[actions.abs() < 1.0].std() == pytest.approx(0.47, abs=0.02)


def test_symmetry_residual_is_rounding_and_points_at_the_centroid_are_shown_apart(world):
    residual = world.symmetry_residual(500, 30, seed=0)
    assert (residual.unit, residual.steps) == ("length", 30)
    assert sum(residual.rollouts.values()) == 500
    assert 1 <= residual.rollouts["central"] <= 30
    assert 0.0 < residual.worst["free"] <= 1e-13
    assert 0.0 < residual.worst["central"] <= 1e-8
    assert residual == world.symmetry_residual(500, 30, seed=0)


def test_symmetry_residual_finds_a_broken_world(world, monkeypatch):
    exact = Cloud.step
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)

    def broken(self, points, action):
        centred = points - points.mean(-2, keepdim=True)
        return exact(self, points, action) - 1e-6 * (centred @ axis)[..., None] * axis

    monkeypatch.setattr(Cloud, "step", broken)
    assert world.symmetry_residual(50, 5, seed=0).worst["free"] > 1e-7


def test_translations_count_in_the_residual(world, monkeypatch):
    exact = Cloud.step
    monkeypatch.setattr(Cloud, "step", lambda self, points, action: exact(self, points, action) + 1e-6 * points)
    assert world.symmetry_residual(50, 5, seed=0).worst["free"] > 1e-7


def test_the_torque_is_no_polar_vector(world):
    data = world.transitions(20, seed=0)
    mirror = O3.elements(torch.diag(torch.tensor([-1.0, 1.0, 1.0])))
    turned = data.transform(mirror, world.observation_rep, world.action_rep)
    assert (world.step(turned.observation, turned.action) - turned.next_observation).abs().max() > 0.05


def test_tasks_are_reachable_and_turn_the_cloud(world):
    tasks = world.tasks(60, seed=0, orientations="all")
    assert len(tasks) == 60
    angle, distance = pose_error(tasks.start, tasks.goal)
    assert angle.min() > 25.0
    assert angle.max() < 110.0
    assert angle.max() - angle.min() > 40.0
    assert 0.4 < distance.min() < distance.max() < 2.5
    assert tasks.actions.shape == (60, TASK_STEPS, world.action_rep.multiplicity, 3)
    held = tasks.actions.reshape(60, TASK_STEPS, *world.action_shape)
    assert torch.equal(world.rollout(tasks.start, held)[:, -1], tasks.goal)
    assert torch.equal(held, held[:, :1].expand_as(held))
    assert (tasks.actions.norm(dim=-1) <= 1.0).all()


def test_readout_target_is_the_centred_cloud(world):
    cloud = world.sample_scenes(5, 0)
    moved = world.observation_rep.transform(cloud, SE3.elements(torch.eye(3), torch.tensor([5.0, -2.0, 1.0])))
    target = world.readout_targets(moved)["centred_cloud"]
    assert target.shape == (5, 24, 3)
    assert target.mean(-2).abs().max() < 1e-14
    assert torch.allclose(target, world.readout_targets(cloud)["centred_cloud"], atol=1e-14)


def test_pose_error_is_the_angle_and_the_distance():
    cloud = Cloud().sample_scenes(50, 0)
    rotations = SO3.sample(50, 1)
    shift = torch.tensor([0.3, 0.0, -0.4], dtype=torch.float64)
    centroid = cloud.mean(-2, keepdim=True)
    goal = (cloud - centroid) @ rotations.linear.transpose(-1, -2) + centroid + shift
    angle, distance = pose_error(cloud, goal)
    assert torch.allclose(angle, rotations.angle_deg, atol=1e-6)
    assert torch.allclose(distance, torch.full((50,), 0.5, dtype=torch.float64))
    flat = cloud * torch.tensor([1.0, 1.0, 0.0])  # the best fit of a mirrored plane is a rotation, never a reflection
    assert float(pose_error(flat[0], flat[0] * torch.tensor([-1.0, 1.0, 1.0]))[0]) == pytest.approx(180.0, abs=1e-4)


def test_the_factory_builds_it():
    world = build_world(CloudConfig(action="separate", points=7))
    assert isinstance(world, Cloud)
    assert world.transitions(3, seed=0).observation.shape == (3, 7, 3)
    assert world.components == {}


def test_only_the_body_world_needs_mujoco_and_says_so():
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        "from equiwm.worlds.body.config import BodyConfig\n"
        "from equiwm.worlds.cloud.config import CloudConfig\n"
        "from equiwm.errors import MissingExtraError\n"
        "from equiwm.worlds.factory import build_world\n"
        "build_world(CloudConfig())\n"
        "try: build_world(BodyConfig())\n"
        "except MissingExtraError as error: print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "the world 'body' needs MuJoCo: pip install 'equiwm[mujoco]'\n"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda world: world.transitions(0, seed=0), "n = 0"),
        (lambda world: world.transitions(5, seed=-1), "seed"),
        (lambda world: world.transitions(5, seed=0, orientations="wedge"), "orientations: got"),
        (lambda world: world.tasks(0, seed=0), "n = 0"),
        (lambda world: world.symmetry_residual(0), "rollouts = 0"),
        (lambda world: world.symmetry_residual(1, 0), "steps = 0"),
        (lambda world: world.step(torch.zeros(23, 3), torch.zeros(3)), r"\(\.\.\., 24, 3\); got \(23, 3\)"),
        (lambda world: world.step(torch.zeros(24, 2), torch.zeros(3)), r"got \(24, 2\)"),
        (lambda world: world.step(torch.zeros(2, 0, 3), torch.zeros(3)), "empty"),
        (lambda world: world.step(torch.full((24, 3), torch.nan), torch.zeros(3)), "72 that are NaN"),
        (lambda world: world.step(torch.zeros(24, 3), torch.zeros(2)), "action"),
        (lambda world: world.step(torch.zeros(24, 3), torch.full((3,), torch.inf)), "3 that are NaN or infinite"),
        (lambda world: world.check_observation("a cloud"), "not an array of numbers"),
        (lambda world: as_finite(torch.zeros(2, 3), (3,), "goal", single=True), r"shape \(3\); got \(2, 3\)"),
    ],
)
def test_wrong_input_is_refused_in_one_line(wrong, message):
    with pytest.raises(DataError, match=message) as caught:
        wrong(Cloud())
    assert "\n" not in str(caught.value)


def test_breaking_is_its_definition():
    exact, broken = Cloud(), Cloud(CloudConfig(breaking=0.3))
    data = exact.transitions(32, seed=0)
    expected = data.next_observation.clone()
    expected[..., 2] -= 0.3 * (data.observation - data.observation.mean(-2, keepdim=True))[..., 2]
    assert torch.allclose(broken.transitions(32, seed=0).next_observation, expected, atol=1e-14)


def test_a_broken_world_is_not_equivariant_and_keeps_the_turns_about_its_vertical():
    worlds = {strength: Cloud(CloudConfig(breaking=strength)) for strength in (0.0, 0.1, 0.4)}
    exact, weak, strong = (world.symmetry_residual(50, 4, seed=3).worst["free"] for world in worlds.values())
    assert exact < 1e-11
    assert strong > weak > 0.1
    data, broken = worlds[0.4].transitions(32, seed=0), worlds[0.4]
    for element, kept in ((SE3.rotation(70.0, "z"), True), (SE3.rotation(70.0, "x"), False)):
        turned = data.transform(element, broken.observation_rep, broken.action_rep)
        error = (broken.step(turned.observation, turned.action) - turned.next_observation).abs().max()
        assert (float(error) < 1e-12) == kept


def test_unseen_transitions_are_the_seen_ones_turned_with_the_world_s_own_outcome():
    for strength, rigid in ((0.0, True), (0.4, False)):
        world = Cloud(CloudConfig(breaking=strength))
        seen, unseen = (world.transitions(16, seed=2, orientations=kind) for kind in ("seen", "unseen"))
        assert torch.allclose(seen.action.norm(dim=-1), unseen.action.norm(dim=-1), atol=1e-12)
        steps = [(part.next_observation - part.observation).norm(dim=-1) for part in (seen, unseen)]
        assert torch.allclose(*steps, atol=1e-12) == rigid
        assert torch.equal(world.step(unseen.observation, unseen.action), unseen.next_observation)
