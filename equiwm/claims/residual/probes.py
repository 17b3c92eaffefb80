"""A run's parts as probes of the audit: encoder, predictor, and both composed, on held-out transitions."""

from __future__ import annotations

import torch

from equiwm.audit.probe import Probe
from equiwm.models.world_model import WorldModel
from equiwm.symmetry.group import Group
from equiwm.worlds.world import Transitions

AUDITED = 64
"""How many transitions the parts are audited on: `audit RUN` and `verify-equivariance RUN` take the same ones."""


def composed_probe(model: WorldModel, data: Transitions, group: Group) -> Probe:
    """F(s, a) = f(E(s), a)."""
    few = data.take(AUDITED)
    takes = model.observation_rep, model.action_rep
    return Probe(model, (few.observation, few.action), group, takes, model.latent_rep, call="*")


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
