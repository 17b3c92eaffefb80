"""Actions that are not vectors alone: each kind is drawn, bounded and refitted so that it commutes with the group."""

import pytest
import torch

from equiwm.planning.cem import CEM
from equiwm.planning.frames import planar_frames
from equiwm.planning.mppi import MPPI
from equiwm.symmetry.about import about
from equiwm.symmetry.groups import SO2
from equiwm.symmetry.reps import Rep, vectors

TASKS = 4
SMALL = {"horizon": 5, "samples": 48, "iterations": 3}
PLANNERS = {"cem": (CEM, {"elites": 8}), "mppi": (MPPI, {})}
REPS = ["1o+0e", "0e+2x1o", "2x1o+3x0e", "1o+0o+0e"]


def _normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _cost(target):
    """Squared distance to a plan (T, H, dim); invariant under every orthogonal rep."""

    def cost(actions):
        away = actions.flatten(3) - target[:, None]
        return away.square().sum((-1, -2)) + 0.3 * (away[..., 1:, :] * away[..., :-1, :]).sum((-1, -2)).sin()

    return cost


@pytest.mark.parametrize("kind", PLANNERS)
@pytest.mark.parametrize("refit", ["isotropic", "full"])
@pytest.mark.parametrize("text", REPS)
def test_a_plan_of_mixed_actions_turns_with_the_scene(kind, refit, text):
    rep, g = Rep.parse(text, 2), SO2.sample(TASKS, seed=2)
    cls, own = PLANNERS[kind]
    planner = cls(**SMALL, **own, refit=refit)
    target, direction = _normal(0, TASKS, SMALL["horizon"], rep.dim), _normal(1, TASKS, 2)
    plans = []
    for at in (SO2.identity(TASKS), g):
        frame = planar_frames(vectors(1, 2).transform(direction, at)).axes
        cost = _cost(rep.transform(target, at[:, None]))
        plans.append(planner.plan(cost, rep, range(TASKS), frame=frame).actions)
    straight, turned = plans
    assert straight.shape == (TASKS, SMALL["horizon"], *rep.shape)
    assert (rep.transform(straight, g[:, None]) - turned).abs().max() < 1e-9
    assert straight.abs().max() > 0.05
    # the planted break: noise in the laboratory's frame does not turn
    lab = planner.plan(_cost(rep.transform(target, g[:, None])), rep, range(TASKS)).actions
    assert (rep.transform(straight, g[:, None]) - lab).abs().max() > 1e-3


def test_a_plan_about_the_vertical_turns_with_the_scene():
    group, rep = about(SO2), Rep.parse("1o+0e", 3)
    g = group.sample(TASKS, seed=2)
    target, angle = _normal(0, TASKS, 5, rep.dim), _normal(1, TASKS)
    start = group.rotation(angle.rad2deg().numpy())
    planner = CEM(**SMALL, elites=8)
    straight = planner.plan(_cost(target), rep, range(TASKS), frame=start.linear).actions
    turned = planner.plan(_cost(rep.transform(target, g[:, None])), rep, range(TASKS), frame=(g @ start).linear).actions
    assert (rep.transform(straight, g[:, None]) - turned).abs().max() < 1e-9


@pytest.mark.parametrize("text", REPS)
def test_every_copy_has_its_own_ball_and_its_own_spread(text):
    """Scalars are bounded by [-1, 1], whatever the vectors beside them do; far goals are met at the bound."""
    rep = Rep.parse(text, 2)
    far = 5.0 * torch.ones(1, 5, rep.dim, dtype=torch.float64)
    plan = CEM(horizon=5, samples=200, iterations=12, elites=20).plan(_cost(far), rep, [0]).actions[0].flatten(1)
    start = 0
    for count, kind in rep.terms:
        width = kind.dim(2)
        norms = plan[:, start : start + count * width].unflatten(1, (count, width)).norm(dim=-1)
        assert norms.max() <= 1.0 + 1e-12
        assert norms.min() > 0.8
        start += count * width


def test_one_copy_of_a_kind_does_not_spread_another():
    """The vector is known at once; the scalar, which costs nothing, stays as wide as it was."""
    rep = Rep.parse("1o+0e", 2)
    seen = []

    def cost(actions):
        seen.append(actions.clone())
        return actions[..., :2].square().sum((-1, -2))

    CEM(horizon=1, samples=400, iterations=6, elites=20, sigma=0.3).plan(cost, rep, [0])
    last = seen[-1][0, :, 0]
    assert last[:, :2].std() < 0.1
    assert last[:, 2].std() > 0.15


@pytest.mark.parametrize("text", REPS)
def test_a_warm_start_is_taken_up_and_tasks_do_not_meet(text):
    rep = Rep.parse(text, 2)
    target = 0.3 * _normal(0, 3, 5, rep.dim).clamp(-1.5, 1.5)
    planner = CEM(**SMALL, elites=8, sigma=1e-6)
    start = target.unflatten(-1, rep.shape)
    plan = planner.plan(_cost(target), rep, [0, 1, 2], start=start).actions
    assert (plan - start).abs().max() < 1e-3
    alone = planner.plan(_cost(target[1:2]), rep, [1], start=start[1:2]).actions
    assert torch.equal(alone[0], plan[1])
