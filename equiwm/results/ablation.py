"""Section `ablate` of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equiwm.results.result import Result


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
