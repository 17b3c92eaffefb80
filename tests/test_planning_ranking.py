"""Ranking in float32: the plans are bitwise those in float64, and where they could not be, all is scored in float64."""

import pytest
import torch

from equiwm.errors import DataError
from equiwm.models.cross import CrossVNPredictor
from equiwm.models.mlp import MLPPredictor
from equiwm.models.vector_neurons import VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.planning.cem import CEM
from equiwm.planning.costs import CentroidGoal, LatentGoal, Objective, PoseGoal, ProcrustesGoal, Term
from equiwm.planning.keypoints import KeypointGoal
from equiwm.planning.mppi import MPPI
from equiwm.planning.ranking import BANDS, GIVE_UP, Scored
from equiwm.planning.rollouts import compile_rollout, ranking_rollout
from equiwm.symmetry.reps import vectors

TASKS, SAMPLES = 5, 128
SMALL = {"horizon": 6, "samples": SAMPLES, "iterations": 4, "elites": 12}
CANDIDATES = TASKS * SAMPLES * SMALL["iterations"]
POINTS = torch.tensor([[-0.3, 0.1], [0.4, 0.0], [0.1, 0.5]], dtype=torch.float64)


def _normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _model(kind):
    torch.manual_seed(0)
    d, latents = (3, 6) if kind == "cross" else (2, 4)
    rep, act = vectors(latents, d), vectors(1, d)
    predictor = {
        "vn": lambda: VNPredictor(rep, act, (16, 16), "complex"),
        "cross": lambda: CrossVNPredictor(rep, act, (16,), 4),
        "mlp": lambda: MLPPredictor(rep, act, (16, 16), norm=False),
    }[kind]()
    return WorldModel(IdentityEncoder(rep), predictor, act).double()


def _terms(goal, seed, d):
    aim = _normal(seed, TASKS, 2, d)
    latent = _normal(seed, TASKS, (6 if d == 3 else 4) * d)
    return {
        "pose": [PoseGoal(aim[:, 0], aim[:, 1])] if d == 2 else None,
        "keypoints": [KeypointGoal(aim[:, 0], aim[:, 1], POINTS)] if d == 2 else None,
        "latent": [LatentGoal(latent, running=0.3), CentroidGoal(aim[:, 0], aim[:, 1])],
        "procrustes": [ProcrustesGoal(latent)],
    }[goal]


def _objective(kind, goal="latent", seed=1):
    model = _model(kind)
    d = model.latent_rep.d
    latent = _normal(100 + seed, TASKS, model.latent_rep.dim)
    return Objective(_terms(goal, seed, d), compile_rollout(model), latent, ranking_rollout(model)), vectors(1, d)


CASES = [
    *[("vn", goal) for goal in ("pose", "keypoints", "latent", "procrustes")],
    *[("mlp", goal) for goal in ("pose", "keypoints")],
    *[("cross", goal) for goal in ("latent", "procrustes")],
]


@pytest.mark.parametrize(("kind", "goal"), CASES)
@pytest.mark.parametrize("carry", ["mean", "best"])
def test_plans_are_bitwise_those_in_float64(kind, goal, carry):
    planner = CEM(**SMALL, carry=carry)
    for seed in range(3):
        objective, rep = _objective(kind, goal, seed)
        seeds, start = [(seed, task) for task in range(TASKS)], 0.1 * _normal(9, TASKS, 6, *rep.shape)
        exact = planner.plan(objective, rep, seeds, start=start)
        ranked = planner.plan(objective, rep, seeds, start=start, rough=objective.rough)
        assert torch.equal(ranked.actions, exact.actions)
        assert torch.allclose(ranked.cost, exact.cost, rtol=1e-11, atol=1e-13)
        assert exact.scored == Scored()
        # They were ranked, and not simply scored again.
        assert ranked.scored.candidates == CANDIDATES
        assert ranked.scored.wholly <= CANDIDATES // 4
        assert 0 < ranked.scored.again <= CANDIDATES // 2


class _Count:
    """A cost that counts what it scores."""

    def __init__(self, cost):
        self.cost, self.scored = cost, 0

    def __call__(self, actions):
        self.scored += actions.shape[0] * actions.shape[1]
        return self.cost(actions)


def test_the_count_is_that_of_what_was_scored_in_float64():
    objective, rep = _objective("vn", "pose")
    exact, rough = _Count(objective), _Count(objective.rough)
    scored = CEM(**SMALL).plan(exact, rep, range(TASKS), rough=rough).scored
    assert (rough.scored, exact.scored) == (scored.candidates, scored.again + scored.wholly)
    assert exact.scored < rough.scored / 4


def _far(actions):
    return (actions - 0.3).square().sum((2, 3, 4))


def _plateau(actions):
    """Only a hair's breadth between most plans: at its cut nothing but rounding decides."""
    return 1.0 + 1e-12 * _far(actions)


def _steps(actions):
    """Many plans of exactly the same cost."""
    return _far(actions).mul(2.0).round()


