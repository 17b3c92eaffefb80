"""Section `verify_equivariance` of metrics.json: of a network, its world, and a network under every optimiser."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from equiwm.audit.verdict import Verdict
from equiwm.audit.words import passes
from equiwm.results.result import Real, Result

POOLED = ("equivariant", "not equivariant", "inconclusive")
"""Verdicts that 0.1 stored, by the pooled residual alone: they are shown as they stand."""


def holds(verdict: str) -> bool:
    """Whether a stored verdict, or each of several (`exact / precision-limited`), says that the symmetry holds."""
    return all(word == POOLED[0] or passes(word, Verdict.LIMITED) for word in verdict.split(" / "))


@dataclass(frozen=True)
class ModelResidual(Result):
    """Residuals of one network (claim A). Of a policy F is pi(x, x*, left), its latents are its actions, and what
    only a world model has is missing.

    Attributes:
        encoder: relative residual of E.
        predictor: relative residual of f, on the encoder's latents.
        composed: relative residual of F = f(E(x), a), as a function of observation and action.
        relative_composed: the same number under the name of the contract.
        max_abs: largest absolute residual of F, over elements, samples and components (the paper's).
        cost_drift: E|C(g s, g s') - C(s, s')| / E C with C = |E(s) - E(s')| over random pairs.
        latent_std: spread of its latents.
        effective_rank: of the same latents.
    """

    encoder: Real
    predictor: Real
    composed: float
    relative_composed: float
    max_abs: float
    cost_drift: Real
    latent_std: float
    effective_rank: float


@dataclass(frozen=True)
class WorldResidual(Result):
    """The world's own equivariance: max |g s_t - s_t(g s_0, g a)| over rollouts, by kind.

    Attributes:
        unit: unit of the residuals.
        steps: length of a rollout.
        worst: largest residual of each kind.
        rollouts: number of rollouts of each kind.
    """

    unit: str
    steps: int
    worst: dict[str, float]
    rollouts: dict[str, int]


@dataclass(frozen=True)
class PartVerdict(Result):
    """The audit of the encoder, the predictor, or both composed, or of a policy.

    Attributes:
        part: `composed`, `encoder` or `predictor`; of a policy `policy`.
        verdict: of its worst channel, or what the preflight says.
        sentence: the same for a reader.
        output: what decides: the output (`it`), or its increment over an input.
        channel: the channel of it that decides.
        residual: of that channel, relative to its own variation, in float64 where the model runs in it.
        rounding: of the model itself there.
        residual_low: in float32, or the dtype of the evaluation where float32 cannot run.
        rounding_low: of the model itself there.
        causes: what was found to break it, where that was looked for.
    """

    part: str
    verdict: Verdict
    sentence: str
    output: str
    channel: str
    residual: Real
    rounding: Real
    residual_low: Real
    rounding_low: Real
    causes: list[str]


@dataclass(frozen=True)
class VerifyResult(Result):
    """Section `verify_equivariance`.

    Attributes:
        group: the group's name.
        dtype: dtype of the evaluation.
        device: device of the evaluation.
        samples: group elements probed.
        transitions: transitions each was probed on.
        tolerance: bound on the pooled relative residuals: the user's own, else what is usual in this dtype.
        verdict: one of `audit.verdict.Verdict`, the worst of the parts'; `vacuous` also of a collapsed latent and where
            the control does not fail, `not judged` of a network that was not trained. 0.1 stored `POOLED`.
        reason: why, in one line.
        passed: whether the symmetry was shown to hold: `exact` or `precision-limited`, within the user's tolerance.
        init: the network at initialisation, rebuilt from the seed; None of a model made by hand that does not say.
        trained: the network as trained.
        control: an ordinary network of the same interface, which has to fail.
        weights_moved: |W - W0| / |W0|; NaN where W0 is not known.
        latent_std: spread of the trained latents.
        effective_rank: of the same latents.
        breaks_at: the first layer whose features no longer transform linearly, as a sentence; None where nothing
            breaks, and where no layer was found. 0.1 stored its name, class and residual.
        world: the world's own residual, if it was asked for.
        seed: seed of probe data and elements.
        parts: the audits that the verdict is made of; none in a result of 0.1.
    """

    group: str
    dtype: str
    device: str
    samples: int
    transitions: int
    tolerance: float
    verdict: str
    reason: str
    passed: bool
    init: ModelResidual | None
    trained: ModelResidual
    control: ModelResidual
    weights_moved: Real
    latent_std: float
    effective_rank: float
    breaks_at: str | None
    world: WorldResidual | None
    seed: int
    parts: list[PartVerdict] = field(default_factory=list)

    @property
    def initial(self) -> float:
        """The relative residual before training; NaN where the weights were not known."""
        return math.nan if self.init is None else self.init.relative_composed

    @property
    def variant(self) -> str:
        """Key among the section's variants: `so3/float64`."""
        return f"{self.group}/{self.dtype}"


@dataclass(frozen=True)
class OptimizerRow(Result):
    """One optimiser of a study (claim A).

    Attributes:
        optimizer: its name.
        initial: relative composed residual at initialisation, float32.
        float32: relative composed residual after training.
        float64: the same weights, probed in float64.
        max_abs: largest absolute composed residual, float32.
        loss_ratio: loss of the last epoch over that of the first.
        weights_moved: |W - W0| / |W0|.
        latent_std: spread of the trained latents.
        effective_rank: of the same latents.
        control: relative composed residual of the network that has to fail.
        verdict: of both precisions, or the two apart.
        passed: whether both hold.
    """

    optimizer: str
    initial: float
    float32: float
    float64: float
    max_abs: float
    loss_ratio: float
    weights_moved: float
    latent_std: float
    effective_rank: float
    control: float
    verdict: str
    passed: bool


@dataclass(frozen=True)
class OptimizerStudy(Result):
    """Section `verify_equivariance` of a study of optimisers.

    Attributes:
        group: the group's name.
        samples: group elements probed.
        rows: one an optimiser.
        failed: cells that ended in an error, each with its message.
        passed: whether the symmetry holds under every optimiser, in both precisions.
        seed: seed of probe data.
    """

    group: str
    samples: int
    rows: list[OptimizerRow]
    failed: list[str]
    passed: bool
    seed: int
