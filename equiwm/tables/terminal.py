"""Tables on a terminal: side by side as far as the words fit, one part below another, or a row a paragraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from equiwm.tables.table import Table

if TYPE_CHECKING:
    from rich.console import RenderableType

_COMPARED = 12
"""Rows up to which a table that is too wide is shown as parts one below another, whose columns are compared at a
glance. The parts of a longer one would be pages apart, so there a row is a paragraph."""
_BETWEEN = " | "
_INDENT = "    "


def on_terminal(table: Table, width: int) -> list[RenderableType]:
    """What shows a table on so many columns; no word of it is broken, and nothing is left out."""
    parts = table.fitted(width)
    if len(parts) > 1 and len(table.rows) > _COMPARED:
        return [_stacked(table, width)]
    return [part.rich(width) for part in parts]


def _stacked(table: Table, width: int) -> RenderableType:
    """A paragraph a row: what says which row it is, and below it each heading with its cell."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(table.title, style="bold"), Text("")]
    for row in table.rows:
        lines.append(Text("  " + _BETWEEN.join(row[: table.keys]), style="bold"))
        pairs = zip(table.columns[table.keys :], row[table.keys :], strict=True)
        lines += [Text(line) for line in _flowed([f"{heading}: {cell}".split() for heading, cell in pairs], width)]
    notes = [Text("\n".join(table.notes) + "\n", style="table.caption")] if table.notes else []
    return Group(*lines, Text(""), *notes)


def _flowed(entries: Sequence[Sequence[str]], width: int) -> list[str]:
    """Entries one after another; one that has no room in a line begins the next, and goes on below where it is long."""
    from rich.cells import cell_len

    lines, line = [], ""
    for entry in entries:
        whole = " ".join(entry)
        if line and cell_len(_INDENT + line + _BETWEEN + whole) <= width:
            line += _BETWEEN + whole
            continue
        lines += [_INDENT + line] * bool(line)
        line, indent = "", _INDENT
        for word in entry:
            if line and cell_len(indent + line + " " + word) > width:
                lines.append(indent + line)
                line, indent = "", 2 * _INDENT
            line += (" " if line else "") + word
        if indent != _INDENT:  # what follows a long one begins a line of its own
            lines.append(indent + line)
            line = ""
    return [*lines, *[_INDENT + line] * bool(line)]
