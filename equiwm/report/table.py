"""A table of text, rendered as Markdown on a pipe and by rich on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable


_NAME_WORDS = 3


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

    @property
    def _left(self) -> list[bool]:
        """Which columns are left-aligned."""

        def has_figure(index: int) -> bool:
            return any(row[index].lstrip("-")[:1].isdigit() for row in self.rows)

        return [index == 0 or not has_figure(index) for index in range(len(self.columns))]

    def markdown(self) -> str:
        """GitHub-flavoured Markdown: title, table, notes."""

        def line(cells: tuple[str, ...]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

        rule = "|" + "|".join("---" if left else "---:" for left in self._left) + "|"
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
        for index, (column, left) in enumerate(zip(self.columns, self._left, strict=True)):
            # Figures and names stay in one piece; sentences wrap between words.
            words = any(len(row[index].split()) > _NAME_WORDS for row in self.rows)
            table.add_column(escape(column), justify="left" if left else "right", no_wrap=not words)
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table


def number(value: float | None, digits: int = 3) -> str:
    """A figure to `digits` significant digits; a dash for a missing one (null in metrics.json)."""
    if value is None or value != value:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:#.{digits}g}".rstrip(".")
    return f"{value:.{digits - 1}e}"
