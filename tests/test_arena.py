"""Forward models that see positions relative, goals by an outline, plans held and carried out: each exact, and used."""

import numpy as np
import pytest
import torch

from equiwm.config import ModelConfig, load, parse
from equiwm.errors import ConfigError
from equiwm.models.factory import build_model
from equiwm.models.relative import RelativePredictor
from equiwm.planning.cem import CEM
from equiwm.planning.control import PlannerPolicy
from equiwm.planning.frames import planar_frames
from equiwm.planning.keypoints import KeypointGoal
from equiwm.planning.refit import cheapest
from equiwm.planning.rollouts import PredictRollout, compile_rollout
from equiwm.planning.sampling import Plan, SamplingPlanner
from equiwm.planning.variants import VARIANTS
from equiwm.planning.vn_rollout import VNRollout
from equiwm.symmetry.groups import SE2, SO2
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.pusht.config import PushTConfig
from equiwm.worlds.pusht.physics import agent_inside, block_inside, geometry
from equiwm.worlds.pusht.world import PushT

STATE, ACTION = vectors(4, 2), vectors(1, 2)
SEEN_AS_POINTS = Rep.parse("1xp+1x1o+1xp+1x1o", 2)
POINTS = torch.from_numpy(geometry().corners / 256.0)


def _model(predictor="vn", relative=(2, 0), dtype=torch.float64):
    config = ModelConfig(encoder="identity", predictor=predictor, predictor_widths=(16, 16), relative=relative)
    return build_model(config, STATE, ACTION, seed=0, dtype=dtype)


def _normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("predictor", ["vn", "mlp"])
def test_relative_positions_make_translations_exact_and_without_them_they_are_not(predictor):
    state, action = _normal(0, 32, 4, 2), _normal(1, 32, 2)
    moved = state + torch.tensor([[1.0], [0.0], [1.0], [0.0]]) * torch.tensor([3.0, -2.0])
    for relative, exact in (((2, 0), True), ((), False)):
        model = _model(predictor, relative)
        with torch.no_grad():
            apart = (model(moved, action) - moved.flatten(1)) - (model(state, action) - state.flatten(1))
        assert (float(apart.abs().max()) < 1e-12) is exact


def test_relative_positions_leave_rotations_exact():
    g, state, action = SO2.rotation(101.3), _normal(0, 32, 4, 2), _normal(1, 32, 2)
    model = _model()
    assert model.equivariant
    with torch.no_grad():
        straight = STATE.transform(model(state, action).unflatten(-1, (4, 2)), g)
        turned = model(STATE.transform(state, g), ACTION.transform(action[:, None], g)[:, 0]).unflatten(-1, (4, 2))
    assert (straight - turned).abs().max() < 1e-13


def test_the_fast_rollout_knows_relative_positions():
    model = _model()
    assert isinstance(model.predictor, RelativePredictor)
    fast, slow = compile_rollout(model), PredictRollout(model)
    assert isinstance(fast, VNRollout)
    latent, actions = _normal(2, 3, 8), _normal(3, 3, 5, 4, 1, 2)
    assert (fast(latent, actions) - slow(latent, actions)).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("encoder", "relative", "expected"),
    [
        ("identity", (2,), "two or more different channels"),
        ("identity", (2, 2), "two or more different channels"),
        ("identity", (2, 4), "0 to 3"),
        ("vn", (2, 0), "it goes with a forward model"),
    ],
)
def test_relative_positions_that_are_none_are_refused(encoder, relative, expected):
    with pytest.raises(ConfigError, match=expected):
        build_model(ModelConfig(encoder=encoder, relative=relative), STATE, ACTION, seed=0)


def test_rounding_does_not_choose_between_samples_that_cost_the_same():
    costs = torch.tensor(
        [[3.0, 1.0, 1.0, 2.0], [5.0, 4.0, 6.0, torch.nan], [torch.inf, torch.nan, torch.inf, torch.inf]]
    )
    costs = costs.double()
    shaken = costs.clone()
    shaken[0, 1] += 4e-16  # argmin would take the third
    assert shaken[0].argmin() == 2
    for given in (costs, shaken):
        index, lowest = cheapest(given, 1e-9)
        assert index.tolist()[:2] == [1, 1]
        assert lowest.tolist()[1:] == [4.0, torch.inf]
    assert cheapest(torch.tensor([[2.0, 1.0 + 1e-6, 1.0]]).double(), 1e-9)[0].item() == 2


