"""Weights of samples, and the statistics of weighted samples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from equiwm.errors import ConfigError
from equiwm.planning.cem import CEM
from equiwm.planning.refit import constrained, elite_weights, scattered, softmin_weights, spread, weighted_mean
from equiwm.symmetry.reps import vectors

TIE = 1e-9


def _normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_without_ties_the_elites_are_the_cheapest(seed, elites):
    costs = _normal(seed, 3, 50)
    expected = torch.zeros_like(costs).scatter(1, costs.topk(elites, largest=False).indices, 1.0)
    assert torch.equal(elite_weights(costs, elites, TIE), expected)


def test_samples_tied_at_the_cut_share_whatever_their_rounding():
    costs = torch.tensor([[0.1, 0.2, 0.5, 0.5, 0.5, 0.9]], dtype=torch.float64)
    expected = torch.tensor([[1.0, 1.0, 0.5, 0.5, 0.5, 0.0]], dtype=torch.float64)
    for seed in range(20):
        assert torch.equal(elite_weights(costs + 1e-15 * _normal(seed, 1, 6), 3, TIE), expected)
    assert torch.equal(elite_weights(torch.zeros(1, 6, dtype=torch.float64), 3, TIE), torch.full((1, 6), 0.5).double())


def test_the_weights_are_continuous_in_the_costs():
    costs = torch.tensor([0.1, 0.5, 0.5, 1.0], dtype=torch.float64).repeat(2001, 1)
    costs[:, 1] += torch.linspace(-5e-9, 5e-9, 2001, dtype=torch.float64)
    weights = elite_weights(costs, 2, TIE)
    assert weights.diff(dim=0).abs().max() < 0.01
    assert weights[0].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert weights[-1].tolist() == [1.0, 0.0, 1.0, 0.0]


def test_fewer_finite_costs_than_elites():
    costs = torch.tensor([[1.0, torch.nan, torch.inf, 2.0], [torch.nan] * 4, [3.0, 1.0, 2.0, torch.inf]]).double()
    assert elite_weights(costs, 3, TIE).tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]]
    assert elite_weights(costs, 4, TIE).tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]]


def test_softmin_does_not_depend_on_the_scale_or_the_offset_of_the_costs():
    costs = _normal(0, 4, 30)
    weights = softmin_weights(costs, 0.5)
    assert torch.allclose(softmin_weights(7.0 * costs + 3.0, 0.5), weights, atol=1e-12)
    expected = (-(costs - costs.amin(-1, keepdim=True)) / (0.5 * costs.std(-1, keepdim=True, correction=0))).exp()
    assert torch.allclose(weights, expected, rtol=6e-4)
    assert torch.equal(softmin_weights(costs + 1e-14 * _normal(1, 4, 30), 0.5), weights)
    assert (weights.amax(-1) == 1.0).all()
    assert softmin_weights(torch.full((1, 5), 0.3).double(), 0.5).tolist() == [[1.0] * 5]
    assert softmin_weights(torch.tensor([[1.0, torch.nan, 1.0], [torch.inf] * 3]).double(), 0.5).tolist() == [
        [1, 0, 1],
        [0, 0, 0],
    ]


@pytest.mark.parametrize("refit", ["isotropic", "full", "axis"])
def test_the_spread_is_that_of_the_samples(refit):
    scale = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    samples = (scale @ _normal(0, 1, 1, 1, 2, 200_000)) + 3.0
    weights = (_normal(1, 1, 200_000) > 0).double()
    mean = weighted_mean(samples, weights)
    found = spread(samples.clone(), weights, mean, refit)[0, 0, 0]
    covariance = scale @ scale.T
    expected = {
        "isotropic": (covariance.trace() / 2).sqrt()[None, None],
        "axis": covariance.diagonal().sqrt()[:, None],
        "full": scale,
    }[refit]
    assert torch.allclose(mean, torch.full_like(mean, 3.0), atol=0.03)
    assert torch.allclose(found, expected, atol=0.02)
    noise = _normal(2, 1, 1, 1, 2, 10)
    scattered_ = scattered(noise, found[None, None, None], refit)
    assert torch.allclose(scattered_, found @ noise if refit == "full" else found * noise)


@pytest.mark.parametrize("refit", ["isotropic", "full", "axis"])
def test_samples_that_agree_have_no_spread(refit):
    samples = torch.zeros(1, 2, 1, 2, 5, dtype=torch.float64)
    weights = torch.ones(1, 5, dtype=torch.float64)
    assert not spread(samples, weights, weighted_mean(samples, weights), refit).any()


def test_the_ball_keeps_directions_and_the_box_does_not():
    actions = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64).T[None, None, None]
    ball, box = constrained(actions, "ball")[0, 0, 0].T, constrained(actions, "box")[0, 0, 0].T
    assert torch.allclose(ball, torch.tensor([[0.6, 0.8], [0.3, 0.4]], dtype=torch.float64))
    assert box.tolist() == [[1.0, 1.0], [0.3, 0.4]]


def test_a_shorter_reach_is_a_smaller_ball_and_the_whole_one_changes_no_bit():
    actions = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.1, 0.1]], dtype=torch.float64).T[None, None, None]
    ball, box = (constrained(actions, each, 0.25)[0, 0, 0].T for each in ("ball", "box"))
    assert torch.allclose(ball[:2], torch.tensor([[0.15, 0.2], [0.15, 0.2]], dtype=torch.float64))
    assert ball[2].tolist() == [0.1, 0.1]
    assert box.tolist() == [[0.25, 0.25], [0.25, 0.25], [0.1, 0.1]]
    actions = torch.randn(1, 2, 1, 2, 50, dtype=torch.float64)
    whole = actions / actions.square().sum(-2, keepdim=True).clamp_min(1.0).sqrt()
    assert torch.equal(constrained(actions, "ball"), whole)


@pytest.mark.parametrize("reach", [0.0, -1.0, 1.5, float("nan")])
def test_a_reach_is_a_share_of_the_largest_action(reach):
    with pytest.raises(ConfigError, match=r"planning\.reach: got .*, expected more than 0 and at most 1"):
        CEM(reach=reach)


def test_plans_stay_within_reach():
    rep = vectors(1, 2)
    for carry in ("mean", "best"):
        planner = CEM(horizon=4, samples=20, elites=4, iterations=3, reach=0.3, carry=carry)
        plan = planner.plan(lambda actions: -actions.square().sum((-1, -2, -3)), rep, [0])
        assert 0.2 < float(plan.actions.norm(dim=-1).max()) <= 0.3 + 1e-12
