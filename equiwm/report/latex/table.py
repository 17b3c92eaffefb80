"""A table as LaTeX, in the style of booktabs: no wider than the text, and over several pages where it is long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from equiwm.report.latex.text import SIZE, escaped, lines, longest_piece, width
from equiwm.tables.fitting import allotted, side_by_side
from equiwm.tables.table import Table

TEXT_WIDTH = 468.0
"""Points of a line of text: 6.5 inches of 72.27 pt, less what rounding may take."""
_BETWEEN = 8.0
"""Points between two columns."""
_ALLOWANCE = 1.0
"""Points that a column has to spare."""
_LEADING = 9.5
_ROW = 2.5
_LONG = 400.0
"""Points of height from which on a table may break over pages."""
_SENTENCE = 8
"""Words from which on a cell is taken for a sentence: a bracket in it is no range."""
_PHRASE = 62.0
"""Points below which phrases are not read easily."""


@dataclass(frozen=True)
class _Column:
    """What a column takes, in points: at least, so that phrases are read easily, and in one line."""

    least: float
    easy: float
    whole: float
    left: bool
    broken: bool


def latex_table(table: Table, name: str) -> str:
    r"""A table with its title as caption, `\label{tab:NAME}`, and its notes below.

    It is a `table`, or a `longtable` where it is long; of columns that do not fit side by side, several tabulars one
    below another, each with the columns that say which row it is. Figures of several seeds have the range below the
    median.

    Args:
        table: what is shown.
        name: of the label.
    """
    columns = [_column(table, index) for index in range(len(table.columns))]
    groups = _groups([column.easy for column in columns], table.keys)
    if len(groups) > 1:
        groups = _groups([column.least for column in columns], table.keys)
    parts = [(group, _widths([columns[index] for index in group])) for group in groups]
    caption = f"\\caption{{{escaped(table.title)}}}\\label{{tab:{name}}}"
    height = sum(_height(table, group, widths) for group, widths in parts)
    body = (_long if height > _LONG else _short)(table, columns, parts, caption)
    return "\n".join(body) + "\n"


def _column(table: Table, index: int) -> _Column:
    cells = [row[index] for row in table.rows]
    shown = [table.columns[index], *(part for cell in cells for part in _stacked(cell))]
    whole = max(map(width, shown))
    left = table.left_aligned[index]
    least = max(map(longest_piece, shown))
    easy = max(least, min(whole, _PHRASE)) if left and any(len(cell.split()) > 3 for cell in cells) else least
    broken = any(len(_stacked(cell)) > 1 for cell in cells)
    return _Column(least + _ALLOWANCE, easy + _ALLOWANCE, whole + _ALLOWANCE, left, broken)


def _groups(least: Sequence[float], keys: int) -> list[list[int]]:
    return side_by_side(least, TEXT_WIDTH + _BETWEEN, _BETWEEN, keys)


def _stacked(cell: str) -> tuple[str, ...]:
    """A range stands below its median: side by side, a table of several seeds would be too wide to read."""
    median, space, rest = cell.partition(" [")
    return (cell,) if not space or len(cell.split()) >= _SENTENCE else (median, f"[{rest}")


def _widths(columns: Sequence[_Column]) -> list[float]:
    room = TEXT_WIDTH - _BETWEEN * (len(columns) - 1)
    easy = sum(column.easy for column in columns) <= room
    least = [column.easy if easy else column.least for column in columns]
    return allotted(least, [column.whole for column in columns], room)


def _height(table: Table, group: Sequence[int], widths: Sequence[float]) -> float:
    def of_row(row: Sequence[str]) -> float:
        tall = max(
            sum(lines(part, room) for part in _stacked(row[index])) for index, room in zip(group, widths, strict=True)
        )
        return tall * _LEADING + _ROW

    return sum(map(of_row, (table.columns, *table.rows)))


def _specification(columns: Sequence[_Column], widths: Sequence[float]) -> str:
    parts = []
    for column, wide in zip(columns, widths, strict=True):
        if wide >= column.whole and not column.broken:
            parts.append("l" if column.left else "r")
        else:
            side = "raggedright" if column.left else "raggedleft"
            parts.append(f">{{\\{side}}}p{{{wide:.1f}pt}}")
    return "@{}" + "".join(parts) + "@{}"


def _row(cells: Sequence[str]) -> str:
    """A bracket after a line break would be taken for its length."""
    shown = (r"\\{}".join(map(escaped, _stacked(cell))) for cell in cells)
    return " & ".join(shown) + " \\tabularnewline"


def _rows(table: Table, group: Sequence[int]) -> list[str]:
    return f"\n\\addlinespace[{_ROW:g}pt]\n".join(_row([row[index] for index in group]) for row in table.rows).split(
        "\n"
    )


_Parts = Sequence[tuple[Sequence[int], Sequence[float]]]
_SIZE = f"\\fontsize{{{SIZE:g}}}{{{_LEADING:g}}}\\selectfont\\setlength{{\\tabcolsep}}{{{_BETWEEN / 2:g}pt}}%"


def _short(table: Table, columns: Sequence[_Column], parts: _Parts, caption: str) -> list[str]:
    body = ["\\begin{table}[!htbp]", "\\centering", f"{caption}\\par\\medskip", _SIZE]
    for number, (group, widths) in enumerate(parts):
        body += ["\\par\\medskip"] * bool(number)
        body += [
            f"\\begin{{tabular}}{{{_specification([columns[index] for index in group], widths)}}}",
            "\\toprule",
            _row([table.columns[index] for index in group]),
            "\\midrule",
            *_rows(table, group),
            "\\bottomrule",
            "\\end{tabular}",
        ]
    return [*body, *_notes(table), "\\end{table}"]


def _long(table: Table, columns: Sequence[_Column], parts: _Parts, caption: str) -> list[str]:
    body = ["\\begingroup", _SIZE]
    continued = f"\\caption[]{{{escaped(table.title)} (continued)}}\\\\"
    for number, (group, widths) in enumerate(parts):
        head = ["\\toprule", _row([table.columns[index] for index in group]), "\\midrule"]
        body += ["\\addtocounter{table}{-1}%"] * bool(number)
        body += [
            f"\\begin{{longtable}}{{{_specification([columns[index] for index in group], widths)}}}",
            *([continued] if number else [f"{caption}\\\\", *head, "\\endfirsthead", continued]),
            *head,
            "\\endhead",
            "\\bottomrule",
            "\\endfoot",
            *_rows(table, group),
            "\\end{longtable}",
        ]
    return [*body, *_notes(table), "\\par\\medskip\\endgroup"]


def _notes(table: Table) -> list[str]:
    return [f"\\par\\smallskip{{\\raggedright {escaped(note)}\\par}}" for note in table.notes]
