"""A run's parts as probes of the audit: encoder, predictor, and both composed, or its policy; on held-out data."""

from __future__ import annotations

import torch

from equiwm.audit.probe import Probe
from equiwm.models.policy import Policy
from equiwm.models.world_model import WorldModel
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import SCALAR
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import Transitions

AUDITED = 64
"""How many transitions the parts are audited on: `audit RUN` and `verify-equivariance RUN` take the same ones."""


def composed_probe(model: WorldModel, data: Transitions, group: Group) -> Probe:
    """F(s, a) = f(E(s), a)."""
    few = data.take(AUDITED)
    takes = model.observation_rep, model.action_rep
    return Probe(model, (few.observation, few.action), group, takes, model.latent_rep, call="*")


def acting_probe(policy: Policy, data: Transitions, group: Group) -> Probe:
    """pi(x, x*, left), with the observations of other transitions as goals, and times from all over an episode."""
    few = data.take(AUDITED)
    goal = data.observation.roll(len(data) // 2, 0)[: len(few)]
    inputs, takes = (few.observation, goal), (policy.observation_rep, policy.observation_rep)
    if not policy.timed:
        return Probe(policy, inputs, group, takes, policy.action_rep, call="*")
    left = torch.linspace(1.0, 1.0 / len(few), len(few), dtype=goal.dtype, device=goal.device)[:, None]
    time = Rep(((1, SCALAR),), policy.observation_rep.d)
    return Probe(policy, (*inputs, left), group, (*takes, time), policy.action_rep, call="*")


def part_probes(model: WorldModel, data: Transitions, group: Group) -> dict[str, Probe]:
    """The parts by name, the whole first.

    Args:
        model: the model.
        data: transitions in its dtype.
        group: the group.
    """
    few, latent_rep = data.take(AUDITED), model.latent_rep
    with torch.no_grad():
        latents = model.encode(few.observation)
    return {
        "composed": composed_probe(model, data, group),
        "encoder": Probe(model.encode, few.observation, group, model.observation_rep, latent_rep),
        "predictor": Probe(
            model.predict, (latents, few.action), group, (latent_rep, model.action_rep), latent_rep, call="*"
        ),
    }