def _objective(goal, state, model, *, passing=True):
    rollout = compile_rollout(model)
    term = KeypointGoal(goal[:, 0], goal[:, 1], POINTS, passing=passing)

    def cost(actions):
        with torch.no_grad():
            return term.score(rollout(state.flatten(1), actions), actions, slice(None))

    return cost


def _planned(g, carry, *, frame=True, start=None):
    state, goal = STATE.transform(_normal(0, 5, 4, 2), g), vectors(2, 2).transform(_normal(1, 5, 2, 2), g)
    planner = CEM(horizon=6, samples=48, iterations=4, elites=8, carry=carry)
    axes = planar_frames(state[:, 3]).axes if frame else None
    return planner.plan(_objective(goal, state, _model()), ACTION, list(range(5)), frame=axes, start=start)


def _turned(actions, g):
    return actions @ g.linear[:, None].mT


@pytest.mark.parametrize("carry", ["mean", "best"])
def test_either_plan_that_is_carried_out_turns_with_the_scene_and_in_the_laboratorys_frame_it_does_not(carry):
    g = SO2.rotation(torch.full((5,), 37.0, dtype=torch.float64))
    begun = 0.2 * _normal(5, 5, 6, 1, 2)
    for start in (None, begun):
        straight = _planned(SO2.identity(5), carry, start=start)
        turned = _planned(g, carry, start=None if start is None else _turned(start, g))
        assert (_turned(straight.actions, g) - turned.actions).abs().max() < 1e-9
        assert (straight.cost - turned.cost).abs().max() < 1e-12
    straight, turned = _planned(SO2.identity(5), carry, frame=False), _planned(g, carry, frame=False)
    assert (_turned(straight.actions, g) - turned.actions).abs().max() > 1e-2


def test_the_best_plan_is_one_that_was_drawn_and_none_is_worse_than_what_it_began_from():
    state, goal = _normal(0, 5, 4, 2), _normal(1, 5, 2, 2)
    cost = _objective(goal, state, _model())
    best, mean = _planned(SO2.identity(5), "best"), _planned(SO2.identity(5), "mean")
    assert torch.allclose(cost(best.actions[:, None])[:, 0], best.cost, atol=1e-14)
    assert bool((best.cost <= mean.cost).all())
    again = _planned(SO2.identity(5), "best", start=best.actions)
    assert bool((again.cost <= best.cost).all())


def test_a_goal_by_keypoints_is_the_distance_of_the_points():
    trajectory, actions = _normal(4, 2, 3, 4, 2, 7), _normal(5, 2, 7, 3, 1, 2)
    goal, agent_goal = _normal(6, 2, 2, 2), _normal(7, 2, 2)
    u = torch.nn.functional.normalize(trajectory[:, :, 3], dim=2)

    def points(position, direction):
        across = torch.stack([-direction[..., 1, :], direction[..., 0, :]], -2)
        return (
            position[..., None, :, :]
            + POINTS[:, :1, None] * direction[..., None, :, :]
            + POINTS[:, 1:, None] * across[..., None, :, :]
        )

    aim = torch.nn.functional.normalize(goal[:, 1], dim=-1)
    away = points(trajectory[:, :, 2], u) - points(goal[:, None, 0, :, None], aim[:, None, :, None])
    left = (trajectory[:, :, 0] - agent_goal[:, None, :, None]).square().sum(2)
    centre = points(trajectory[:, :, 2], u).mean(2)
    approach = (trajectory[:, :, 0] - centre).square().sum(2).mean(1)
    for agent, weight in ((None, 0.0), (agent_goal, 0.7)):
        distance = (away.square().sum(-2).mean(2) + weight * left).sqrt()
        for passing in (True, False):
            term = KeypointGoal(
                goal[:, 0],
                goal[:, 1],
                POINTS,
                agent_goal=agent,
                agent=weight,
                passing=passing,
                running=0.3,
                approach=0.2,
            )
            reached = distance.amin(1) if passing else distance[:, -1]
            expected = reached + 0.3 * distance.mean(1) + 0.2 * approach
            assert torch.allclose(term.score(trajectory, actions, slice(None)), expected, atol=1e-13)