def _holes(actions):
    cost = _far(actions)
    return cost.masked_fill(actions[:, :, 0, 0, 0] > 0.5, torch.inf)


def _noisy(cost, by):
    """A float32 twin that is off by so much, to one side and the other."""

    def rough(actions):
        found = cost(actions)
        return (found + by * torch.sin(1e4 * found)).float()

    return rough


@pytest.mark.parametrize(
    ("cost", "rough"),
    {
        "a plateau": (_plateau, _plateau),
        "steps": (_steps, _steps),
        "holes": (_holes, _holes),
        "a poor approximation": (_far, _noisy(_far, 0.3)),
        "another function": (_far, lambda actions: -_far(actions)),
        "not a number": (_far, lambda actions: _far(actions) * torch.nan),
    }.values(),
    ids=["plateau", "steps", "holes", "poor", "other", "nan"],
)
@pytest.mark.parametrize("carry", ["mean", "best"])
def test_where_float32_could_change_the_choice_all_is_scored_in_float64(cost, rough, carry):
    rep, planner = vectors(1, 2), CEM(**SMALL, carry=carry)
    exact = planner.plan(cost, rep, range(TASKS))
    ranked = planner.plan(cost, rep, range(TASKS), rough=rough)
    assert torch.equal(ranked.actions, exact.actions)
    assert torch.equal(ranked.cost, exact.cost)
    # It is counted, and after a few times the rest of the plan is not ranked any more.
    assert ranked.scored.wholly == GIVE_UP * TASKS * SAMPLES
    assert ranked.scored.candidates == ranked.scored.wholly


def test_a_less_good_approximation_has_more_scored_again():
    rep, planner = vectors(1, 2), CEM(**SMALL)
    exact = planner.plan(_far, rep, range(TASKS))
    little, more = (planner.plan(_far, rep, range(TASKS), rough=_noisy(_far, by)) for by in (1e-7, 3e-3))
    for ranked in (little, more):
        assert torch.equal(ranked.actions, exact.actions)
    # The control: with the approximation in place of the cost the plans are others.
    assert (planner.plan(_noisy(_far, 3e-3), rep, range(TASKS)).actions - exact.actions).abs().max() > 1e-3
    assert little.scored.wholly == 0
    assert more.scored.again > 2 * little.scored.again or more.scored.wholly > 0


def test_one_task_near_a_tie_takes_the_others_along():
    """Their bits are those of the same call in float64, whatever a matrix product makes of fewer columns."""

    def cost(actions):
        found = _far(actions)
        return torch.cat([found[:-1], _steps(actions[-1:])])

    rep, planner = vectors(1, 2), CEM(**SMALL)
    exact, ranked = planner.plan(cost, rep, range(TASKS)), planner.plan(cost, rep, range(TASKS), rough=cost)
    assert torch.equal(ranked.actions, exact.actions)
    assert ranked.scored.wholly == GIVE_UP * TASKS * SAMPLES


@pytest.mark.parametrize(
    "planner",
    [
        MPPI(horizon=6, samples=SAMPLES, iterations=2),
        CEM(**{**SMALL, "elites": SAMPLES}),
        CEM(**{**SMALL, "samples": 4 * BANDS[0] - 1}),
    ],
    ids=["mppi", "every sample is an elite", "few samples"],
)
def test_where_ranking_cannot_help_it_is_not_asked(planner):
    def never(actions):
        raise AssertionError("the rough cost was asked")

    rep = vectors(1, 2)
    plan = planner.plan(_far, rep, range(TASKS), rough=never if planner.cut is None else _far)
    assert torch.equal(plan.actions, planner.plan(_far, rep, range(TASKS)).actions)
    assert plan.scored == Scored()


def test_a_rough_cost_of_another_shape_is_refused():
    with pytest.raises(DataError, match="costs has shape"):
        CEM(**SMALL).plan(_far, vectors(1, 2), range(TASKS), rough=lambda actions: _far(actions)[:1])


class _Float64(Term):
    """A term of somebody's world that was never asked for another dtype than that of its goals."""

    def __init__(self, goal):
        self.goal = goal

    def score(self, trajectory, actions, tasks):
        away = trajectory[:, -1].flatten(1, 2).transpose(1, 2) @ self.goal[tasks][:, :, None]
        return away[..., 0].square()


def test_a_term_that_knows_float64_alone_is_given_it():
    (objective, rep), aim = _objective("vn"), _normal(3, TASKS, 8)
    objective = Objective([_Float64(aim)], objective.rollout, objective.latent, objective.quick)
    planner = CEM(**SMALL)
    ranked = planner.plan(objective, rep, range(TASKS), rough=objective.rough)
    assert torch.equal(ranked.actions, planner.plan(objective, rep, range(TASKS)).actions)
    assert ranked.scored.wholly <= CANDIDATES // 4
    assert ranked.scored.candidates == CANDIDATES
    plain = Objective([_Float64(aim)], objective.rollout, objective.latent)
    assert plain.rough is None
