"""Claim A: the symmetry survives training. Residuals of a run, or a policy, before and after, beside a control."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch

from equiwm.audit.layers import THE_LAYER
from equiwm.audit.pooled import ELEMENTS, SAMPLES, equivariance_residual
from equiwm.audit.result import AuditResult
from equiwm.audit.spread import latent_spread
from equiwm.audit.verdict import TOLERANCES
from equiwm.audit.words import deciding
from equiwm.claims.probe import PROBE_SEED, fitting_group, held_out
from equiwm.claims.residual.judgement import Judged, audited, judge
from equiwm.claims.residual.policy import of_policy
from equiwm.claims.residual.probes import part_probes
from equiwm.claims.residual.result import ModelResidual, PartVerdict, VerifyResult, WorldResidual
from equiwm.config import ModelConfig, load
from equiwm.errors import RepError
from equiwm.models.factory import build_model
from equiwm.models.world_model import WorldModel
from equiwm.stats import largest
from equiwm.subject import Subject
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep
from equiwm.training.run import weights_moved
from equiwm.worlds.world import Transitions


def cost_drift(model: WorldModel, data: Transitions, elements: Elements) -> float:
    """E|C(g s, g s_goal) - C(s, s_goal)| / E C, with C = |E(s) - E(s_goal)| (paper, section 4).

    Goals are the other transitions' observations, each shifted by half the batch.
    """
    goal = data.observation.roll(len(data) // 2, 0)
    rep = model.observation_rep

    def cost(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        distance: torch.Tensor = (model.encode(start) - model.encode(end)).norm(dim=-1)
        return distance

    with torch.no_grad():
        straight = cost(data.observation, goal)
        turned = [
            cost(rep.transform(data.observation, elements[i]), rep.transform(goal, elements[i]))
            for i in range(len(elements))
        ]
    base = straight.cpu().double()
    drift = (torch.stack(turned).cpu().double() - base).abs().mean()
    return float(drift / base.mean().clamp(min=torch.finfo(torch.float64).tiny))


def model_residual(model: WorldModel, data: Transitions, elements: Elements) -> ModelResidual:
    """All residuals of one network on given transitions and elements."""
    observation_rep, action_rep, latent_rep = model.observation_rep, model.action_rep, model.latent_rep
    with torch.no_grad():
        latents = model.encode(data.observation)
    encoder = equivariance_residual(model.encode, [observation_rep], latent_rep, elements, [data.observation])
    predictor = equivariance_residual(
        model.predict, [latent_rep, action_rep], latent_rep, elements, [latents, data.action]
    )
    composed = equivariance_residual(
        model, [observation_rep, action_rep], latent_rep, elements, [data.observation, data.action]
    )
    spread = latent_spread(latents)
    return ModelResidual(
        encoder=encoder.relative,
        predictor=predictor.relative,
        composed=composed.relative,
        relative_composed=composed.relative,
        max_abs=composed.max_abs,
        cost_drift=cost_drift(model, data, elements),
        latent_std=spread.latent_std,
        effective_rank=spread.effective_rank,
    )


def _said(rep: Rep) -> str | None:
    """A rep of more than vectors in words; None where `model.latent` says it, or it has a kind of the user's own."""
    if rep.vectors_only:
        return None
    try:
        return str(rep) if Rep.parse(str(rep), rep.d) == rep else None
    except RepError:
        return None


def control_config(subject: Subject) -> ModelConfig:
    """The ordinary network with the run's interface: MLPs of the baseline's widths, the run's own latent.

    A run without a baseline is an ordinary network itself; its control is one of its own shape.
    """
    config, model = subject.config, subject.model
    shape = ModelConfig() if config is None else load(config.baseline).model if config.baseline else config.model
    control = replace(
        shape, module=None, predictor="mlp", latent=model.latent_rep.dim, latent_rep=_said(model.latent_rep)
    )
    return replace(control, encoder="identity" if model.latent_is_state else "mlp")


def control_model(subject: Subject) -> WorldModel:
    """An ordinary network of the run's interface at random weights: a probe that passes it proves nothing."""
    world = subject.world
    model = build_model(
        control_config(subject),
        world.observation_rep,
        world.action_rep,
        seed=subject.seed + 1,
        dtype=subject.dtype,
        group=world.group,
    )
    return model.to(subject.device).eval()


