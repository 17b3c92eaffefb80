"""Costs: their values, and C(g s, g a, g goal) = C."""

import pytest
import torch

from equiwm.errors import DataError
from equiwm.planning.costs import CentroidGoal, LatentGoal, Objective, PoseGoal, ProcrustesGoal
from equiwm.planning.goals import TrueRollout
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import SE2, SE3, SO2, SO3
from equiwm.symmetry.reps import Rep, vectors

TASKS, SAMPLES, STEPS, CHANNELS = 4, 7, 5, 6


def _normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _turn(x, g):
    """Vectors (T, ..., d), one element a task."""
    return vectors(1, x.shape[-1]).transform(x, g[(slice(None), *[None] * (x.dim() - 2))])


def _trajectory(d, g):
    return _turn(_normal(0, TASKS, STEPS, CHANNELS, SAMPLES, d), g).movedim(-1, 3)


def _latent(seed, d, g):
    return _turn(_normal(seed, TASKS, CHANNELS, d), g).flatten(1)


def _point(seed, g):
    return Rep(((1, "p"),), g.d).transform(_normal(seed, TASKS, g.d), g)


TERMS = {
    "pose": lambda d, g: PoseGoal(_turn(_normal(1, TASKS, d), g), _turn(_normal(2, TASKS, d), g)),
    "latent": lambda d, g: LatentGoal(_latent(1, d, g)),
    "latent on the way": lambda d, g: LatentGoal(_latent(1, d, g), weight=2.0, running=0.3),
    "latent, channels weighted": lambda d, g: LatentGoal(
        _latent(1, d, g), running=0.3, matrix=_normal(7, CHANNELS, CHANNELS)
    ),
    "centroid": lambda d, g: CentroidGoal(_point(1, g), _point(2, g)),
    "procrustes": lambda d, g: ProcrustesGoal(_latent(1, d, g)),
    "procrustes on the way": lambda d, g: ProcrustesGoal(_latent(1, d, g), shape=2.0, running=0.3),
    "shape alone": lambda d, g: ProcrustesGoal(_latent(1, d, g), turn=0.0),
}
GROUPS = {"se2": SE2, "se3": SE3}


def _score(term, d, g, goal_at):
    actions = _turn(_normal(3, TASKS, SAMPLES, STEPS, 1, d), g)
    return TERMS[term](d, goal_at).score(_trajectory(d, g), actions, slice(None))


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_costs_are_invariant(term, group):
    d, identity, g = group.d, group.identity(TASKS), group.sample(TASKS, seed=5, sigma=3.0)
    cost, turned = _score(term, d, identity, identity), _score(term, d, g, g)
    assert cost.shape == (TASKS, SAMPLES)
    assert cost.std() > 1e-2
    assert torch.allclose(turned, cost, rtol=1e-12, atol=1e-12)
    control = _score(term, d, g, identity)  # the goal left where it was
    assert torch.allclose(control, cost, rtol=1e-9) == (term == "shape alone")


@pytest.mark.parametrize("term", TERMS)
def test_a_slice_of_the_tasks_has_their_goals(term):
    identity = SE3.identity(TASKS)
    trajectory, actions = _trajectory(3, identity), _normal(3, TASKS, SAMPLES, STEPS, 1, 3)
    whole = TERMS[term](3, identity).score(trajectory, actions, slice(None))
    part = TERMS[term](3, identity).score(trajectory[1:3], actions[1:3], slice(1, 3))
    assert torch.allclose(part, whole[1:3], rtol=1e-12)


def test_a_latent_goal_is_measured_by_its_matrix():
    identity = SE2.identity(TASKS)
    trajectory, goal = _trajectory(2, identity), _latent(1, 2, identity)
    away = trajectory[:, -1] - goal.view(TASKS, CHANNELS, 2, 1)
    channels, flat = _normal(7, CHANNELS, CHANNELS), _normal(8, 2 * CHANNELS, 2 * CHANNELS)
    by_channel = torch.einsum("kc,tcdn->tkdn", channels, away).square().sum((1, 2))
    by_entry = torch.einsum("kc,tcn->tkn", flat, away.flatten(1, 2)).square().sum(1)
    for matrix, wanted in ((channels, by_channel), (flat, by_entry)):
        found = LatentGoal(goal, matrix=matrix).score(trajectory, torch.zeros(0), slice(None))
        assert torch.allclose(found, wanted, rtol=1e-12)


