"""What each command measures, as plain dataclasses: the names of `metrics.json`.

The README's glossary defines the quantities; `run.record(section, variant, result.as_dict())` writes them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """Base: a result is data and nothing else."""

    def as_dict(self) -> dict[str, Any]:
        """Nested plain data."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class TrainResult(Result):
    """Section `train`.

    Attributes:
        parameters: trained scalars.
        transitions: training transitions.
        excluded: transitions dropped while collecting, by reason.
        seconds: wall-clock seconds, data included; with `steps_seconds` the only entries that differ between runs.
        steps_seconds: of them, optimisation alone.
        first_loss: mean loss of the first epoch.
        final_loss: mean loss of the last epoch.
        latent_std: mean standard deviation of a latent dimension on the training observations.
        effective_rank: of the same latents.
        weights_moved: |W - W0| / |W0| over all parameters.
        seed: seed of data, weights and order.
    """

    parameters: int
    transitions: int
    excluded: dict[str, int]
    seconds: float
    steps_seconds: float
    first_loss: float
    final_loss: float
    latent_std: float
    effective_rank: float
    weights_moved: float
    seed: int


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
        init: the network at initialisation, rebuilt from the seed.
        trained: the network as trained.
        control: an ordinary network of the same interface, which has to fail.
        weights_moved: |W - W0| / |W0|.
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
    init: ModelResidual
    trained: ModelResidual
    control: ModelResidual
    weights_moved: float
    latent_std: float
    effective_rank: float
    breaks_at: str | None
    world: WorldResidual | None
    seed: int

    @property
    def variant(self) -> str:
        """Key among the section's variants: `so3/float64`."""
        return f"{self.group}/{self.dtype}"


@dataclass(frozen=True)
class Bin(Result):
    """One orientation bin of a sweep.

    Attributes:
        label: `40` (degrees) or a name.
        part: `rotation`, `translation`, `both` or `reflection`.
        from_wedge_deg: angle between the turned wedge's middle and the wedge.
        seen: `true`, `partial` or `false`.
        relmse: pooled error over the true displacement, in the model's own latent.
        components: the same in each named channel, for forward models.
        readout: read-out error of each target.
    """

    label: str
    part: str
    from_wedge_deg: float
    seen: str
    relmse: float
    components: dict[str, float]
    readout: dict[str, float]


@dataclass(frozen=True)
class ReadoutResult(Result):
    """Read-out error of one target, pooled and normalised by the true change.

    Attributes:
        seen: on the untouched held-out transitions.
        worst_unseen: the worst fully unseen bin.
        action_only: read-out of the change from the action alone; a model has to beat it.
        penalty: ridge penalty chosen by cross-validation.
        commutant: whether the read-out was restricted to equivariant maps.
    """

    seen: float
    worst_unseen: float
    action_only: float
    penalty: float
    commutant: bool


@dataclass(frozen=True)
class SymmetryExcess(Result):
    """World and model under a group larger than the world's.

    Attributes:
        group: the larger group's name.
        world: residual of the world's own step, relative to its displacement, worst over the elements.
        model: relative composed residual of the model, worst over the same elements.
        world_symmetric: whether the world carries the larger group.
        model_symmetric: whether the model does.
        agree: whether they agree; a model that carries more than its world is forced to wrong predictions.
    """

    group: str
    world: float
    model: float
    world_symmetric: bool
    model_symmetric: bool
    agree: bool


@dataclass(frozen=True)
class SweepResult(Result):
    """Section `sweep_group` (claim B).

    Attributes:
        group: the group's name.
        dtype: dtype of the evaluation.
        device: device of the evaluation.
        transitions: held-out transitions, turned into every bin.
        excluded: test transitions dropped by the world's guard, by reason.
        bins: one entry a bin; the first is the untouched one.
        seen: relMSE of the untouched bin.
        worst_ood: largest relMSE over the fully unseen bins.
        ood_factor: worst_ood / seen.
        flatness: max over bins of |relmse / seen - 1|.
        part_flatness: flatness over the bins of each part (rotation, translation, both, reflection) alone.
        readout: one entry a target.
        symmetry_excess: for groups larger than the world's, else None.
        parameters: trained scalars of the model.
        seed: seed of the held-out transitions.
    """

    group: str
    dtype: str
    device: str
    transitions: int
    excluded: dict[str, int]
    bins: list[Bin]
    seen: float
    worst_ood: float
    ood_factor: float
    flatness: float
    part_flatness: dict[str, float]
    readout: dict[str, ReadoutResult]
    symmetry_excess: SymmetryExcess | None
    parameters: int
    seed: int = field(default=0)

    @property
    def variant(self) -> str:
        """Key among the section's variants: `so3/float64`."""
        return f"{self.group}/{self.dtype}"


