"""Section `reproduce` of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equiwm.results.measured import Provenance
from equiwm.results.result import Result
from equiwm.results.statement import DecidedStatement


@dataclass(frozen=True)
class MeasuredCell(Result):
    """What a cell of a reproduction keeps of a measurement.

    Attributes:
        section: of metrics.json.
        result: the measurement as it is stored, of the type that its command says.
        provenance: the run that was measured.
    """

    section: str
    result: dict[str, Any]
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class ReproducedRow(DecidedStatement):
    """One statement of the paper, or of ours, beside what was measured, and where it comes from.

    Attributes:
        claim: the claim's name.
        command: the shell line that makes it by hand.
        runs: directories that it came from, below the study.
        seconds: CPU seconds of their training and of this measurement.
        dtype: that the model was evaluated in; empty in studies that do not say it.
    """

    claim: str
    command: str
    runs: list[str]
    seconds: float
    dtype: str = ""


@dataclass(frozen=True)
class ClaimCost(Result):
    """What a claim cost beyond the claims before it, with which it shares runs.

    Attributes:
        claim: its name.
        text: what it says.
        cells: trainings and measurements.
        estimated: CPU seconds before it was computed, from cells measured elsewhere; None where a cell never was.
        seconds: CPU seconds, measured.
    """

    claim: str
    text: str
    cells: int
    estimated: float | None
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
