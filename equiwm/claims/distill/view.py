"""How a distillation is shown."""

from __future__ import annotations

from equiwm.claims.distill.result import DistillResult, RoundResult
from equiwm.claims.view import View
from equiwm.results.measured import Measured
from equiwm.tables.columns import Column, Estimate
from equiwm.tables.table import Table, number, whole

SUCCESS: Column[DistillResult] = Column(
    "planner_success",
    "planner's success",
    lambda result: Estimate(result.rounds[0].success, *result.rounds[0].ci95),
    lambda value: number(value, 2),
)
PLANS: Column[DistillResult] = Column("plans", "plans", lambda result: result.plans, whole)
LABELS: Column[DistillResult] = Column("labels", "labels", lambda result: result.rounds[-1].labels, whole)
LOSS: Column[DistillResult] = Column("final_loss", "loss, last epoch", lambda result: result.final_loss)
DECISION: Column[DistillResult] = Column(
    "decision_ms", "a decision (ms)", lambda result: result.decision_ms, lambda value: number(value, 2)
)
PLAN: Column[DistillResult] = Column(
    "plan_ms", "a plan (ms)", lambda result: result.plan_ms, lambda value: number(value, 2)
)
SPEEDUP: Column[DistillResult] = Column(
    "speedup", "decisions a plan", lambda result: result.speedup, lambda value: number(value, 2)
)


def _network(result: DistillResult) -> str:
    return f"{result.encoder}, augmented" if result.augment else result.encoder


def _round(index: int, each: RoundResult) -> tuple[str, ...]:
    low, high = each.ci95
    return (
        str(index),
        f"{each.planner_share:.2f}",
        f"{each.success:.2f} [{low:.2f}, {high:.2f}]",
        f"{each.plans:,}",
        f"{each.labels:,}",
        number(each.loss),
    )


def distill_tables(measured: Measured[DistillResult], name: str) -> list[Table]:
    """What a distillation came to, then its rounds."""
    result = measured.result
    rows = [
        ("cloned from", result.teacher),
        ("network", _network(result)),
        ("parameters", f"{result.parameters:,}"),
        ("tasks", f"{result.task}, {result.tasks} a round"),
        *((column.heading, column.text(result)) for column in (PLANS, LABELS)),
        ("loss, first / last epoch", f"{number(result.first_loss)} / {number(result.final_loss)}"),
        ("CPU seconds: plans / fit", f"{result.plan_seconds:.1f} / {result.fit_seconds:.1f}"),
        ("a decision / a plan (ms)", f"{DECISION.text(result)} / {PLAN.text(result)}"),
        (SPEEDUP.heading, SPEEDUP.text(result)),
    ]
    headings = ("round", "planner's share", "solved [95%]", "plans", "labels", "loss")
    notes = (
        "In round 1 the planner drives; then stretches are the policy's with the rest of the share, and the planner "
        "labels where it stands. In rounds without a share the policy drives alone, as the round before left it, and "
        "learns plans near its own. What it solves in the end: equiwm closed-loop.",
    )
    return [
        Table(f"{name}: policy cloned from {result.teacher} (seed {result.seed})", ("quantity", "value"), rows),
        Table(f"{name}: rounds", headings, [_round(k, each) for k, each in enumerate(result.rounds, 1)], notes),
    ]


VIEW: View[DistillResult] = View(
    heading="Distilled policies",
    about="A policy cloned from a planner, and improved on the states that it visits itself.",
    columns=(SUCCESS, PLANS, LABELS, LOSS, DECISION, PLAN, SPEEDUP),
    tables=distill_tables,
    asked=_network,
    probe=lambda result: f"{result.task} tasks, {result.group.upper()}",
)
