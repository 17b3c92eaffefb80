"""Section `distill` of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass

from equiwm.results.result import Real, Result


@dataclass(frozen=True)
class RoundResult(Result):
    """One round.

    Attributes:
        planner_share: of the stretches that the planner drove.
        success: share of the round's tasks that were solved so: the planner's own in the first round, and of the
            policy as it was before in a round that improves it.
        ci95: its Wilson interval.
        plans: that were made.
        labels: decisions that were learnt from, those of earlier rounds included.
        loss: of the round's last epoch.
    """

    planner_share: float
    success: float
    ci95: tuple[float, float]
    plans: int
    labels: int
    loss: float


@dataclass(frozen=True)
class DistillResult(Result):
    """Section `distill`.

    Attributes:
        teacher: run whose planner was cloned.
        teacher_sha256: of its weights.
        encoder: kind of network.
        augment: whether labels were turned.
        task: the tasks that it was cloned on.
        group: the world's.
        parameters: trained scalars.
        tasks: of each round.
        rounds: one entry a round.
        first_loss, final_loss: mean squared error of an action, first and last epoch.
        plan_seconds: CPU seconds of all rounds' episodes, plans and simulation.
        fit_seconds: CPU seconds of the epochs.
        decision_ms: CPU milliseconds of one decision of the policy, one observation, float32; the median.
        plan_ms: of one plan, likewise. These four differ between runs.
        seed: of tasks, weights and order.
    """

    teacher: str
    teacher_sha256: str
    encoder: str
    augment: bool
    task: str
    group: str
    parameters: int
    tasks: int
    rounds: list[RoundResult]
    first_loss: float
    final_loss: float
    plan_seconds: float
    fit_seconds: float
    decision_ms: Real
    plan_ms: Real
    seed: int

    @property
    def plans(self) -> int:
        """Of all rounds."""
        return sum(each.plans for each in self.rounds)

    @property
    def speedup(self) -> float:
        """How many decisions take as long as a plan."""
        return self.plan_ms / self.decision_ms

    @property
    def misfit(self) -> str | None:
        """Whether there is no round."""
        return None if self.rounds else "it has no round"
