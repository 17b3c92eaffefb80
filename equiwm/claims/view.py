"""How the results of a claim are shown: its columns, the tables and figures made of them. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from equiwm.errors import ResultError
from equiwm.printable import check_component, quoted
from equiwm.results.measured import Measured
from equiwm.results.result import Result
from equiwm.tables.columns import Column, Comparison
from equiwm.tables.seeds import over_seeds, place_by_place
from equiwm.tables.table import Table

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Drawing:
    """A figure that could be drawn.

    Attributes:
        name: of its files, without their ending.
        draw: draws it into a folder, with the CSV it was drawn from, and gives the path of the PNG, or of what takes
            its place in another medium (`equiwm.figures.medium`).
        about: what it shows, in a sentence without its full stop: for a caption, and for who cannot see it.
    """

    name: str
    draw: Callable[[Path], Path]
    about: str = ""

    def __post_init__(self) -> None:
        """Refuse a name that leads out of the folder: it may be made of what a stranger's result says.

        Raises:
            ResultError: such a name.
        """
        if (wrong := check_component(self.name)) is not None:
            raise ResultError(f"got {quoted(self.name)} as the name of a figure, {wrong}.")


@dataclass(frozen=True)
class Shown(Generic[R]):
    """What the figures of an invocation are drawn from.

    Attributes:
        measured: the result, and its baseline's.
        name: of the run.
        figures: the run's folder of figures, where files lie that the command left beside its result.
        recordings: what the command kept in memory besides the results, by name of run; empty when it is drawn again.
    """

    measured: Measured[R]
    name: str
    figures: Path
    recordings: Mapping[str, object] = field(default_factory=dict)

    @property
    def sides(self) -> dict[str, R]:
        """The results by name of run."""
        return self.measured.sides(self.name)


@dataclass(frozen=True)
class Factor(Generic[R]):
    """The quantity by which models and baselines stand side by side in the figure of a whole report.

    Attributes:
        column: error at unseen over error at seen orientations.
        test: result -> what the test is called; None leaves the result out.
        place: what is said of the place, if the column has places; of those that all results have the last is taken.
    """

    column: Column[R]
    test: Callable[[R], str | None]
    place: str = " at {}"


@dataclass(frozen=True)
class View(Generic[R]):
    """How a claim is shown.

    Attributes:
        heading: of its chapter in a report.
        about: one sentence on what was done, or nothing.
        columns: every quantity, in the order of the tidy CSV.
        tables: result and name of the run -> the tables of one run; None is a row a column.
        overview: comparisons -> the tables over seeds; None is a row a training.
        drawings: the figures of an invocation; None is none.
        asked: result -> what was asked for (`SO2, float32`); seeds are put together within it.
        probe: result -> what it was measured on (`36 bins x 500 transitions`); only equal ones are compared.
        factor: of the figure of OOD factors, or None.
        every_setting: whether the overview is one table of all trainings, measured or not.
        headlines: the quantities that stand for a result in the summary of its run; the first columns, if it is empty.
        entry: of a study: result -> what it asks, and what came of it, where it stands as one line among other runs.
    """

    heading: str
    about: str = ""
    columns: tuple[Column[R], ...] = ()
    tables: Callable[[Measured[R], str], list[Table]] | None = None
    overview: Callable[[Sequence[Comparison[R]]], Iterator[Table]] | None = None
    drawings: Callable[[Shown[R]], Iterator[Drawing]] | None = None
    asked: Callable[[R], str] = lambda result: ""
    probe: Callable[[R], str] = lambda result: ""
    factor: Factor[R] | None = None
    every_setting: bool = False
    headlines: tuple[Column[R], ...] = ()
    entry: Callable[[R], tuple[str, str]] | None = None

    def tables_of(self, measured: Measured[R], name: str) -> list[Table]:
        """The tables of one run."""
        if self.tables is not None:
            made = self.tables(measured, name)
            if not isinstance(made, list) or not all(isinstance(table, Table) for table in made):
                raise TypeError(f"expected a list of Table, got {made!r}")
            return made
        sides = measured.sides(name)
        rows = []
        for column in self.columns:
            places: list[str | None] = [*column.places(list(sides.values()))]
            rows += [
                (_at(column, place), *(column.cell([result], place) for result in sides.values()))
                for place in places or [None]
            ]
        return [Table(f"{name}: {self.heading}", ("quantity", *sides), rows)]

    def tables_over_seeds(self, compared: Sequence[Comparison[R]]) -> list[Table]:
        """The tables over seeds."""
        if self.overview is not None:
            return list(self.overview(compared))
        tables = []
        for each in compared:
            results = [result for line in each.lines for result in line.results]
            placed = [column for column in self.columns if column.places(results)]
            whole = [column for column in self.columns if column not in placed]
            tables += [over_seeds(self.heading, each, whole)] if whole else []
            for column in placed:
                tables += place_by_place(self.heading, each, "at", [column])
        return tables

    def drawings_of(self, shown: Shown[R]) -> list[Drawing]:
        """The figures of an invocation.

        Raises:
            TypeError: what the view gives is no figure.
        """
        found = [] if self.drawings is None else list(self.drawings(shown))
        if not all(isinstance(drawing, Drawing) for drawing in found):
            raise TypeError(f"expected an iterable of Drawing, got {found!r}")
        return found

    def parameters(self, result: R) -> int | None:
        """Trained scalars of the model, where the result says so."""
        found: object = getattr(result, "parameters", None)
        return found if isinstance(found, int) else None


def _at(column: Column[R], place: str | None) -> str:
    """What a column is called in the table of one run, with the place."""
    return (column.label or column.heading) + (f", {place}" if place is not None else "")
