"""How a training is shown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from equiwm.claims.view import View
from equiwm.results.measured import Measured
from equiwm.results.train import TrainResult
from equiwm.tables.columns import SIZE, Column, Comparison
from equiwm.tables.table import Table, number, whole

TRANSITIONS: Column[TrainResult] = Column(
    "transitions", "transitions", lambda result: result.transitions, whole, "training transitions"
)
FIRST: Column[TrainResult] = Column("first_loss", "loss, first epoch", lambda result: result.first_loss)
LAST: Column[TrainResult] = Column("final_loss", "loss, last epoch", lambda result: result.final_loss)
SPREAD: Column[TrainResult] = Column("latent_std", "latent spread", lambda result: result.latent_std)
RANK: Column[TrainResult] = Column(
    "effective_rank", "rank", lambda result: result.effective_rank, label="effective rank"
)
MOVED: Column[TrainResult] = Column(
    "weights_moved", "moved", lambda result: result.weights_moved, label="weights moved |W - W0| / |W0|"
)
SECONDS: Column[TrainResult] = Column("seconds", "seconds", lambda result: result.seconds)


def train_tables(measured: Measured[TrainResult], name: str) -> list[Table]:
    """What one training came to."""
    result = measured.result
    dropped = sum(result.excluded.values())
    transitions = TRANSITIONS.text(result) + (f" ({dropped:,} excluded)" if dropped else "")
    rows = [
        ("parameters", f"{result.parameters:,}"),
        (TRANSITIONS.label, transitions),
        *((column.label or column.heading, column.text(result)) for column in (FIRST, LAST, SPREAD, RANK, MOVED)),
        (SECONDS.heading, f"{result.seconds:.1f}"),
    ]
    notes = tuple(f"excluded: {count:,} transitions, {reason}" for reason, count in result.excluded.items() if count)
    return [Table(f"{name}: training (seed {result.seed})", ("quantity", "value"), rows, notes)]


def seeds_table(results: Sequence[TrainResult], name: str) -> Table:
    """Several seeds, with the medians."""
    columns = {"loss": LAST, SPREAD.heading: SPREAD, RANK.heading: RANK, SECONDS.heading: SECONDS}
    rows = [(str(result.seed), *(column.text(result) for column in columns.values())) for result in results]
    values = [[column.at(result) for result in results] for column in columns.values()]
    medians = [statistics.median(value for value in row if isinstance(value, float | int)) for row in values]
    rows.append(("median", *map(number, medians)))
    return Table(f"{name}: training of {len(results)} seeds", ("seed", *columns), rows)


def overview(compared: Sequence[Comparison[TrainResult]]) -> Iterator[Table]:
    """Every model: its seeds, its baseline, its size and what its trainings came to."""
    columns = (TRANSITIONS, LAST, SPREAD, RANK, MOVED, SECONDS)
    for each in compared:
        rows = [
            (
                line.label,
                ", ".join(map(str, line.seeds)),
                line.baseline or "–",
                *line.size,
                *(column.cell(line.results) for column in columns),
            )
            for line in each.lines
        ]
        headings = ("model", "seeds", "baseline", *SIZE, *(column.heading for column in columns))
        yield Table("Trained models: median over seeds [range]", headings, rows)


VIEW: View[TrainResult] = View(
    heading="Training",
    columns=(TRANSITIONS, FIRST, LAST, SPREAD, RANK, MOVED, SECONDS),
    tables=train_tables,
    headlines=(TRANSITIONS, LAST, SPREAD),
    overview=overview,
    every_setting=True,
)
