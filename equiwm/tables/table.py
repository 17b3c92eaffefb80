"""A table of text, rendered as Markdown on a pipe and by rich on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from equiwm.printable import printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from equiwm.stats import MedianRange


_FLAT = 0.01


@dataclass(frozen=True)
class Table:
    """Cells are finished text.

    Attributes:
        title: one line.
        columns: headings; the first column is left-aligned, and others whose cells are all words; figures right.
        rows: one tuple of cells a row.
        notes: lines below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = field(default=())

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

        return [index == 0 or not has_figure(index) for index in range(len(self.columns))]

    def markdown(self) -> str:
        """GitHub-flavoured Markdown: title, table, notes."""

        def line(cells: tuple[str, ...]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

        rule = "|" + "|".join("---" if left else "---:" for left in self.left_aligned) + "|"
        body = [f"**{self.title}**", "", line(self.columns), rule, *map(line, self.rows)]
        return "\n".join([*body, *(part for note in self.notes for part in ("", note))]) + "\n"

    def rich(self) -> RichTable:
        """The same for a terminal."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table as RichTable

        table = RichTable(
            title=escape(self.title),
            title_justify="left",
            title_style="bold",
            caption="\n".join(map(escape, self.notes)) or None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for index, (column, left) in enumerate(zip(self.columns, self.left_aligned, strict=True)):
            # On a narrow terminal cells and headings wrap between words; figures and names stay in one piece.
            words = (word for row in self.rows for word in row[index].split())
            longest = max(map(len, words), default=None)
            table.add_column(escape(column), justify="left" if left else "right", min_width=longest, overflow="fold")
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table


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