@dataclass(frozen=True)
class RolloutResult(Result):
    """Section `rollout`: lists with one entry a horizon.

    Attributes:
        group: the world's group, under which the residual is taken.
        dtype: dtype of the evaluation.
        device: device of the evaluation.
        space: where errors are measured: `state` (forward models), or the model's own `latent`.
        elements: group elements of the residual.
        horizons: steps H of a rollout.
        sequences: true sequences at seen orientations; as many, the same ones turned, at unseen ones.
        excluded: sequences that the world's guard dropped, by reason.
        seen_relmse: sum |z_H - E(s_H)|^2 / sum |E(s_H) - E(s_0)|^2 at seen orientations.
        ood_relmse: the same at unseen ones.
        ood_factor: ood_relmse / seen_relmse.
        relative_residual: of the H-step composition, from the same start under the turned plan (RMS, worst element).
        max_abs: its largest absolute entry.
        relmse_state: sum |z_H - E(s_H)|^2 / sum |E(s_H)|^2 at seen orientations.
        ood_relmse_state: the same at unseen ones.
        unmeasured: horizons of the default list that no sequence survives, and why.
        latent_std: spread of the latents of the starts.
        parameters: trained scalars of the model.
        seed: seed of the sequences and the elements.
    """

    group: str
    dtype: str
    device: str
    space: str
    elements: int
    horizons: list[int]
    sequences: list[int]
    excluded: list[dict[str, int]]
    seen_relmse: list[float]
    ood_relmse: list[float]
    ood_factor: list[float]
    relative_residual: list[float]
    max_abs: list[float]
    relmse_state: list[float]
    ood_relmse_state: list[float]
    unmeasured: dict[str, str]
    latent_std: float
    parameters: int
    seed: int

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


@dataclass(frozen=True)
class MeanEstimate(Result):
    """A mean over tasks with its 95% bootstrap interval; NaN (null) where it cannot be formed."""

    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class RatioEstimate(Result):
    """A ratio of means over tasks with its 95% bootstrap interval; NaN (null) where it cannot be formed."""

    ratio: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class PairedTestResult(Result):
    """A two-sided paired test over tasks.

    Attributes:
        statistic: positive differences (sign test), or the mean difference (sign-flip test).
        p: p-value; 1 where no task differs.
        n: tasks that were used.
    """

    statistic: float
    p: float
    n: int


@dataclass(frozen=True)
class SuccessRates(Result):
    """Share of the tasks that were solved: seen, over all unseen orientations, and at each of them.

    Attributes:
        seen: at the identity.
        ood: mean over the orbit.
        each: one entry an element of the orbit.
    """

    seen: float
    ood: float
    each: list[float]


@dataclass(frozen=True)
class ReferenceLine(Result):
    """What else could have driven the same tasks, at the identity.

    Attributes:
        name: what it is.
        error_deg: mean error of the scored pose.
        fraction_closed: share of the orientation gap that it closed.
        success: share of the tasks that it solved, final pose.
    """

    name: str
    error_deg: float
    fraction_closed: float
    success: float


@dataclass(frozen=True)
class Exclusion(Result):
    """An episode that the symmetry does not cover.

    Attributes:
        task: its number, from 0.
        orbit: label of its orientation.
        reason: why.
    """

    task: int
    orbit: str
    reason: str


