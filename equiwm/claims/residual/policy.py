"""Claim A of a policy: the audit of pi(x, x*, left), and its pooled residual as trained, before, and of a control."""

from __future__ import annotations

from dataclasses import replace

import torch

from equiwm.audit.pooled import equivariance_residual
from equiwm.audit.probe import Probe
from equiwm.audit.result import AuditResult
from equiwm.audit.spread import latent_spread
from equiwm.claims.residual.judgement import Judged, audited, judge
from equiwm.claims.residual.probes import acting_probe
from equiwm.claims.residual.result import ModelResidual
from equiwm.errors import RunError
from equiwm.models.policy import Policy, build_policy
from equiwm.results.result import UNKNOWN
from equiwm.subject import Subject
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import Elements
from equiwm.training.run import weights_moved
from equiwm.worlds.world import Transitions

PART = "policy"


def policy_residual(policy: Policy, probe: Probe, elements: Elements) -> ModelResidual:
    """The residuals of one policy at the inputs of a probe; what only a world model has is missing."""
    takes = list(probe.takes) if isinstance(probe.takes, tuple) else [probe.takes]
    inputs = list(probe.inputs)
    found = equivariance_residual(policy, takes, policy.action_rep, elements, inputs)
    with torch.no_grad():
        spread = latent_spread(policy(*inputs).flatten(1))
    return ModelResidual(
        encoder=UNKNOWN,
        predictor=UNKNOWN,
        composed=found.relative,
        relative_composed=found.relative,
        max_abs=found.max_abs,
        cost_drift=UNKNOWN,
        latent_std=spread.latent_std,
        effective_rank=spread.effective_rank,
    )


def of_policy(
    subject: Subject, data: Transitions, group: Group, elements: Elements, *, seed: int, tolerance: float | None
) -> tuple[ModelResidual, ModelResidual, ModelResidual, float, dict[str, AuditResult], Judged]:
    """A policy as it was before it was cloned, as it is, and an ordinary one of its interface, which has to fail.

    Args:
        subject: the policy, in the dtype to evaluate in.
        data: held-out transitions in it; observations of others are goals.
        group: the group.
        elements: of it.
        seed: of the audit.
        tolerance: a bound of the user's own.

    Returns:
        Residuals of the three; |W - W0| / |W0|; the audit; and the verdict.

    Raises:
        RunError: a policy that was not loaded from its run.
    """
    policy, stored = subject.policy, subject.stored
    if policy is None:
        raise RunError(f"{subject.path} is no policy.")
    config, world = stored.policy[0], subject.world
    others = []
    for shape, of in ((config, stored.header.seed), (replace(config, encoder="mlp"), stored.header.seed + 1)):
        reps = world.observation_rep, world.action_rep
        made = build_policy(shape, *reps, seed=of, dtype=subject.dtype, group=world.group).to(subject.device).eval()
        if made.normalise is not None and policy.normalise is not None:
            made.normalise.load_state_dict(policy.normalise.state_dict())
        others.append(made)
    probe = acting_probe(policy, data, group)
    initial, trained, control = (policy_residual(each, probe, elements) for each in (others[0], policy, others[1]))
    moved = weights_moved(policy, others[0])
    audits = audited({PART: probe}, elements=max(2, len(elements)), seed=seed)
    judged = judge(
        audits,
        pooled=trained.composed,
        tolerance=tolerance,
        spread=trained.latent_std,
        moved=moved,
        control=control.composed,
    )
    return initial, trained, control, moved, audits, judged
