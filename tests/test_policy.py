"""The network of a policy: exact at any weights where it is meant to be, bounded, and relative where it says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from equiwm.audit.audit import audit
from equiwm.audit.probe import Probe
from equiwm.errors import ConfigError, RepError
from equiwm.models.policy import Policy, build_policy
from equiwm.policy import PolicyConfig
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import SE2, SE3, SO2
from equiwm.symmetry.reps import Rep

CONFIG = PolicyConfig(widths=(8, 8), timed=False, relative=())
CASES = {
    "vectors of the plane": (SO2, "4x1o", "1o", False),
    "in time": (SO2, "4x1o", "2x1o", True),
    "mirrored": (Group.parse("o2"), "3x1o", "1o", False),
    "points of the plane": (SE2, "3xp+1o", "1o", False),
    "scalars": (SO2, "2x0e+3x1o", "0e+1o", True),
    "a cloud in space": (SE3, "4xp+2x1o", "1o", True),
    "pseudovectors": (Group.parse("o3"), "2x1o+1e", "1o+1e", False),
    "orientations": (Group.parse("so3"), "quat+1o", "1o", False),
    "about the vertical": (SE2.about("z"), "2xp+1o", "1o", True),
}


def probe_of(policy: Policy, group: Group, *, seed: int = 0) -> Probe:
    generator = torch.Generator().manual_seed(seed)
    rep = policy.observation_rep
    inputs = [torch.randn(16, *rep.shape, dtype=torch.float64, generator=generator) for _ in range(2)]
    takes: list[object] = [rep, rep]
    if policy.timed:
        inputs.append(torch.rand(16, 1, dtype=torch.float64, generator=generator))
        takes.append("0e")
    return Probe(policy.eval(), tuple(inputs), group, tuple(takes), policy.action_rep, call="*")


def built(case: str, **settings: object) -> tuple[Policy, Group]:
    group, observation, action, timed = CASES[case]
    reps = Rep.parse(observation, group.d), Rep.parse(action, group.d)
    config = replace(CONFIG, timed=timed, **settings)
    return build_policy(config, *reps, seed=3, dtype=torch.float64, group=group), group


@pytest.mark.parametrize("goal", ["absolute", "difference", "direction"])
@pytest.mark.parametrize("case", CASES)
def test_an_equivariant_policy_is_exact_at_any_weights(case, goal):
    policy, group = built(case, goal=goal)
    policy.normalise.fit(torch.randn(64, policy.normalise.in_rep.dim, generator=torch.Generator().manual_seed(1)) * 3.0)
    found = audit(probe_of(policy, group), elements=16, explain=False)
    assert found.verdict == "exact"
    assert max(leaf.residual for leaf in found.leaves) <= 1e-12
    assert policy.equivariant


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_a_policy_does_the_first_action_of_its_plan(case):
    """Every action of which turns with the scene, in the unit ball."""
    policy, group = built(case, plan=3)
    probe = probe_of(policy, group)
    plans, g = policy.plans(*probe.inputs), group.sample(16, 5)
    assert plans.shape == (16, 3, *policy.action_rep.shape)
    assert torch.equal(plans[:, 0], policy(*probe.inputs))
    assert float(policy.action_rep.channel_squares(plans).max()) <= 1.0 + 1e-12
    assert float((plans[:, 1] - plans[:, 0]).abs().max()) > 1e-3
    state = [policy.observation_rep.transform_samples(part, g) for part in probe.inputs[:2]]
    turned = policy.plans(*state, *probe.inputs[2:])
    assert torch.allclose(turned, policy.action_rep.transform_samples(plans, g[:, None]), atol=1e-12)
    assert audit(probe, elements=16, explain=False).verdict == "exact"


def test_near_its_goal_a_policy_sees_the_direction():
    """Half as far away is half as much of a difference, and nearly as much of a direction."""
    changes = {}
    for goal in ("difference", "direction"):
        policy, _ = built("vectors of the plane", goal=goal)
        state, wanted, *_ = probe_of(policy, SO2).inputs
        there = policy.unbounded(policy.seen(state, state))
        parts = [policy.unbounded(policy.seen(state, state + share * (wanted - state))) for share in (1.0, 0.5)]
        sizes = [float((part - there).detach().norm()) for part in parts]
        changes[goal] = sizes[1] / sizes[0]
    assert changes["difference"] == pytest.approx(0.5, abs=0.1)
    assert changes["direction"] > 0.6


@pytest.mark.parametrize("case", ["vectors of the plane", "a cloud in space", "scalars"])
def test_an_ordinary_policy_is_broken(case):
    policy, group = built(case, encoder="mlp")
    assert audit(probe_of(policy, group), elements=16, explain=False).verdict == "broken"
    assert not policy.equivariant


def test_a_broken_twin_is_found():
    """The same network, one of whose weights adds a fixed direction."""

    class Twin(Policy):
        def unbounded(self, seen):
            return super().unbounded(seen) + 1e-3 * torch.tensor([1.0, 0.0], dtype=seen.dtype)

    policy, group = built("vectors of the plane")
    policy.__class__ = Twin
    assert audit(probe_of(policy, group), elements=16, explain=False).verdict in ("broken", "approximate")


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_every_copy_of_an_action_is_in_the_unit_ball(case):
    policy, group = built(case, normalise=False)
    probe = probe_of(policy, group)
    given = [part * 50.0 for part in probe.inputs[:2]]
    action = policy(*given, *probe.inputs[2:])
    squares = policy.action_rep.channel_squares(action)
    assert float(squares.max()) <= 1.0 + 1e-12
    assert float(policy.unbounded(policy.seen(*given, *probe.inputs[2:])).norm(dim=-1).max()) > 1.0


@pytest.mark.parametrize("goal", ["absolute", "difference", "direction"])
def test_positions_are_seen_relative_to_the_first(goal):
    """SO(2) alone is declared; with relative positions translations of both change nothing."""
    policy, _ = built("vectors of the plane", relative=(2, 0), goal=goal)
    absolute, _ = built("vectors of the plane")
    state, goal, *_ = probe_of(policy, SO2).inputs
    shift = torch.zeros(4, 2, dtype=torch.float64)
    shift[[0, 2]] = torch.tensor([3.0, -1.0], dtype=torch.float64)
    assert torch.allclose(policy(state + shift, goal + shift), policy(state, goal), atol=1e-12)
    assert not torch.allclose(absolute(state + shift, goal + shift), absolute(state, goal), atol=1e-3)
    assert not torch.allclose(policy(state, goal + shift), policy(state, goal), atol=1e-3)


def test_what_is_refused():
    vectors = Rep.parse("4x1o", 2)
    with pytest.raises(RepError, match="points"):
        build_policy(CONFIG, vectors, Rep.parse("p", 2), seed=0, group=SE2)
    with pytest.raises(ConfigError, match=r"policy.relative: got \[0, 9\]"):
        build_policy(replace(CONFIG, relative=(0, 9)), vectors, Rep.parse("1o", 2), seed=0, group=SO2)
    with pytest.raises(ConfigError, match="not all of one kind"):
        build_policy(replace(CONFIG, relative=(0, 1)), Rep.parse("0e+1o", 2), Rep.parse("1o", 2), seed=0, group=SO2)
    policy, _ = built("in time")
    with pytest.raises(RepError, match="share of the episode"):
        policy(torch.zeros(1, 4, 2, dtype=torch.float64), torch.zeros(1, 4, 2, dtype=torch.float64))
    with pytest.raises(RepError, match="gives 3 actions of 2x1o has a network of 6x1o; this one gives 2x1o"):
        Policy(policy.network, policy.observation_rep, policy.action_rep, timed=True, plan=3)
    with pytest.raises(RepError, match="its network takes"):
        Policy(policy.network, Rep.parse("3x1o", 2), policy.action_rep, timed=True)
