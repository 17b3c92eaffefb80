"""The rollout claim: a composition of equivariant steps is equivariant, so H steps are as flat as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.audit.pooled import ELEMENTS, SAMPLES, equivariance_residual
from equiwm.audit.spread import latent_spread
from equiwm.claims.probe import PROBE_SEED
from equiwm.claims.relmse import relmse
from equiwm.claims.rollout.pairs import compared_pairs
from equiwm.claims.rollout.result import Compared, RolloutResult
from equiwm.errors import DataError
from equiwm.models.world_model import WorldModel
from equiwm.stats import ratio
from equiwm.subject import Subject
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import Progress, Sequences

DEFAULT_HORIZONS = (1, 2, 4, 8, 16, 32, 64)
SEQUENCES = 256


@dataclass(frozen=True)
class RolloutError:
    """Error of H-step rollouts over a batch of sequences, pooled.

    Attributes:
        relmse: sum |z_H - E(s_H)|^2 / sum |E(s_H) - E(s_0)|^2.
        relmse_state: sum |z_H - E(s_H)|^2 / sum |E(s_H)|^2, the paper's normalisation of rollouts.
    """

    relmse: float
    relmse_state: float


@dataclass(frozen=True)
class _Row:
    """What is measured at one horizon."""

    horizon: int
    sequences: int
    excluded: dict[str, int]
    seen: RolloutError
    ood: RolloutError
    residual: float
    max_abs: float
    latent_std: float
    compared: Compared


def compose(model: WorldModel, observation: Tensor, actions: Tensor) -> Tensor:
    """z_H = f(...f(f(E(s), a_1), a_2)..., a_H), and none of the latents on the way.

    Args:
        model: the model.
        observation: (B, *shape).
        actions: (B, H, *action_shape).

    Returns:
        (B, D).
    """
    latent = model.encode(observation)
    for action in actions.unbind(1):
        latent = model.predict(latent, action)
    return latent


def rollout_error(model: WorldModel, data: Sequences) -> RolloutError:
    """Error of the model's last latent against the encoded truth, the online encoder on both sides.

    Where the model diverges the error is infinite or NaN.
    """
    with torch.no_grad():
        first, last = (model.encode(data.observations[:, step]).cpu().double() for step in (0, -1))
        reached = compose(model, data.observations[:, 0], data.actions).cpu().double()
    difference = model.latent_rep.difference
    error, moved = difference(reached, last), difference(last, first)
    return RolloutError(*(float(relmse(error, torch.zeros_like(error), by=size)) for size in (moved, last)))


def rollout_residual(model: WorldModel, data: Sequences, elements: Elements) -> tuple[float, float]:
    """Residual rho(g) z_H(s, a_1..a_H) - z_H(g s, g a_1..g a_H): relative (RMS, worst g), and its largest entry.

    Both are NaN where the model diverges at one of the elements.

    Args:
        model: the model.
        data: B sequences, in its dtype.
        elements: group elements.

    Raises:
        DataError: no sequences or elements.
    """
    plans, shape = data.actions.flatten(1), data.actions.shape[1:]
    plan_rep = Rep(model.action_rep.terms * data.horizon, model.action_rep.d)

    diverged = False

    def final(observation: Tensor, plan: Tensor) -> Tensor:
        nonlocal diverged
        latent = compose(model, observation, plan.reshape(-1, *shape))
        diverged = diverged or not bool(latent.isfinite().all())
        return latent

    reps, inputs = [model.observation_rep, plan_rep], [data.observations[:, 0], plans]
    try:
        measured = equivariance_residual(final, reps, model.latent_rep, elements, inputs)
    except DataError:
        if diverged:  # a finding about the model, not an error of whoever asks
            return math.nan, math.nan
        raise
    return measured.relative, measured.max_abs


def _measure(subject: Subject, horizon: int, n: int, elements: Elements, seed: int) -> _Row:
    pair, compared = compared_pairs(subject, n, horizon, seed)
    seen, unseen = (None if part is None else part.to(subject.dtype, subject.device) for part in pair)
    assert seen is not None
    few = seen.select(torch.arange(min(SAMPLES, len(seen))))
    residual, max_abs = rollout_residual(subject.model, few, elements)
    with torch.no_grad():
        spread = latent_spread(subject.model.encode(seen.observations[:, 0])).latent_std
    return _Row(
        horizon=horizon,
        sequences=len(seen),
        excluded=dict(seen.excluded),
        seen=rollout_error(subject.model, seen),
        ood=RolloutError(math.nan, math.nan) if unseen is None else rollout_error(subject.model, unseen),
        residual=residual,
        max_abs=max_abs,
        latent_std=spread,
        compared=compared,
    )


def rollout(
    subject: Subject,
    *,
    horizons: Sequence[int] | None = None,
    sequences: int = SEQUENCES,
    seed: int = PROBE_SEED,
    progress: Progress | None = None,
) -> RolloutResult:
    """Error and residual of H-step rollouts, at orientations that training has seen and at others.

    Both sets are drawn for each horizon: the same starts and plans, turned, each with the world's own outcome, so
    that an equivariant model of an equivariant world has an OOD factor of 1 to rounding. What stands for the others in
    a world that was recorded says `RolloutResult.compared`. A relMSE in a model's own
    latent shows flatness and compares nothing between models.

    Args:
        subject: the run, in the dtype to evaluate in.
        horizons: steps of the rollouts; None is `DEFAULT_HORIZONS`, as many of them as sequences survive.
        sequences: true sequences of each horizon; fewer where the world's guard drops most. The residual is taken
            over the first 256, with 64 group elements.
        seed: seed of sequences and elements.
        progress: called with (horizons done, horizons).

    Raises:
        DataError: a horizon below 1 or none at all, fewer than 2 sequences, a world without sequences, or a horizon
            that none survives.
    """
    wanted = list(dict.fromkeys(DEFAULT_HORIZONS if horizons is None else horizons))
    if not wanted or min(wanted) < 1:
        raise DataError(f"horizons: got {wanted}, expected steps of at least 1.")
    if sequences < 2:
        raise DataError(f"sequences: got {sequences}, expected at least 2.")
    elements = subject.world.group.sample(ELEMENTS, seed)
    rows: list[_Row] = []
    unmeasured: dict[str, str] = {}
    for done, horizon in enumerate(sorted(wanted)):
        if progress:
            progress(done, len(wanted))
        try:
            rows.append(_measure(subject, horizon, sequences, elements, seed))
        except DataError as error:
            # Nobody asked for this horizon by name. The first one fails for a reason of its own.
            if horizons is not None or not rows:
                raise
            unmeasured[str(horizon)] = str(error)
    if progress:
        progress(len(wanted), len(wanted))
    return RolloutResult(
        group=subject.world.group.name,
        dtype=str(subject.dtype).removeprefix("torch."),
        device=subject.device.type,
        space="state" if subject.model.latent_is_state else "latent",
        elements=ELEMENTS,
        horizons=[row.horizon for row in rows],
        sequences=[row.sequences for row in rows],
        excluded=[row.excluded for row in rows],
        seen_relmse=[row.seen.relmse for row in rows],
        ood_relmse=[row.ood.relmse for row in rows],
        ood_factor=[ratio(row.ood.relmse, row.seen.relmse) for row in rows],
        relative_residual=[row.residual for row in rows],
        max_abs=[row.max_abs for row in rows],
        relmse_state=[row.seen.relmse_state for row in rows],
        ood_relmse_state=[row.ood.relmse_state for row in rows],
        unmeasured=unmeasured,
        latent_std=rows[0].latent_std,
        parameters=subject.model.parameter_count,
        seed=seed,
        compared=rows[0].compared,
    )
