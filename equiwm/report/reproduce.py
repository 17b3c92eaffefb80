"""Tables of the section `reproduce`: the paper against a run, what goes beyond it, and where each row comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from equiwm.report.statements import HOLDS, measured
from equiwm.results.reproduction import ReproducedRow, ReproductionResult
from equiwm.results.statement import FAR
from equiwm.tables.table import Table, number

SMOKE_TEST = "A smoke test: one seed or few, and sizes too small to judge a claim by."
NO_ESTIMATE = "–: not every cell was measured before (no reference runs, or other sizes), so there is no estimate."


def _numbered(rows: Sequence[ReproducedRow]) -> list[tuple[str, ReproducedRow]]:
    """Each row with a name: A1, A2, ..., B1, ..."""
    counts: Counter[str] = Counter()
    named = []
    for row in rows:
        counts[row.claim] += 1
        named.append((f"{row.claim}{'-' * (len(row.claim) > 1)}{counts[row.claim]}", row))
    return named


def reproduce_tables(result: ReproductionResult, name: str) -> list[Table]:
    """Section `reproduce`: the paper's statements, ours beyond them, the command behind each row, and the cost.

    Args:
        result: the section.
        name: the study's name.
    """
    rows = _numbered(result.rows)
    seeds = f"{result.seeds} seed{'s' * (result.seeds > 1)}"
    size = f"{seeds}, smoke test" if result.quick else seeds
    far = (
        f", however far it is from the paper's figure; far is beyond {FAR:g} times it, or below a part of it that small"
        if any(not row.ours for _, row in rows)
        else ""
    )
    notes = (
        "Ours: median [smallest, largest] over seeds." + _over_both(rows),
        f"A row holds if the whole of the range or interval is within the bound{far}. All seeds share one probe set.",
        *((SMOKE_TEST + " Smaller than in full: " + "; ".join(result.sizes) + ".",) if result.quick else ()),
        *(f"failed: {line}" for line in result.failed),
    )
    columns = ("row", "setting", "dtype", "quantity", "paper", "ours", "times the paper's", "holds", "bound")
    of_paper = [
        (
            *(key, row.setting, row.dtype or "–", row.quantity, row.paper, measured(row), _times(row)),
            *(HOLDS[row.holds], row.bound),
        )
        for key, row in rows
        if not row.ours
    ]
    beyond = [
        (key, row.setting, row.dtype or "–", row.quantity, measured(row), HOLDS[row.holds], row.bound)
        for key, row in rows
        if row.ours
    ]
    tables = []
    if of_paper or not beyond:
        tables.append(Table(f"{name}: the paper and this run ({size})", columns, of_paper, notes))
    if beyond:
        heading = f"{name}: ours, beyond the paper ({size})"
        shown = tuple(column for column in columns if "paper" not in column)
        tables.append(Table(heading, shown, beyond, () if of_paper else notes))
    return [*tables, _commands(rows, name), _costs(result, name)]


def _over_both(rows: Sequence[tuple[str, ReproducedRow]]) -> str:
    """Which rows have an interval in place of a range, and over what."""
    named: dict[str, list[str]] = {}
    for key, row in rows:
        if row.over != "seeds":
            named.setdefault(row.over, []).append(key)
    return "".join(
        f" Of {', '.join(keys)}: the estimate with its 95% bootstrap interval over {over}."
        for over, keys in named.items()
    )


def _times(row: ReproducedRow) -> str:
    times = row.times_paper
    return number(None) if times is None else number(times, 2) + ", far" * row.is_far


def _commands(rows: Sequence[tuple[str, ReproducedRow]], name: str) -> Table:
    """One row for all that a command makes."""
    made: dict[str, list[tuple[str, ReproducedRow]]] = {}
    for key, row in rows:
        made.setdefault(row.command, []).append((key, row))
    cells = []
    for command, members in made.items():
        first = members[0][1]
        more = f" and {len(first.runs) - 1} more seeds" if len(first.runs) > 1 else ""
        cells.append((", ".join(key for key, _ in members), command, f"{first.runs[0]}{more}", f"{first.seconds:.0f}"))
    note = "CPU seconds of the training and of this measurement, over all seeds; rows may share trainings."
    return Table(f"{name}: where the rows come from", ("rows", "command", "runs", "CPU s"), cells, (note,))


def _costs(result: ReproductionResult, name: str) -> Table:
    cells = [
        (cost.claim, cost.text, str(cost.cells), _minutes(cost.estimated), _minutes(cost.seconds))
        for cost in result.claims
    ]
    estimated = _sum([cost.estimated for cost in result.claims])
    spent = sum(cost.seconds for cost in result.claims)
    cells.append(("all", "", str(sum(cost.cells for cost in result.claims)), _minutes(estimated), _minutes(spent)))
    columns = ("claim", "what it says", "cells", "estimated, CPU min", "measured, CPU min")
    return Table(f"{name}: cost; what claims share is counted once", columns, cells)


@dataclass(frozen=True)
class ClaimEstimate:
    """What a claim is going to cost.

    Attributes:
        claim: its name.
        text: what it says.
        cells: how many.
        seconds: CPU seconds; None where they are not known.
        wall: seconds on the jobs; None where they are not known.
    """

    claim: str
    text: str
    cells: int
    seconds: float | None
    wall: float | None


def estimate_table(estimates: Sequence[ClaimEstimate], jobs: int) -> Table:
    """What claims are going to cost, by cells that were measured before.

    Args:
        estimates: one a claim.
        jobs: processes; -1 is every core.
    """
    on = "every core" if jobs == -1 else f"{jobs} core{'s' * (jobs > 1)}"
    cells = [
        (each.claim, each.text, str(each.cells), _minutes(each.seconds), _minutes(each.wall)) for each in estimates
    ]
    cpu, wall = _sum([each.seconds for each in estimates]), _sum([each.wall for each in estimates])
    cells.append(("all", "", str(sum(each.cells for each in estimates)), _minutes(cpu), _minutes(wall)))
    columns = ("claim", "what it says", "cells", "CPU min", f"min on {on}")
    notes = (NO_ESTIMATE,) if cpu is None else ()
    return Table("estimated cost, from cells measured before; what claims share is counted once", columns, cells, notes)


def _sum(numbers: Sequence[float | None]) -> float | None:
    known = [each for each in numbers if each is not None]
    return sum(known) if len(known) == len(numbers) else None


def _minutes(seconds: float | None) -> str:
    return number(None if seconds is None else seconds / 60.0, 2)
