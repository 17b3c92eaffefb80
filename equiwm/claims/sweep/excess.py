"""Does a model carry more symmetry than its world? Both are put to the same test, on the same elements."""

from __future__ import annotations

import torch

from equiwm.audit.audit import audit
from equiwm.audit.pooled import equivariance_residual
from equiwm.audit.verdict import Verdict
from equiwm.audit.words import passes
from equiwm.claims.residual.probes import composed_probe
from equiwm.claims.sweep.result import SymmetryExcess
from equiwm.stats import largest
from equiwm.subject import Subject
from equiwm.symmetry.groups import Elements, Group
from equiwm.worlds.world import Transitions, World

WORLD_TOLERANCE = 1e-6
"""Bound on a world's residual: simulators are exact to 1e-9 or better, and where one breaks it does so by far more."""


@torch.no_grad()
def world_residual(world: World, data: Transitions, elements: Elements) -> float:
    """max over g of RMS(g T(s, a) - T(g s, g a)) / RMS(T(s, a) - s), the world stepped afresh from g s.

    The same action as for the model: the world's declared reps, extended by parity.
    """
    rep = world.observation_rep
    straight = world.step(data.observation, data.action)
    moved = rep.difference(straight, data.observation).square().mean().sqrt()
    residuals = [0.0]
    for k in range(len(elements)):
        turned = data.transform(elements[k], rep, world.action_rep)
        expected = rep.transform_samples(straight, elements[k])
        error = rep.difference(expected, world.step(turned.observation, turned.action)).square().mean().sqrt()
        residuals.append(float(error / moved) if error != 0.0 else 0.0)  # of a world that stands still
    return largest(residuals)


def symmetry_excess(subject: Subject, group: Group, data: Transitions, elements: Elements) -> SymmetryExcess:
    """Test world and model under elements of a group that may be larger than the world's.

    Args:
        subject: the run.
        group: the larger group.
        data: transitions, float64.
        elements: elements of it, for the two residuals; the verdict on the model is its audit's.
    """
    model, cast = subject.model, data.to(subject.dtype, subject.device)
    reps, inputs = [model.observation_rep, model.action_rep], [cast.observation, cast.action]
    of_model = equivariance_residual(model, reps, model.latent_rep, elements, inputs).relative
    of_world = world_residual(subject.world, data, elements)
    probe = composed_probe(model, cast, group)
    carries = passes(audit(probe, elements=max(2, len(elements)), explain=False).verdict, Verdict.LIMITED)
    return SymmetryExcess(
        group=group.name,
        world=of_world,
        model=of_model,
        world_symmetric=of_world <= WORLD_TOLERANCE,
        model_symmetric=carries,
        agree=(of_world <= WORLD_TOLERANCE) == carries,
    )
