"""Section `closed_loop` of metrics.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from equiwm.results.result import UNKNOWN, FileName, Real, Result

POLICY = "policy"
"""What `planner` says where a policy acted, and nothing was planned."""

Points = list[list[list[float]]]
"""Of several episodes, or of several steps of one: M x K x d."""


@dataclass(frozen=True)
class MeanEstimate(Result):
    """A mean over tasks with its 95% bootstrap interval; NaN where it cannot be formed."""

    mean: Real
    ci95: tuple[Real, Real]


@dataclass(frozen=True)
class RatioEstimate(Result):
    """A ratio of means over tasks with its 95% bootstrap interval; NaN where it cannot be formed."""

    ratio: Real
    ci95: tuple[Real, Real]


@dataclass(frozen=True)
class PairedTestResult(Result):
    """A two-sided paired test over tasks.

    Attributes:
        statistic: positive differences (sign test), or the mean difference (sign-flip test).
        p: p-value; 1 where no task differs.
        n: tasks that were used.
    """

    statistic: Real
    p: Real
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
    ood: Real
    each: list[float]


@dataclass(frozen=True)
class ChannelError(Result):
    """One quantity that the goal names, in its own unit.

    Attributes:
        name: of the quantity.
        unit: of what follows.
        tolerance: an error below this is reached.
        error: of the scored pose, K x (1 + orbit).
        paired_abs_max: max over pairs of |error at the element - error at the identity|; NaN where nothing is paired.
    """

    name: str
    unit: str
    tolerance: float
    error: list[list[float]]
    paired_abs_max: Real


@dataclass(frozen=True)
class CriterionRate(Result):
    """How often a criterion was met, over every episode, those at the walls among them.

    Attributes:
        asks: what it asks, in words.
        success: share of the episodes as the tasks stand.
        ci95: its Wilson score interval.
        turned: share over the orbit; NaN where nothing was turned.
        turned_ci95: its Wilson interval, as if every episode stood for itself.
        turned_minus_seen: the one less the other, over the same tasks; NaN likewise.
        at_start: episodes, as the tasks stand, that met it before anything was done.
        met: of each episode whether it met it, K x (1 + orbit).
    """

    asks: str
    success: Real
    ci95: tuple[Real, Real]
    turned: Real
    turned_ci95: tuple[Real, Real]
    turned_minus_seen: Real
    at_start: int
    met: list[list[bool]]


@dataclass(frozen=True)
class Reached(Result):
    """Below what a pose counts as reached: degrees, and the world's unit."""

    angle_deg: float
    distance: float


@dataclass(frozen=True)
class Solved(Result):
    """Of each episode whether it was solved, K x (1 + orbit): by the best pose on the way (any), or the final one."""

    any: list[list[bool]]
    final: list[list[bool]]


@dataclass(frozen=True)
class Success(Result):
    """Success rates by the best pose on the way (any), and by the final one."""

    any: SuccessRates
    final: SuccessRates


@dataclass(frozen=True)
class GapClosed(Result):
    """Share of the orientation gap closed, at the identity and over the orbit."""

    seen: Real
    ood: Real


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
    fraction_closed: Real
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
class Paths(Result):
    """Where K points were, at M orientations and S steps, in the world's coordinates.

    Attributes:
        parts: what each point belongs to, K.
        track: M x S x K x d.
        goal: the points at the goal, M x K x d.
        track_back, goal_back: the same, moved back by the inverse of the element.
    """

    parts: list[str]
    track: list[Points]
    goal: Points
    track_back: list[Points]
    goal_back: Points


@dataclass(frozen=True)
class Ranking(Result):
    """How candidates were scored where they are ranked in float32 and chosen in float64 (`planning.ranking`).

    Attributes:
        candidates: that were ranked.
        again: of them scored again in float64, near a choice.
        wholly: of them scored again because their call fell back to float64: too near a tie, or to the rounding.
    """

    candidates: int = 0
    again: int = 0
    wholly: int = 0


@dataclass(frozen=True)
class TaskResult(Result):
    """One task at the identity and at every element of its orbit: M orientations, S + 1 poses.

    Attributes:
        angle_deg: from the goal, M x (S + 1).
        distance: of the same poses.
        moved_deg: between first and last pose, M.
        steered_deg: between the last pose and that of the same episode without actions, at the identity; NaN of a
            controller other than the model.
        excluded: why the symmetry does not cover an episode, or None, M.
        points: where they were asked for.
        channels: of a goal by channels the error of each in its unit, M x (S + 1); the angle is then the largest of
            them in tolerances.
        reached: criterion by source -> whether an episode met it at any step, M.
        begun: and at its start.
        reward: largest reward of an episode, M; empty in a world that nobody else measures.
        ranking: how the candidates of its plans were scored.
    """

    angle_deg: list[list[float]]
    distance: list[list[float]]
    moved_deg: list[float]
    excluded: list[str | None]
    points: Paths | None = None
    steered_deg: Real = UNKNOWN
    channels: dict[str, list[list[float]]] = field(default_factory=dict)
    reached: dict[str, list[bool]] = field(default_factory=dict)
    begun: dict[str, list[bool]] = field(default_factory=dict)
    reward: list[Real] = field(default_factory=list)
    ranking: Ranking = Ranking()


