"""The LaTeX document of a report: as one text, or as a folder with a file a table and figures beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from equiwm.report.document import Report
from equiwm.report.latex.table import latex_table
from equiwm.report.latex.text import RAISED, SIZE, escaped
from equiwm.report.names import named

PREAMBLE = f"""\
% What the tables and figures need, of any document.
\\usepackage[T1]{{fontenc}}
\\usepackage[utf8]{{inputenc}}
\\usepackage{{array,booktabs,graphicx,longtable,textcomp}}
\\setlength{{\\LTcapwidth}}{{\\linewidth}}
% Exponents in a table are no smaller than {RAISED:g} pt.
\\DeclareMathSizes{{{SIZE:g}}}{{{SIZE:g}}}{{{RAISED:g}}}{{{RAISED:g}}}
"""
_CLASS = "\\documentclass[10pt]{article}\n"
_PAGE = """\
\\usepackage[textwidth=6.5in,textheight=9in]{geometry}
% Times, as the figures have; Latin Modern where it is not installed.
\\IfFileExists{tgtermes.sty}{\\usepackage{tgtermes}}{\\usepackage{lmodern}}
\\setlength{\\parindent}{0pt}
"""
_FLOATS = 10
"""Tables and figures after which they are put out: LaTeX holds back some tens of them and no more."""


@dataclass(frozen=True)
class Placed:
    """A figure of the document.

    Attributes:
        file: its path from the document's folder.
        name: of its label.
        section: of metrics.json that it belongs to, or nothing for the whole report.
        caption: what it shows.
    """

    file: str
    name: str
    section: str
    caption: str


def latex(report: Report) -> str:
    """All tables in one text that compiles by itself; figures need files of their own (`latex_files`)."""
    tables = {name: latex_table(table, name) for _, found in named(report) for name, table in found}
    return _document(report, tables, ())


def latex_files(report: Report, figures: Sequence[Placed] = ()) -> dict[Path, str]:
    r"""The files of a folder: `report.tex`, `preamble.tex`, and `tables/NAME.tex`, one a table.

    `pdflatex report.tex` in the folder sets all of it; `\input{preamble}` and `\input{tables/NAME}` put one table into
    another document.

    Args:
        report: what is told.
        figures: they are put below the tables of their chapter, or first.
    """
    files = {
        Path("tables", f"{name}.tex"): latex_table(table, name) for _, found in named(report) for name, table in found
    }
    inputs = {path.stem: f"\\input{{tables/{path.stem}}}\n" for path in files}
    return {
        Path("report.tex"): _document(report, inputs, figures, inline=False),
        Path("preamble.tex"): PREAMBLE,
    } | files


def _document(report: Report, tables: dict[str, str], figures: Sequence[Placed], *, inline: bool = True) -> str:
    parts = [_CLASS, PREAMBLE if inline else "\\input{preamble}\n", _PAGE, "\\begin{document}\n"]
    floats = 0

    def put(text: str) -> None:
        nonlocal floats
        floats += 1
        parts.append(text + ("\\clearpage\n" if floats % _FLOATS == 0 else ""))

    for figure in figures:
        if not figure.section:
            put(_figure(figure))
    for chapter, found in named(report):
        parts.append(f"\\section*{{{escaped(chapter.heading)}}}\n")
        if chapter.about:
            parts.append(f"{escaped(chapter.about)}\n")
        for name, _ in found:
            put(tables[name])
        for figure in figures:
            if figure.section == chapter.section:
                put(_figure(figure))
    return "\n".join([*parts, "\\end{document}\n"])


def _figure(figure: Placed) -> str:
    return "\n".join(
        (
            "\\begin{figure}[!htbp]",
            "\\centering",
            f"\\includegraphics{{{figure.file}}}",
            f"\\caption{{{escaped(figure.caption)}}}\\label{{fig:{figure.name}}}",
            "\\end{figure}",
            "",
        )
    )
