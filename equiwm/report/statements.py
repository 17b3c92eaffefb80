"""Statements as they are shown: the measured estimate, and whether its bound holds."""

from __future__ import annotations

from collections.abc import Sequence

from equiwm.results.statement import DecidedStatement
from equiwm.stats import MedianRange
from equiwm.tables.table import Table, interval, number

HOLDS = {True: "yes", False: "NO", None: "open"}
MEASURED = "Measured: median [smallest, largest] over seeds. A row holds if the whole of the range is within the bound."
_NEAR_ONE = 1e-3


def measured(statement: DecidedStatement) -> str:
    """Median and range over seeds, or estimate and interval over tasks; factors near 1 to six digits."""
    if statement.median is None or statement.low is None or statement.high is None:
        return number(None)
    factor = "factor" in statement.quantity or "unseen / seen" in statement.quantity
    digits = 6 if factor and abs(statement.median - 1.0) < _NEAR_ONE else 3
    summary = MedianRange(statement.median, statement.low, statement.high, statement.seeds)
    return interval(summary, lambda value: number(value, digits))


def statement_table(title: str, statements: Sequence[DecidedStatement], notes: tuple[str, ...] = ()) -> Table:
    """One row a statement; the paper's figures where it has any."""
    in_paper = any(not each.ours for each in statements)
    columns = ("setting", "quantity", *["paper"] * in_paper, "measured", "holds", "bound")
    rows = [
        (
            each.setting,
            each.quantity,
            *[each.paper] * in_paper,
            measured(each),
            HOLDS[each.holds],
            each.bound,
        )
        for each in statements
    ]
    return Table(title, columns, rows, (MEASURED, *notes))