def test_the_pose_cost_is_the_papers():
    state = torch.zeros(1, 2, 4, 2, 1, dtype=torch.float64)
    state[0, :, 3] = torch.tensor([[0.0], [2.0]])  # along y, not normalised
    state[0, 1, 2] = torch.tensor([[0.3], [0.4]])
    goal = PoseGoal(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    # Poses 0 + 1 and 5 * 0.25 + 1; the agent stays at the origin, 0 and 0.5 away.
    expected = 2.25 + 0.3 * (1.0 + 2.25) / 2 + 0.05 * 0.25 / 2
    assert goal.score(state, torch.zeros(1), slice(None)).item() == pytest.approx(expected)


def test_the_length_of_a_predicted_direction_does_not_count():
    trajectory, identity = _trajectory(2, SO2.identity(TASKS)), SO2.identity(TASKS)
    goal = TERMS["pose"](2, identity)
    cost = goal.score(trajectory, trajectory, slice(None))
    scaled = trajectory.clone()
    scaled[:, :, 3] *= 0.2
    assert torch.allclose(goal.score(scaled, trajectory, slice(None)), cost, rtol=1e-12)
    assert goal.score(0.0 * trajectory, trajectory, slice(None)).isfinite().all()


def test_the_latent_cost_is_the_squared_distance():
    trajectory, goal = _trajectory(3, SO3.identity(TASKS)), _normal(1, TASKS, CHANNELS * 3)
    final = trajectory[:, -1].flatten(1, 2).movedim(-1, 1)
    expected = (final - goal[:, None]).square().sum(-1)
    assert torch.allclose(LatentGoal(goal).score(trajectory, final, slice(None)), expected)


def test_the_centroid_needs_no_model():
    start, goal, actions = _normal(0, TASKS, 3), _normal(1, TASKS, 3), _normal(2, TASKS, SAMPLES, STEPS, 2, 3)
    end = start[:, None] + 0.15 * actions[..., 0, :].sum(2)
    cost = Objective([CentroidGoal(start, goal)])(actions)
    assert torch.allclose(cost, 0.5 * (end - goal[:, None]).square().sum(-1))


@pytest.mark.parametrize("group", [SO2, SO3], ids=str)
def test_procrustes_reads_off_the_rotation_that_is_left(group):
    d, g = group.d, group.sample(TASKS, seed=1)
    trajectory = _trajectory(d, group.identity(TASKS))[..., :1]
    goal = _turn(trajectory[:, -1, ..., 0], g).flatten(1)
    given = {
        name: ProcrustesGoal(goal, turn, shape).score(trajectory, goal, slice(None))[:, 0]
        for name, turn, shape in (("turn", 1.0, 0.0), ("shape", 0.0, 1.0))
    }
    assert torch.allclose(given["turn"], 1.0 - torch.cos(torch.deg2rad(g.angle_deg)), atol=1e-12)
    assert given["shape"].abs().max() < 1e-12


@pytest.mark.parametrize("kind", [LatentGoal, ProcrustesGoal])
def test_running_weights_the_goal_at_every_step(kind):
    trajectory, goal = _trajectory(3, SO3.identity(TASKS)), _latent(1, 3, SO3.identity(TASKS))
    steps = [kind(goal).score(trajectory[:, h : h + 1], goal, slice(None)) for h in range(STEPS)]
    expected = steps[-1] + 0.3 * torch.stack(steps).mean(0)
    assert torch.allclose(kind(goal, running=0.3).score(trajectory, goal, slice(None)), expected, rtol=1e-12)


@pytest.mark.parametrize("group", [SO2, SO3], ids=str)
def test_procrustes_is_the_minimum_over_rotations_and_not_reflections(group):
    d = group.d
    trajectory, goal = _trajectory(d, group.identity(TASKS)), _normal(1, TASKS, CHANNELS, d)
    goal[0] = -trajectory[0, -1, ..., 0] if d == 3 else trajectory[0, -1, ..., 0] * torch.tensor([1.0, -1.0])
    found = ProcrustesGoal(goal.flatten(1), turn=0.0).score(trajectory, goal, slice(None))
    rotations = group.sample(5000, seed=2).linear
    final = trajectory[:, -1].permute(0, 3, 1, 2)  # (T, N, C, d)
    distance = (torch.einsum("gij,tncj->tngci", rotations, final) - goal[:, None, None]).square().sum((-1, -2))
    distance = distance / goal.square().sum((-1, -2))[:, None, None]
    assert (found[..., None] <= distance + 1e-9).all()
    assert ((distance.amin(-1) - found) < 0.1).all()
    assert found[0, 0] > 0.05  # a reflection would make it 0


def test_an_objective_in_groups_is_the_objective_at_once():
    def rollout(latent, actions):
        steps = actions.permute(0, 2, 3, 4, 1).cumsum(1)
        return latent.unflatten(1, (-1, 3))[:, None, ..., None] + steps

    latent, goal = _normal(0, 40, 3), _normal(1, 40, 3)
    actions = _normal(2, 40, SAMPLES, STEPS, 1, 3)
    cost = Objective([LatentGoal(goal), CentroidGoal(latent, goal)], rollout, latent)(actions)
    end = latent[:, None] + actions[..., 0, :].sum(2) - goal[:, None]
    near = latent[:, None] + 0.15 * actions[..., 0, :].sum(2) - goal[:, None]
    assert torch.allclose(cost, end.square().sum(-1) + 0.5 * near.square().sum(-1))
    assert not cost.is_inference()
    with pytest.raises(DataError, match="40 tasks"):
        Objective([LatentGoal(goal)], rollout, latent)(actions[:3])


@pytest.mark.parametrize(("group", "centred"), [("se2", True), ("so2", False)])
def test_true_dynamics_are_centred_where_the_group_translates(group, centred):
    """As the latents of forward models are: elsewhere a point is a vector from the origin."""

    class Still:
        def simulate(self, observation, actions):
            return observation[:, None, None].expand(-1, actions.shape[1], actions.shape[2], -1, -1)

    rep = Rep.parse("3xp+1o", 2)
    seen = torch.randn(4, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = seen + torch.tensor([[3.0, -2.0]] * 3 + [[0.0, 0.0]], dtype=torch.float64)
    rollout = TrueRollout(Still(), rep, Group.parse(group))
    actions = torch.zeros(4, 2, 1, 1, 2, dtype=torch.float64)
    for one, other in (
        (rollout.encode(seen), rollout.encode(moved)),
        (rollout(seen.flatten(1), actions), rollout(moved.flatten(1), actions)),
    ):
        assert torch.allclose(one, other, atol=1e-12) is centred
