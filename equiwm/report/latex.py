"""The report as LaTeX: a table environment a table, in the style of booktabs."""

from __future__ import annotations

import re
import unicodedata

from equiwm.report.document import Report
from equiwm.tables.table import Table

_PACKAGES = (
    "% In the preamble: \\usepackage[T1]{fontenc}, \\usepackage[utf8]{inputenc}, \\usepackage{booktabs,graphicx}"
)
_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "…": r"\ldots{}",
    "°": r"\textdegree{}",
    "×": r"$\times$",
    "²": r"\textsuperscript{2}",
    "−": "$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}
_CAPITALS = ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega")
"""Greek capitals that look like no Latin letter."""
_LATIN_CAPITALS = {"eta": "H", "rho": "P", "chi": "X"}
_FIGURE = re.compile(r"(?<![\w.])(?:(-?\d+(?:\.\d+)?)e([+-]\d+)|-(?=\d))")
_SENTENCE = 8
"""Words from which on a cell is taken for a sentence, and is given a paragraph."""


def escaped(text: str) -> str:
    """Text as LaTeX shows it: special characters escaped, `1.2e-07` as a power of ten, a minus as one."""
    text = " ".join(text.split())
    parts, last = [], 0
    for match in _FIGURE.finditer(text):
        parts.append(_characters(text[last : match.start()]))
        parts.append(f"${match[1]}\\times 10^{{{int(match[2])}}}$" if match[1] else "$-$")
        last = match.end()
    return "".join([*parts, _characters(text[last:])])


def _characters(text: str) -> str:
    return "".join(map(_character, text))


def _character(character: str) -> str:
    """What sets it in T1; a Greek letter by its name, and what LaTeX has no glyph for by its number."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character < "\N{LATIN SMALL LETTER LONG S}" and character.isprintable():
        return character
    kind, _, letter = unicodedata.name(character, "").partition(" LETTER ")
    if kind in ("GREEK SMALL", "GREEK CAPITAL") and letter.isalpha():
        name = letter.lower().replace("lamda", "lambda")
        if name == "omicron" or (kind == "GREEK CAPITAL" and name not in _CAPITALS):
            return name[0] if kind == "GREEK SMALL" else _LATIN_CAPITALS.get(name, name[0].upper())
        return f"$\\{name if kind == 'GREEK SMALL' else name.capitalize()}$"
    return f"\\texttt{{U+{ord(character):04X}}}"


def latex(report: Report) -> str:
    """All tables, chapter by chapter, no wider than the line."""
    parts = [_PACKAGES, ""]
    for chapter in report.chapters:
        parts += [f"\\subsection*{{{escaped(chapter.heading)}}}", *[escaped(chapter.about)] * bool(chapter.about), ""]
        parts += [latex_table(table) for table in chapter.tables]
    return "\n".join(parts)


def _cell(text: str) -> str:
    """A range stands below its median: side by side, a table of several seeds would be too wide to read."""
    median, space, rest = text.partition(" [")
    if not space or len(text.split()) >= _SENTENCE:
        return escaped(text)
    return f"\\begin{{tabular}}[t]{{@{{}}r@{{}}}}{escaped(median)}\\\\{{\\scriptsize [{escaped(rest)}}}\\end{{tabular}}"


def latex_table(table: Table) -> str:
    """One table environment, with the title as its caption and the notes below."""
    cells = [[_cell(text) for text in row] for row in table.rows]
    columns = "".join(
        "p{0.8\\linewidth}" if any(len(row[k].split()) >= _SENTENCE for row in table.rows) else "l" if left else "r"
        for k, left in enumerate(table.left_aligned)
    )
    lines = [
        "\\begin{table}[htbp]",
        "\\centering",
        f"\\caption{{{escaped(table.title)}}}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        "\\toprule",
        " & ".join(map(escaped, table.columns)) + r" \\",
        "\\midrule",
        *(" & ".join(row) + r" \\" for row in cells),
        "\\bottomrule",
        "\\end{tabular}}",
        *(f"\\par\\smallskip{{\\footnotesize {escaped(note)}\\par}}" for note in table.notes),
        "\\end{table}",
        "",
    ]
    return "\n".join(lines)
