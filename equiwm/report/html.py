"""The report as one HTML file that needs nothing else: tables that sort, figures inline, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from equiwm.report.document import Report
from equiwm.report.drawings import Picture
from equiwm.tables.table import Table

_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --page: #ffffff; --line: #d5dae0; --faint: #5c6670; --band: #f4f6f8;
  --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --text: #e3e7eb; --page: #14181c; --line: #363d45; --faint: #9aa5b1;
  --band: #1c2228; --accent: #6cb8ea; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.4rem; border-bottom: 1px solid var(--line); padding-bottom: 0.2rem; }
a { color: var(--accent); }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; }
p { margin: 0.4rem 0; }
.faint, figcaption { color: var(--faint); font-size: 0.88rem; }
.scroll { overflow-x: auto; margin: 0.4rem 0; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
h3 { font-size: 0.95rem; margin: 1.2rem 0 0; }
.range { display: block; color: var(--faint); font-size: 0.85em; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { vertical-align: bottom; white-space: normal; min-width: 4.5rem; }
th.left, td.left { text-align: left; }
td.words { white-space: normal; min-width: 16rem; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--page); padding-left: 0; max-width: 45vw;
  white-space: normal; }
tbody tr:hover td { background: var(--band); }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
figure { margin: 1rem 0; overflow-x: auto; }
figcaption { position: sticky; left: 0; }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; padding: 4px; }
@media (max-width: 40rem) { img { max-width: none; width: 38rem; } }
@media print { nav, th button::after { display: none; } body { max-width: none; } }
"""

_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => {
      const text = row.cells[column].textContent;
      const figure = parseFloat(text.replace(/,/g, ""));
      return [Number.isNaN(figure), Number.isNaN(figure) ? text : figure];
    };
    const rows = [...table.tBodies[0].rows].map(row => [key(row), row]);
    rows.sort(([[aWords, a]], [[bWords, b]]) =>
      aWords - bWords || (aWords ? a.localeCompare(b) : a - b) * (up ? 1 : -1));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}
"""

_SENTENCE = 8
"""Words from which on a cell is taken for a sentence, and wraps."""

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def html(report: Report, pictures: Sequence[Picture]) -> str:
    """The whole page.

    Args:
        report: what is told.
        pictures: figures, each below the tables of its chapter; those of the whole report come first.

    Raises:
        OSError: a figure cannot be read.
    """
    chapters = [(f"c{number}", chapter) for number, chapter in enumerate(report.chapters, 1)]
    count = sum(len(setting.runs) for setting in report.settings)
    studies = sum(run.kind == "study" for run in report.runs)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>equiwm report</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        "<h1>equiwm report</h1>",
        f'<p class="faint">{count} trained runs in {len(report.settings)} settings, {studies} studies. Figures in '
        "brackets are ranges over seeds; click a heading to sort.</p>",
        "<nav>",
        *(f'<a href="#{anchor}">{escape(chapter.heading)}</a>' for anchor, chapter in chapters),
        "</nav>",
        *_pictures(pictures, ""),
    ]
    for anchor, chapter in chapters:
        parts += [f'<section id="{anchor}">', f"<h2>{escape(chapter.heading)}</h2>"]
        parts += [f"<p>{escape(chapter.about)}</p>"] if chapter.about else []
        parts += [*map(_table, chapter.tables), *_pictures(pictures, chapter.section), "</section>"]
    if report.skipped:
        lines = (f"<li>{escape(line)}</li>" for line in report.skipped)
        parts += ["<section>", "<h2>Left out</h2>", '<ul class="faint">', *lines, "</ul>", "</section>"]
    return "\n".join([*parts, f"<script>{_SCRIPT}</script>", "</body>", "</html>", ""])


def _table(table: Table) -> str:
    sides = [' class="left"' if left else "" for left in table.left_aligned]
    heads = (
        f'<th scope="col"{side}><button type="button">{escape(column)}</button></th>'
        for column, side in zip(table.columns, sides, strict=True)
    )
    rows = (
        "<tr>" + "".join(_cell(text, side) for text, side in zip(row, sides, strict=True)) + "</tr>"
        for row in table.rows
    )
    notes = (f'<p class="faint">{escape(note)}</p>' for note in table.notes)
    title = escape(table.title)
    return "\n".join(
        [
            f"<h3>{title}</h3>",
            f'<div class="scroll"><table aria-label="{title}">',
            f"<thead><tr>{''.join(heads)}</tr></thead>",
            "<tbody>",
            *rows,
            "</tbody>",
            "</table></div>",
            *notes,
        ]
    )


def _cell(text: str, side: str) -> str:
    median, space, rest = text.partition(" [")
    if not space and len(text.split()) >= _SENTENCE:
        side = ' class="left words"'
    below = f' <span class="range">[{escape(rest)}</span>' if space else ""
    return f"<td{side}>{escape(median)}{below}</td>"


def _pictures(pictures: Sequence[Picture], section: str) -> list[str]:
    return [_picture(picture) for picture in pictures if picture.section == section]


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    source = f"data:{_TYPES[picture.path.suffix]};base64,{data}"
    caption = escape(picture.caption)
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
