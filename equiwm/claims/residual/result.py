"""Section `verify_equivariance` of metrics.json: of a network, its world, and a network under every optimiser."""

from __future__ import annotations

import math
from dataclasses import dataclass

from equiwm.results.result import Real, Result


@dataclass(frozen=True)
class ModelResidual(Result):
    """Residuals of one network (claim A).

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

    encoder: float
    predictor: float
    composed: float
    relative_composed: float
    max_abs: float
    cost_drift: float
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
class VerifyResult(Result):
    """Section `verify_equivariance`.

    Attributes:
        group: the group's name.
        dtype: dtype of the evaluation.
        device: device of the evaluation.
        samples: group elements probed.
        transitions: transitions each was probed on.
        tolerance: bound on `trained.relative_composed`.
        verdict: `equivariant`, `not equivariant` or `inconclusive`.
        reason: why, in one line.
        passed: whether the verdict is `equivariant`.
        init: the network at initialisation, rebuilt from the seed; None of a model made by hand that does not say.
        trained: the network as trained.
        control: an ordinary network of the same interface, which has to fail.
        weights_moved: |W - W0| / |W0|; NaN where W0 is not known.
        latent_std: spread of the trained latents.
        effective_rank: of the same latents.
        breaks_at: the first layer whose output is off by more than the tolerance, or None.
        world: the world's own residual, if it was asked for.
        seed: seed of probe data and elements.
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
        passed: whether every optimiser's verdict is `equivariant`, in both precisions.
        seed: seed of probe data.
    """

    group: str
    samples: int
    rows: list[OptimizerRow]
    failed: list[str]
    passed: bool
    seed: int