def test_a_goal_by_keypoints_is_invariant_under_every_motion_of_the_plane():
    trajectory, actions, goal = _normal(4, 1, 3, 4, 2, 7), _normal(5, 1, 7, 3, 1, 2), _normal(6, 1, 2, 2)
    g = SE2.sample(1, 3)
    pose = Rep.parse("1xp+1x1o", 2)
    moved = SEEN_AS_POINTS.transform(trajectory.movedim(-1, 2), g[:, None, None]).movedim(2, -1)
    costs = []
    for path, aim in ((trajectory, goal), (moved, pose.transform(goal, g))):
        costs.append(KeypointGoal(aim[:, 0], aim[:, 1], POINTS).score(path, actions, slice(None)))
    assert (costs[0] - costs[1]).abs().max() < 1e-13
    assert (moved - trajectory).abs().min() > 1e-3


class _Control:
    physical = staticmethod(lambda actions: actions)


def test_actions_are_held_and_a_plan_begins_from_what_is_left_of_the_last(monkeypatch):
    asked, given = [], torch.arange(6.0, dtype=torch.float64).view(1, 3, 1, 2) / 10
    horizons = []

    def plan(self, cost, rep, seeds, *, frame, start, rough):
        asked.append(start)
        assert rough is None  # a goal that is any function is not ranked
        assert cost(given[:, None]).shape == (1, 1)
        return Plan(given, torch.zeros(1), mean=given)

    def goal(observation, wanted, horizon):
        horizons.append(horizon)
        return lambda actions: actions[..., 0, 0].sum(-1)

    monkeypatch.setattr(SamplingPlanner, "plan", plan)
    planner = CEM(horizon=3, samples=4, elites=2)
    policy = PlannerPolicy(
        _Control(), planner, VARIANTS["ordinary"], goal, ACTION, [0], SO2.identity(1), shrink=True, hold=2, warm=True
    )
    first = policy(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), 20)
    assert first[0, :, 0, 0].tolist() == [0.0, 0.0, 0.2, 0.2, 0.4, 0.4]
    policy(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), 18)
    assert asked[0] is None
    assert asked[1][0, :, 0, 0].tolist() == [0.2, 0.4, 0.0]
    assert horizons == [6, 6]
    policy(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), 3)  # the episode ends before the plan would
    assert horizons[-1] == 4
    assert asked[-1].shape[1] == 2


def test_a_plan_is_made_of_whole_holds():
    assert parse({"planning": {"horizon": 18, "hold": 3}}).planning.hold == 3
    with pytest.raises(ConfigError, match=r"planning\.hold: got 4, expected a divisor of planning\.horizon \(18\)"):
        parse({"planning": {"horizon": 18, "hold": 4}})


def test_the_baseline_in_the_arena_differs_in_class_alone():
    ours, theirs = (load(preset).as_dict() for preset in ("vn-2d-arena", "mlp-2d-arena"))
    assert ours["baseline"] == "mlp-2d-arena"
    for section in ("world", "training", "planning"):
        assert ours[section] == theirs[section]
    different = {key for key, value in ours["model"].items() if theirs["model"][key] != value}
    assert different == {"predictor", "predictor_widths"}


def test_exploration_of_the_arena_turns_with_its_scene_and_keeps_to_the_wedge():
    world = PushT(PushTConfig(scenes="arena", wedge=(0.0, 90.0)))
    seen, unseen = (world.sequences(12, 8, seed=0, orientations=which) for which in ("seen", "unseen"))
    common = np.intersect1d(seen.episode, unseen.episode)
    assert len(common) >= 8
    rows = [torch.from_numpy(np.isin(side.episode, common)) for side in (seen, unseen)]
    a, b = (side.observations[row] for side, row in zip((seen, unseen), rows, strict=True))
    angles = torch.atan2(b[:, 0, 3, 1], b[:, 0, 3, 0]) - torch.atan2(a[:, 0, 3, 1], a[:, 0, 3, 0])
    g = SO2.rotation(angles.rad2deg())
    assert (STATE.transform(a, g[:, None]) - b).abs().max() < 1e-9
    stem = torch.atan2(seen.observations[:, 0, 3, 1], seen.observations[:, 0, 3, 0]).rad2deg()
    assert 0.0 <= stem.min() < 30.0
    assert 60.0 < stem.max() < 90.0
    data = world.transitions(600, seed=0)
    states = world.state_of(data.observation)
    assert block_inside(states).all()
    assert agent_inside(states).all()
    away = data.observation[:, 2].norm(dim=-1)
    assert away.max() > 0.5  # px / 256: not only at the centre
    moved = (data.next_observation - data.observation)[:, 2].norm(dim=-1) * 256 > 0.1
    assert 0.2 < moved.double().mean() < 0.6
    again = world.transitions(100, seed=0)
    assert torch.equal(again.observation, data.observation[:100])
    assert torch.equal(again.action, data.action[:100])