@dataclass(frozen=True)
class ClosedLoopResult(Result):
    """Section `closed_loop` (claim C). Angles in degrees; lists over tasks and, within, over orientations.

    Attributes:
        planner: variant (`equivariant`, `paper`, `ordinary`).
        method: `cem` or `mppi`.
        goal: kind of cost.
        group: the world's group.
        dtype: dtype of the model.
        device: device of the model.
        tasks: number of tasks K.
        orbit: labels of the elements that every task was turned by; the identity, which comes first in the lists
            below, is not among them.
        scored: the pose that stands for an episode: `best` on the way, or `final`.
        criterion: `angle_deg` and `distance` below which a pose counts as reached.
        unit: of positions.
        initial_error_deg: angle between start and goal, K.
        error_deg: angle between scored pose and goal, K x (1 + orbit).
        position_error: distance of the same poses.
        solved: of each episode whether the pose met the criterion, for `any` and `final`, K x (1 + orbit).
        paired_pairs: pairs (task, element) that paired figures are over.
        paired_excluded: share of the pairs left out of them, one member having met a wall or diverged.
        paired_abs_max_deg: max |d_i|, d_i = error at the element - error at the identity.
        paired_abs_median_deg: median |d_i|.
        paired_above: pairs with |d_i| > 1e-6 degrees.
        paired_final_abs_max_deg: max |d_i| of the final pose's error.
        paired_ood_minus_seen: mean over tasks of their pairs' mean d_i.
        ood_minus_seen: mean over every task of (mean error over the orbit - error at the identity).
        ood_over_seen: mean error over the orbit / mean error at the identity, over every task.
        sign_test: of the paired means; those within 1e-6 degrees of 0 are ties.
        sign_flip_test: of the paired means.
        success_rate: `any` (the best pose on the way meets the criterion) and `final`, over every task.
        fraction_closed: share of the orientation gap closed, 1 - sum of errors / sum of initial errors: at the
            identity, and over the orbit.
        moved_deg: median turn of the body over an episode, at the identity.
        references: other lines on the same tasks.
        excluded: episodes left out of `paired_*`.
        verdict: `invariant`, `not invariant` or `inconclusive`.
        reason: why, in one line.
        passed: whether the verdict is `invariant`.
        parameters: trained scalars of the model.
        seed: of tasks, planner and orbit.
    """

    planner: str
    method: str
    goal: str
    group: str
    dtype: str
    device: str
    tasks: int
    orbit: list[str]
    scored: str
    criterion: dict[str, float]
    unit: str
    initial_error_deg: list[float]
    error_deg: list[list[float]]
    position_error: list[list[float]]
    solved: dict[str, list[list[bool]]]
    paired_pairs: int
    paired_excluded: float
    paired_abs_max_deg: float
    paired_abs_median_deg: float
    paired_above: int
    paired_final_abs_max_deg: float
    paired_ood_minus_seen: MeanEstimate
    ood_minus_seen: MeanEstimate
    ood_over_seen: RatioEstimate
    sign_test: PairedTestResult
    sign_flip_test: PairedTestResult
    success_rate: dict[str, SuccessRates]
    fraction_closed: dict[str, float]
    moved_deg: float
    references: list[ReferenceLine]
    excluded: list[Exclusion]
    verdict: str
    reason: str
    passed: bool
    parameters: int
    seed: int

    @property
    def variant(self) -> str:
        """Key among the section's variants: `equivariant/pose`; what differs from float64 and cem is named as well."""
        rest = [part for part, usual in ((self.dtype, "float64"), (self.method, "cem")) if part != usual]
        return "/".join([self.planner, self.goal, *rest])


@dataclass(frozen=True)
class AblationResult(Result):
    """Section `ablate` of a study.

    Attributes:
        kind: the stress test.
        world: the world it ran on.
        question: what it asks.
        answer: what its rows say, in one sentence.
        dims: dimensions.
        seeds: seeds.
        quick: whether it is the small version.
        rows: one a cell, arm and seed, as in `rows.csv`.
        failed: cells that ended in an error and networks that diverged, each with its message.
    """

    kind: str
    world: str
    question: str
    answer: str
    dims: list[int]
    seeds: list[int]
    quick: bool
    rows: list[dict[str, Any]]
    failed: list[str]


@dataclass(frozen=True)
class ReproducedRow(Result):
    """One statement of the paper, or of ours, beside what was measured.

    Attributes:
        claim: the claim's name.
        setting: world, kind of model and preset.
        quantity: what is measured.
        paper: the paper's figure as text; a dash where it has none.
        median: over seeds, or the estimate over tasks; NaN (null) where it cannot be formed.
        low, high: the range over seeds, or the 95% bootstrap interval over tasks.
        over: `seeds` or `tasks`.
        seeds: how many are in it.
        bound: in words; the whole of [low, high] has to lie within it.
        holds: whether it does; None where a run that it needs has failed.
        ours: whether the row says more than the paper does.
        command: the shell line that makes it by hand.
        runs: directories that it came from, below the study.
        seconds: CPU seconds of their training and of this measurement.
    """

    claim: str
    setting: str
    quantity: str
    paper: str
    median: float | None
    low: float | None
    high: float | None
    over: str
    seeds: int
    bound: str
    holds: bool | None
    ours: bool
    command: str
    runs: list[str]
    seconds: float


@dataclass(frozen=True)
class ClaimCost(Result):
    """What a claim cost beyond the claims before it, with which it shares runs.

    Attributes:
        claim: its name.
        text: what it says.
        cells: trainings and measurements.
        estimated: CPU seconds, from constants.
        seconds: CPU seconds, measured.
    """

    claim: str
    text: str
    cells: int
    estimated: float
    seconds: float


@dataclass(frozen=True)
class ReproductionResult(Result):
    """Section `reproduce` of a study.

    Attributes:
        quick: whether it is the smoke test.
        seeds: how many.
        sizes: what is smaller than in the full run, one line each.
        claims: what each claim cost.
        rows: one a statement.
        failed: cells that ended in an error, each with its message.
        passed: whether every row holds and nothing failed.
    """

    quick: bool
    seeds: int
    sizes: list[str]
    claims: list[ClaimCost]
    rows: list[ReproducedRow]
    failed: list[str]
    passed: bool
