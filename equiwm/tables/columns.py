"""Columns: what a quantity is called, where it stands in a result, and how it is shown. Declared once, used everywhere.

The table of one run, the tables over seeds, the tidy CSV and the figure of OOD factors read the same columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from equiwm.errors import ResultError
from equiwm.results.result import Result
from equiwm.tables.table import interval, number

R_contra = TypeVar("R_contra", bound=Result, contravariant=True)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its 95% interval over tasks."""

    value: float
    low: float
    high: float


Value = float | str | Estimate | Mapping[str, float] | None
"""What a column finds in a result: a number (NaN where it could not be formed), a word, an estimate, one number a place
(horizon, bin, target), or None where the quantity does not apply to the result."""


@dataclass(frozen=True)
class Column(Generic[R_contra]):
    """A quantity of a result.

    Attributes:
        name: in the tidy CSV.
        heading: in tables over seeds.
        of: finds it in a result; None is the field `name`.
        show: number -> text.
        label: in the table of one run, where the heading is too short for it.
    """

    name: str
    heading: str
    of: Callable[[R_contra], Value] | None = None
    show: Callable[[float | None], str] = number
    label: str = ""

    def value(self, result: R_contra) -> Value:
        """The quantity of a result.

        Raises:
            ResultError: the result has no such field, or holds something else than a `Value` there.
        """
        if self.of is not None:
            found: object = self.of(result)
        elif hasattr(result, self.name):
            found = getattr(result, self.name)
        else:
            raise ResultError(f"column '{self.name}': {type(result).__name__} has no field of this name.")
        if found is None or isinstance(found, float | int | str | Estimate | Mapping):
            return found
        raise ResultError(
            f"column '{self.name}': got {type(found).__name__} from {type(result).__name__}, expected a number, text, "
            "an estimate, numbers by place, or None."
        )

    def places(self, results: Sequence[R_contra]) -> list[str]:
        """Where the quantity was measured, in order of appearance; none of a quantity that has no places."""
        found = (self.value(result) for result in results)
        return list(dict.fromkeys(place for value in found if isinstance(value, Mapping) for place in value))

    def at(self, result: R_contra, place: str | None = None) -> float | str | Estimate | None:
        """The quantity, or its number at one place; None where there is none."""
        value = self.value(result)
        if isinstance(value, Mapping):
            return None if place is None else value.get(place)
        return value

    def text(self, result: R_contra, digits: int | None = None, place: str | None = None) -> str:
        """The quantity of one result, as its table shows it; numbers to `digits` digits, or as `show` has them."""
        value = self.at(result, place)
        if isinstance(value, str):
            return value
        plain = value.value if isinstance(value, Estimate) else value
        return self.show(plain) if digits is None else number(plain, digits)

    def cell(self, results: Sequence[R_contra], place: str | None = None) -> str:
        """Median and range over seeds, and how many of them have the number where not all do; words are counted.

        Of one result alone that is an estimate, the interval over tasks stands in the place of the range.
        """
        from equiwm.stats import MedianRange, median_and_range

        values = [self.at(result, place) for result in results]
        words = Counter(value for value in values if isinstance(value, str))
        if words:
            return ", ".join(f"{n} {word}" if len(results) > 1 else word for word, n in words.items())
        numbers = [plain for value in values if (plain := _finite(value)) is not None]
        if not numbers:
            return number(None)
        summary = median_and_range(numbers)
        if len(values) == 1 and isinstance(values[0], Estimate) and values[0].low == values[0].low:
            summary = MedianRange(numbers[0], values[0].low, values[0].high, 1)
        missing = f" ({len(numbers)} of {len(results)})" if len(numbers) < len(results) else ""
        return interval(summary, self.show) + missing

    def rows(self, result: R_contra) -> Iterator[tuple[str, str, float | None]]:
        """Name, place and number for the tidy CSV; words and what does not apply have none."""
        value = self.value(result)
        if isinstance(value, Estimate):
            yield self.name, "", _finite(value.value)
            yield f"{self.name}_low", "", _finite(value.low)
            yield f"{self.name}_high", "", _finite(value.high)
        elif isinstance(value, Mapping):
            for place, entry in value.items():
                yield self.name, place, _finite(entry)
        elif value is not None and not isinstance(value, str):
            yield self.name, "", _finite(value)


def _finite(value: float | str | Estimate | None) -> float | None:
    """The number, None where there is none or it is NaN."""
    plain = value.value if isinstance(value, Estimate) else value
    return float(plain) if plain is not None and not isinstance(plain, str) and plain == plain else None


@dataclass(frozen=True)
class Line(Generic[R]):
    """A row of the tables over seeds: one training, at some seeds.

    Attributes:
        label: its name.
        seeds: those that it was trained at.
        baseline: label of what it is compared with, or None.
        size: its parameters, and how many times as many its baseline has, as text.
        results: what is compared, one a seed; none if it was not measured.
    """

    label: str
    seeds: tuple[int, ...]
    baseline: str | None
    size: tuple[str, str]
    results: tuple[R, ...]


SIZE = ("parameters", "baseline / model")
"""Headings of `Line.size`."""


@dataclass(frozen=True)
class Comparison(Generic[R]):
    """Results that may be compared: of one world, one variant of a command and one probe.

    Attributes:
        name: world, variant and probe.
        lines: a training each.
    """

    name: str
    lines: tuple[Line[R], ...]
