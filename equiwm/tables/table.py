"""A table of text, rendered as Markdown on a pipe and by rich on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from equiwm.printable import printable
from equiwm.tables.fitting import allotted, side_by_side

if TYPE_CHECKING:
    from rich.console import RenderableType

    from equiwm.stats import MedianRange


_FLAT = 0.01
_EDGES, _BETWEEN = 1, 3
"""Columns of a terminal that rich's lines and margins take: of a table, and of each of its columns."""


@dataclass(frozen=True)
class Table:
    """Cells are finished text.

    Attributes:
        title: one line.
        columns: headings; the first column is left-aligned, and others that hold phrases or no figures; figures right.
        rows: one tuple of cells a row.
        notes: lines below the table.
        keys: how many of the first columns say together which row it is; every part of a table that does not fit side
            by side begins with them.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = field(default=())
    keys: int = 1

    def __post_init__(self) -> None:
        """Make every text printable, once for all that it is rendered as: labels and names may be a stranger's."""
        object.__setattr__(self, "title", printable(self.title))
        object.__setattr__(self, "columns", tuple(map(printable, self.columns)))
        object.__setattr__(self, "rows", [tuple(map(printable, row)) for row in self.rows])
        object.__setattr__(self, "notes", tuple(map(printable, self.notes)))

    @property
    def left_aligned(self) -> list[bool]:
        """Of each column whether it is left-aligned."""

        def has_figure(index: int) -> bool:
            return any(row[index].lstrip("-")[:1].isdigit() for row in self.rows)

        def has_phrase(index: int) -> bool:
            return any(sum(len(word) > 3 and word.isalpha() for word in row[index].split()) > 1 for row in self.rows)

        return [index == 0 or has_phrase(index) or not has_figure(index) for index in range(len(self.columns))]

    def markdown(self) -> str:
        """GitHub-flavoured Markdown: title, table, notes."""

        def line(cells: tuple[str, ...]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

        rule = "|" + "|".join("---" if left else "---:" for left in self.left_aligned) + "|"
        body = [f"**{self.title}**", "", line(self.columns), rule, *map(line, self.rows)]
        return "\n".join([*body, *(part for note in self.notes for part in ("", note))]) + "\n"

    def _cells(self) -> list[list[str]]:
        """Of each column its heading and cells."""
        return [[column, *(row[index] for row in self.rows)] for index, column in enumerate(self.columns)]

    def fitted(self, width: int) -> list[Table]:
        """The same for a terminal of so many columns: one table, or several where the words do not fit side by side.

        Each has the first column, and as many of the others as fit, one at least; the last has the notes.
        """
        groups = side_by_side(list(map(_longest_word, self._cells())), width - _EDGES, _BETWEEN, self.keys)
        if len(groups) == 1:
            return [self]
        return [
            Table(
                self.title if number == 0 else f"{self.title} (continued)",
                tuple(self.columns[index] for index in group),
                [tuple(row[index] for index in group) for row in self.rows],
                self.notes if group is groups[-1] else (),
                self.keys,
            )
            for number, group in enumerate(groups)
        ]

    def rich(self, width: int) -> RenderableType:
        """The same for a terminal of so many columns: cells and headings wrap between words, which stay in one piece.

        It is wider where not even single words fit side by side (`fitted`).
        """
        from rich import box
        from rich.console import Group
        from rich.markup import escape
        from rich.table import Table as RichTable
        from rich.text import Text

        lines = _EDGES + _BETWEEN * len(self.columns)
        widths = _column_widths(self._cells(), width - lines)
        table = RichTable(box=box.SIMPLE_HEAD, width=lines + sum(widths))  # else rich cuts words to make it fit
        for column, left, wide in zip(self.columns, self.left_aligned, widths, strict=True):
            table.add_column(escape(column), justify="left" if left else "right", width=wide, overflow="fold")
        for row in self.rows:
            table.add_row(*map(escape, row))
        # Beside the table, not in it: a narrow one would break its title into a column of words.
        notes = [Text("\n".join(self.notes) + "\n", style="table.caption")] if self.notes else []
        return Group(Text(self.title, style="bold"), table, *notes)


def _longest_word(cells: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max((cell_len(word) for cell in cells for word in cell.split()), default=0)


def _column_widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """The width of each column. (rich narrows columns below their words, and then leaves others wider than they have to
    be.)
    """
    from rich.cells import cell_len

    least = [_longest_word(cells) for cells in columns]
    whole = [max(cell_len(line) for cell in cells for line in (cell.splitlines() or [" "])) for cells in columns]
    return list(map(int, allotted(least, whole, room)))


def number(value: float | None, digits: int = 3) -> str:
    """A figure to `digits` significant digits; a dash for a missing one (null in metrics.json)."""
    if value is None or value != value:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        shown = f"{value:#.{digits}g}".rstrip(".")
        return shown if "e" not in shown else f"{float(shown):.0f}"  # 5.6e+02 is read more slowly than 560
    return f"{value:.{digits - 1}e}"


def factor(value: float | None) -> str:
    """A ratio: to 6 digits where it is 1 but for rounding, else to 3."""
    return number(value, 6 if value is not None and abs(value - 1.0) < _FLAT else 3)


def whole(value: float | None) -> str:
    """A count."""
    return number(None) if value is None else f"{value:,.0f}"


def interval(summary: MedianRange | None, show: Callable[[float | None], str] = number) -> str:
    """`median [smallest, largest]` over seeds; the median alone where all show the same figure, a dash for none."""
    if summary is None:
        return show(None)
    median, low, high = map(show, (summary.median, summary.low, summary.high))
    return median if low == median == high else f"{median} [{low}, {high}]"
