"""A statement beside what was measured: what a reproduction and an ablation both answer with."""

from __future__ import annotations

from dataclasses import dataclass

from equiwm.results.result import Result


@dataclass(frozen=True, kw_only=True)
class DecidedStatement(Result):
    """One statement, the estimate that it is about, and whether it holds.

    Attributes:
        setting: where: world, kind of model, which model.
        quantity: what is measured.
        paper: the paper's figure as text; a dash where it has none.
        median: over seeds, or the estimate over tasks; None where it cannot be formed.
        low, high: the range over seeds, or the 95% bootstrap interval over tasks.
        over: `seeds` or `tasks`.
        seeds: how many are in it.
        bound: in words; the whole of [low, high] has to lie within it.
        holds: whether it does; None where something that it needs has failed.
        ours: whether it says more than the paper does.
    """

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
