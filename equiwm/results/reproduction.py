"""Section `reproduce` of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass

from equiwm.results.result import Result


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
