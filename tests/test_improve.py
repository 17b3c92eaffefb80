"""Plans near a policy's own: never worse than that, turned with the scene, and left where they lead nowhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from equiwm.claims.closed_loop.episode import controlled
from equiwm.distilling.improve import Near, improve
from equiwm.loading import load_run
from equiwm.models.policy import build_policy
from equiwm.planning.control import PlannerPolicy, held
from equiwm.planning.goals import goal_kind, model_goal
from equiwm.policy import PolicyConfig

NEAR = Near(states=3, margin=0.6, sigma=0.15)


@pytest.fixture(scope="module")
def place(trained):
    return controlled(load_run(trained / "vn-2d-forward", torch.float64))


@pytest.fixture(scope="module")
def config(place):
    small = {"samples": 30, "elites": 6, "iterations": 2, "horizon": 6, "hold": 2, "replan": 2, "steps": 8}
    return replace(place.subject.planning, **small)


def policy_of(place, **settings):
    world = place.subject.world
    config = PolicyConfig(widths=(8,), relative=(), **{"timed": False, "plan": 3, **settings})
    reps = world.observation_rep, world.action_rep
    return build_policy(config, *reps, seed=1, dtype=torch.float64, group=world.group).eval()


def improved(place, config, near, tasks, **settings):
    seeds = [[5, k] for k in range(len(tasks))]
    return improve(place, config, near, tasks, seeds, network=policy_of(place, **settings), length=3)


def costs(place, config, labels, plans):
    kind = goal_kind(config, place.subject.model, place.control)
    cost = model_goal(config, kind, place.subject.model, place.control)(labels.observation, labels.goal, 6)
    return cost(held(plans[:, None], 2, 2))[:, 0].double()


def own(place, labels):
    with torch.no_grad():
        return policy_of(place).plans(labels.observation, labels.goal)


def test_labels_turn_with_the_scene(place, config):
    world, control = place.subject.world, place.control
    tasks, g = control.tasks(2, 0), world.group.sample(2, 3)
    found = improved(place, config, NEAR, tasks)
    turned = improved(place, config, NEAR, control.turned(tasks, g))
    # 4 decisions an episode, of which 3 are drawn and planned for three times
    assert len(found.labels) == 6
    assert found.plans == turned.plans == 18
    each = g[torch.arange(2).repeat_interleave(3)]
    for name in ("observation", "goal"):
        there = world.observation_rep.transform_samples(getattr(found.labels, name), each)
        assert float((getattr(turned.labels, name) - there).abs().max()) < 1e-9
    there = world.action_rep.transform_samples(found.labels.actions, each[:, None])
    assert float((turned.labels.actions - there).abs().max()) < 1e-9
    assert torch.equal(found.labels.left, turned.labels.left)
    assert float((own(place, found.labels) - found.labels.actions).abs().max()) > 1e-3


def test_a_plan_near_its_own_is_never_worse(place, config):
    """Without a margin it is always the label, of samples far from it too; then nearly all of them are worse."""
    tasks, better = place.control.tasks(4, 0), 0
    for sigma in (0.05, 3.0):
        labels = improved(place, config, replace(NEAR, margin=0.0, sigma=sigma), tasks).labels
        before, after = (costs(place, config, labels, plan) for plan in (own(place, labels), labels.actions))
        assert bool((after <= before + 1e-12).all())
        better += int((after < before).sum())
    assert better


def test_the_planner_is_learnt_where_it_costs_far_less(place, config):
    """The larger its margin, the more often; at 1 the label is the cheaper of the two."""
    tasks = place.control.tasks(4, 0)
    found = {m: improved(place, config, replace(NEAR, margin=m), tasks).labels for m in (0.0, 0.9, 1.0)}
    cost = {margin: costs(place, config, labels, labels.actions) for margin, labels in found.items()}
    taken = {m: (found[m].actions != found[0.0].actions).flatten(1).any(-1) for m in (0.9, 1.0)}
    assert bool((taken[1.0] >= taken[0.9]).all())
    assert bool(taken[0.9].any())
    assert bool((cost[0.9][taken[0.9]] < 0.9 * cost[0.0][taken[0.9]]).all())
    assert bool((cost[1.0][taken[1.0]] < cost[0.0][taken[1.0]]).all())
    assert bool((cost[1.0] <= cost[0.9] + 1e-12).all())


def test_its_own_plan_is_the_new_one_or_what_the_last_has_left(place, config):
    """Whichever costs less: with samples that hardly leave it, that is the label."""
    near = Near(states=9, margin=0.0, sigma=1e-7)
    labels = improved(place, config, near, place.control.tasks(4, 0)).labels
    plans, kept = own(place, labels), 0
    for first in range(0, 16, 4):  # 4 decisions an episode
        episode = labels.take(torch.arange(first, first + 4))
        new = plans[first : first + 4]
        left = torch.cat([new[:1], torch.cat([new[:-1, 1:], torch.zeros_like(new[:-1, :1])], 1)])
        cost = torch.stack([costs(place, config, episode, each) for each in (new, left)])
        cheaper = torch.where((cost[0] <= cost[1])[:, None, None, None], new, left)
        assert torch.allclose(episode.actions, cheaper, atol=1e-5)
        kept += int((cost[1] < cost[0]).sum())
    assert kept


def test_the_planners_own_is_searched_as_near(place, config, monkeypatch):
    """So that it is as exact as what it is compared with."""
    calls, before = [], PlannerPolicy.plan

    def spied(self, *arguments, start=None):
        calls.append((start, before(self, *arguments, start=start)))
        return calls[-1][1]

    monkeypatch.setattr(PlannerPolicy, "plan", spied)
    improved(place, config, NEAR, place.control.tasks(1, 0))
    (_, _), (_, anywhere), (start, searched) = calls
    assert torch.equal(start, anywhere.actions)
    assert bool((searched.cost <= anywhere.cost + 1e-12).all())
    assert bool((searched.cost < anywhere.cost).any())


def test_plans_end_with_their_episode(place, config):
    """Where plans shrink the last ones are shorter; all are planned for, and what is missing is marked."""
    found = improved(
        place, replace(config, shrink=True), replace(NEAR, states=9), place.control.tasks(2, 0), timed=True
    )
    assert sorted(found.labels.left[:, 0].tolist()) == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    known = dict(zip(found.labels.left[:, 0].tolist(), found.labels.known[:, 0].tolist(), strict=True))
    assert known == {1.0: 3.0, 0.75: 3.0, 0.5: 2.0, 0.25: 1.0}
    beyond = torch.arange(3) >= found.labels.known
    assert bool((found.labels.actions[beyond] == 0.0).all())
    assert bool((found.labels.actions[~beyond].abs().sum((-1, -2)) > 0.0).all())


def test_a_plan_that_is_shorter_or_longer_than_the_planners(place, config):
    for plan in (1, 5):
        labels = improved(place, config, NEAR, place.control.tasks(1, 0), plan=plan).labels
        assert labels.actions.shape == (3, 3, 1, 2)