def verify(
    subject: Subject,
    *,
    group: str | None = None,
    samples: int = ELEMENTS,
    transitions: int = SAMPLES,
    tolerance: float | None = None,
    seed: int = PROBE_SEED,
    sigma: float = 1.0,
    world_rollouts: int = 0,
) -> VerifyResult:
    """Audit a run's parts under a group, or a policy, and measure the paper's residuals beside the verdict.

    Args:
        subject: the run, in the dtype to evaluate in.
        group: name of the group; None is the world's.
        samples: how many group elements.
        transitions: how many held-out transitions each is probed on; the audit takes the first `probes.AUDITED`.
        tolerance: a bound of the user's own on the trained network's pooled residuals and on every channel's.
        seed: seed of transitions and elements.
        sigma: standard deviation of translations, in the world's units.
        world_rollouts: also measure the world's own residual, on that many rollouts.

    Raises:
        GroupError: a group that does not fit the run's world.
    """
    chosen = fitting_group(subject, group)
    data = held_out(subject, transitions, seed).to(subject.dtype, subject.device)
    elements = chosen.sample(samples, seed, sigma=sigma)
    dtype = str(subject.dtype).removeprefix("torch.")
    initial: ModelResidual | None
    moved: float | None
    if subject.policy is not None:
        initial, trained, control, moved, audits, judged = of_policy(
            subject, data, chosen, elements, seed=seed, tolerance=tolerance
        )
    else:
        initial, trained, control, moved, audits, judged = _of_model(
            subject, data, chosen, elements, seed=seed, tolerance=tolerance
        )
    return VerifyResult(
        group=chosen.name,
        dtype=dtype,
        device=subject.device.type,
        samples=samples,
        transitions=transitions,
        tolerance=TOLERANCES[dtype] if tolerance is None else tolerance,
        verdict=str(judged.verdict),
        reason=judged.reason,
        passed=judged.passed,
        init=initial,
        trained=trained,
        control=control,
        weights_moved=math.nan if moved is None else moved,
        latent_std=trained.latent_std,
        effective_rank=trained.effective_rank,
        breaks_at=_breaks_at(audits),
        world=_world_residual(subject, world_rollouts, seed) if world_rollouts else None,
        seed=seed,
        parts=[_part(name, found) for name, found in audits.items()],
    )


def _of_model(
    subject: Subject, data: Transitions, group: Group, elements: Elements, *, seed: int, tolerance: float | None
) -> tuple[ModelResidual | None, ModelResidual, ModelResidual, float | None, dict[str, AuditResult], Judged]:
    """Residuals of a world model before training, as trained, and of a control; how far it moved, audits, verdict."""
    initial = subject.initial_model() if subject.knows_initial else None
    trained = model_residual(subject.model, data, elements)
    control = model_residual(control_model(subject), data, elements)
    moved = None if initial is None else weights_moved(subject.model, initial)
    audits = audited(part_probes(subject.model, data, group), elements=max(2, len(elements)), seed=seed)
    judged = judge(
        audits,
        pooled=largest((trained.encoder, trained.predictor, trained.composed)),
        tolerance=tolerance,
        spread=trained.latent_std,
        moved=moved,
        control=control.composed,
    )
    before = None if initial is None else model_residual(initial, data, elements)
    return before, trained, control, moved, audits, judged


def _part(name: str, found: AuditResult) -> PartVerdict:
    worst = deciding(found.verdict, found.leaves) or found.leaves[0]
    return PartVerdict(
        part=name,
        verdict=found.verdict,
        sentence=found.sentence,
        output=worst.name,
        channel=worst.channel,
        residual=worst.residual,
        rounding=worst.rounding,
        residual_low=worst.residual_low,
        rounding_low=worst.rounding_low,
        causes=[f"{cause.name}: {cause.text}" for cause in found.causes],
    )


def _breaks_at(audits: Mapping[str, AuditResult]) -> str | None:
    """What the audits say of the layer."""
    causes = [cause for found in audits.values() for cause in found.causes]
    return next((cause.text for cause in causes if cause.name == THE_LAYER), None)


def _world_residual(subject: Subject, rollouts: int, seed: int) -> WorldResidual:
    measured = subject.world.symmetry_residual(rollouts, seed=seed)
    return WorldResidual(measured.unit, measured.steps, dict(measured.worst), dict(measured.rollouts))
