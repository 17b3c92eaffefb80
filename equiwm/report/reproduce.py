"""Tables of the section `reproduce`: the paper against a run, what goes beyond it, and where each row comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from equiwm.stats import MedianRange
from equiwm.tables.table import Table, interval, number

Row = Mapping[str, Any]

_HOLDS = {True: "yes", False: "NO", None: "open"}
SMOKE_TEST = "A smoke test: one seed or few, and sizes too small to judge a claim by."


def _ours(row: Row) -> str:
    """Median and range over seeds, or estimate and interval over tasks."""
    if row["median"] is None:
        return "–"
    near_one = "factor" in row["quantity"] or "unseen / seen" in row["quantity"]
    digits = 6 if near_one and abs(row["median"] - 1.0) < 1e-3 else 3
    summary = MedianRange(row["median"], row["low"], row["high"], row["seeds"])
    return interval(summary, lambda value: number(value, digits))


def _numbered(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """Each row with a name: A1, A2, ..., B1, ..."""
    counts: dict[str, int] = {}
    named = []
    for row in rows:
        counts[row["claim"]] = counts.get(row["claim"], 0) + 1
        named.append((f"{row['claim']}{'-' * (len(row['claim']) > 1)}{counts[row['claim']]}", row))
    return named


def reproduce_tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """Section `reproduce`: the paper's statements, ours beyond them, the command behind each row, and the cost."""
    rows = _numbered(entry["rows"])
    seeds = f"{entry['seeds']} seed{'s' * (entry['seeds'] > 1)}"
    size = f"{seeds}, smoke test" if entry["quick"] else seeds
    notes = (
        "Ours: median [smallest, largest] over seeds, or the estimate with its 95% bootstrap interval over tasks. A "
        "row holds if the whole of the range or interval is within the bound.",
        *((SMOKE_TEST + " Smaller than in full: " + "; ".join(entry["sizes"]) + ".",) if entry["quick"] else ()),
        *(f"failed: {line}" for line in entry["failed"]),
    )
    columns = ("row", "setting", "quantity", "paper", "ours", "holds", "bound")
    of_paper = [
        (key, row["setting"], row["quantity"], row["paper"], _ours(row), _HOLDS[row["holds"]], row["bound"])
        for key, row in rows
        if not row["ours"]
    ]
    beyond = [
        (key, row["setting"], row["quantity"], _ours(row), _HOLDS[row["holds"]], row["bound"])
        for key, row in rows
        if row["ours"]
    ]
    tables = [Table(f"{name}: the paper and this run ({size})", columns, of_paper, notes)]
    if beyond:
        heading = f"{name}: ours, beyond the paper ({size})"
        tables.append(Table(heading, tuple(column for column in columns if column != "paper"), beyond))
    return [*tables, _commands(rows, name), _costs(entry, name)]


def _commands(rows: Sequence[tuple[str, Row]], name: str) -> Table:
    """One row for all that a command makes."""
    made: dict[str, list[tuple[str, Row]]] = {}
    for key, row in rows:
        made.setdefault(row["command"], []).append((key, row))
    cells = []
    for command, members in made.items():
        first = members[0][1]
        more = f" and {len(first['runs']) - 1} more seeds" if len(first["runs"]) > 1 else ""
        cells.append(
            (", ".join(key for key, _ in members), command, f"{first['runs'][0]}{more}", f"{first['seconds']:.0f}")
        )
    note = "CPU seconds of the training and of this measurement, over all seeds; rows may share trainings."
    return Table(f"{name}: where the rows come from", ("rows", "command", "runs", "CPU s"), cells, (note,))


def _costs(entry: Mapping[str, Any], name: str) -> Table:
    cells = [
        (claim["claim"], claim["text"], str(claim["cells"]), _minutes(claim["estimated"]), _minutes(claim["seconds"]))
        for claim in entry["claims"]
    ]
    whole = [sum(claim[key] for claim in entry["claims"]) for key in ("cells", "estimated", "seconds")]
    cells.append(("all", "", str(whole[0]), _minutes(whole[1]), _minutes(whole[2])))
    columns = ("claim", "what it says", "cells", "estimated, CPU min", "measured, CPU min")
    return Table(f"{name}: cost; what claims share is counted once", columns, cells)


def estimate_table(costs: Sequence[tuple[str, str, int, float, float]], jobs: int) -> Table:
    """What claims are going to cost.

    Args:
        costs: name, what it says, cells, CPU seconds and seconds on the jobs, of each claim.
        jobs: processes; -1 is every core.
    """
    on = "every core" if jobs == -1 else f"{jobs} core{'s' * (jobs > 1)}"
    cells = [(claim, text, str(count), _minutes(cpu), _minutes(wall)) for claim, text, count, cpu, wall in costs]
    whole = [sum(cost[index] for cost in costs) for index in (2, 3, 4)]  # type: ignore[misc]
    cells.append(("all", "", str(whole[0]), _minutes(whole[1]), _minutes(whole[2])))
    columns = ("claim", "what it says", "cells", "CPU min", f"min on {on}")
    return Table("estimated cost; what claims share is counted once", columns, cells)


def _minutes(seconds: float) -> str:
    return number(seconds / 60.0, 2)
