"""Tables over seeds: a row a training, medians with their range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from equiwm.results.result import Result
from equiwm.tables.columns import SIZE, Column, Comparison
from equiwm.tables.table import Table

R = TypeVar("R", bound=Result)


def over_seeds(title: str, compared: Comparison[R], columns: Sequence[Column[R]], notes: tuple[str, ...] = ()) -> Table:
    """A row a training and a column a quantity."""
    rows = [
        (line.label, str(len(line.results)), *line.size, *(column.cell(line.results) for column in columns))
        for line in compared.lines
    ]
    headings = ("model", "seeds", *SIZE, *(column.heading for column in columns))
    return Table(f"{title}: {compared.name}", headings, rows, notes)


def where_it_applies(title: str, compared: Comparison[R], columns: Sequence[Column[R]]) -> Iterator[Table]:
    """`over_seeds` of the trainings to which the quantities apply; no table if there is none."""
    lines = tuple(
        line
        for line in compared.lines
        if any(column.value(result) is not None for column in columns for result in line.results)
    )
    if lines:
        yield over_seeds(title, Comparison(compared.name, lines), columns)


def place_by_place(title: str, compared: Comparison[R], heading: str, columns: Sequence[Column[R]]) -> Iterator[Table]:
    """A row a training and place, of quantities that are measured at the same places; no table if there is none."""
    everything = [result for line in compared.lines for result in line.results]
    rows = [
        (line.label, place, str(len(line.results)), *(column.cell(line.results, place) for column in columns))
        for line in compared.lines
        for place in columns[0].places(everything)
        if place in columns[0].places(line.results)
    ]
    if rows:
        headings = ("model", heading, "seeds", *(column.heading for column in columns))
        yield Table(f"{title}: {compared.name}", headings, rows, keys=2)


def across_places(
    title: str, compared: Comparison[R], column: Column[R], places: Sequence[str], heading: str = "{}"
) -> Table:
    """A row a training and a column a place, of one quantity; `heading` with the place in it heads a column."""
    rows = [
        (line.label, str(len(line.results)), *line.size, *(column.cell(line.results, place) for place in places))
        for line in compared.lines
    ]
    headings = ("model", "seeds", *SIZE, *(heading.format(place) for place in places))
    return Table(f"{title}: {compared.name}", headings, rows)
