"""Results as they print themselves: in a few lines of text, and as the output of a notebook's cell."""

from __future__ import annotations

from collections.abc import Sequence

from equiwm.tables.page import rendered
from equiwm.tables.table import Table

MOST_LINES = 10
"""Lines of a printed object."""


def brief(text: str) -> str:
    """Text of at most `MOST_LINES` lines; of a longer one the beginning, and how many more there are."""
    lines = text.strip().splitlines()
    if len(lines) <= MOST_LINES:
        return "\n".join(lines)
    kept = lines[: MOST_LINES - 1]
    return "\n".join([*kept, f"... {len(lines) - len(kept)} more lines"])


def cell(text: str, tables: Sequence[Table]) -> str:
    """A fragment of HTML: the text line by line, and the tables."""
    return rendered("equiwm.tables", "cell.html", lines=text.strip().splitlines(), tables=tables)