@dataclass(frozen=True)
class Recording:
    """The episodes of one task, for figures alone.

    Attributes:
        task: its number.
        video: whether a video was asked for.
        points: where they went.
    """

    task: int
    video: bool
    points: Paths


@dataclass(frozen=True)
class ClosedLoopResult(Result):
    """Section `closed_loop` (claim C). Angles in degrees; lists over tasks and, within, over orientations.

    Attributes:
        planner: variant (`equivariant`, `paper`, `ordinary`); `policy` where one acted.
        method: `cem` or `mppi`; `network` of a policy.
        goal: kind of cost; of a policy its name.
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
        steered_deg: median angle between the last pose and that of the same episode without actions, at the identity:
            what the controller did. NaN in results from before it was asked.
        references: other lines on the same tasks.
        excluded: episodes left out of `paired_*`.
        verdict: `invariant`, `not invariant` or `inconclusive`.
        reason: why, in one line.
        passed: whether the verdict is `invariant`.
        parameters: trained scalars of the model.
        seed: of tasks, planner and orbit.
        measure: unit of everything that is called `deg` here: `deg`, or, of a goal by channels, `tolerances`.
        channels: of a goal by channels the errors of each in its own unit.
        unturned: why no task was turned, so that nothing is paired; empty where they were.
        task: `own`, or the name of the tasks that others measure this world by.
        criteria: by source, how often the criterion of each was met.
        mean_max_reward: mean over the tasks, as they stand, of the largest reward of an episode; NaN without rewards.
        max_reward: that of each episode, K x (1 + orbit).
        episodes: episodes that were driven, over all orientations.
        seconds_per_episode: mean CPU seconds of one, planning and simulation together; NaN of the world's own tasks,
            whose results are the same every time.
        sees: what the policy observes.
        goals: where starts and goals come from.
        ranking: how the candidates of the model's plans were scored; zeros where none were ranked.
        policy_sha256: of the policy's weights; None where a planner acted.
    """

    planner: FileName
    method: FileName
    goal: FileName
    group: str
    dtype: FileName
    device: str
    tasks: int
    orbit: list[str]
    scored: str
    criterion: Reached
    unit: str
    initial_error_deg: list[float]
    error_deg: list[list[float]]
    position_error: list[list[float]]
    solved: Solved
    paired_pairs: int
    paired_excluded: Real
    paired_abs_max_deg: Real
    paired_abs_median_deg: Real
    paired_above: int
    paired_final_abs_max_deg: Real
    paired_ood_minus_seen: MeanEstimate
    ood_minus_seen: MeanEstimate
    ood_over_seen: RatioEstimate
    sign_test: PairedTestResult
    sign_flip_test: PairedTestResult
    success_rate: Success
    fraction_closed: GapClosed
    moved_deg: float
    references: list[ReferenceLine]
    excluded: list[Exclusion]
    verdict: str
    reason: str
    passed: bool
    parameters: int
    seed: int
    steered_deg: Real = UNKNOWN
    measure: str = "deg"
    channels: list[ChannelError] = field(default_factory=list)
    unturned: str = ""
    task: FileName = "own"
    criteria: dict[str, CriterionRate] = field(default_factory=dict)
    mean_max_reward: Real = UNKNOWN
    max_reward: list[list[Real]] = field(default_factory=list)
    episodes: int = 0
    seconds_per_episode: Real = UNKNOWN
    sees: str = ""
    goals: str = ""
    ranking: Ranking = Ranking()
    policy_sha256: str | None = None

    @property
    def variant(self) -> str:
        """Key among the section's variants: `equivariant/pose`, `policy/NAME`; what differs from float64, cem and the
        world's own tasks is named as well."""
        method = "network" if self.planner == POLICY else "cem"
        usual = ((self.dtype, "float64"), (self.method, method), (self.task, "own"))
        rest = [part for part, default in usual if part != default]
        return "/".join([self.planner, self.goal, *rest])

    @property
    def misfit(self) -> str | None:
        """A list that has not one entry a task, and within one an orientation."""
        if self.tasks < 1 or not (self.orbit or self.unturned) or len(set(self.orbit)) < len(self.orbit):
            return "it has no task, no orbit, or two elements of one label"
        if len(self.initial_error_deg) != self.tasks:
            return f"initial_error_deg has {len(self.initial_error_deg)} entries, expected {self.tasks}"
        tables: dict[str, Sequence[Sequence[float]]] = {
            "error_deg": self.error_deg,
            "position_error": self.position_error,
            "solved.any": self.solved.any,
            "solved.final": self.solved.final,
            **{f"channels.{channel.name}": channel.error for channel in self.channels},
            **{f"criteria.{source}": rate.met for source, rate in self.criteria.items()},
            **({"max_reward": self.max_reward} if self.max_reward else {}),
        }
        for name, rows in tables.items():
            if len(rows) != self.tasks or any(len(row) != 1 + len(self.orbit) for row in rows):
                return f"{name} is not {self.tasks} tasks x {1 + len(self.orbit)} orientations"
        rates = (self.success_rate.any.each, self.success_rate.final.each)
        if any(len(each) != len(self.orbit) for each in rates):
            return (
                f"success_rate has {[len(each) for each in rates]} entries, expected {len(self.orbit)}, one an element"
            )
        return None
