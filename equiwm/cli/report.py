"""`equiwm report`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equiwm.cli.options import JsonOption
from equiwm.errors import ConfigError

if TYPE_CHECKING:
    from equiwm.report.document import Report


class Format(StrEnum):
    """What a report is written as."""

    markdown = "markdown"
    html = "html"
    latex = "latex"
    csv = "csv"


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUNS", help=r"runs, and folders that hold runs \[runs]")
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help=r"html is one file with figures, csv one tidy table \[tables, or Markdown]"),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="draw every figure anew into DIR: PNG, SVG and CSV"),
    ] = None,
    claims: Annotated[
        list[str] | None,
        typer.Option(
            "--claim", metavar="CLAIM", help="show the results of this claim as well: module:name; repeatable"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="write the report there")] = None,
    json: JsonOption = False,
) -> None:
    """Tables and figures of many runs, claim by claim: medians over seeds, models beside their baselines.

    It reads the runs' files alone, and says what it leaves out.

    Examples: equiwm report runs/ > table.md ;
    equiwm report runs/ --format html --out report.html ;
    equiwm report runs/ --figures figures/
    """
    from equiwm.claims.registry import claims_of
    from equiwm.cli.output import print_json, print_tables, print_text, say
    from equiwm.disk.documents import write_document
    from equiwm.report.document import make_report

    if json and (form or out):
        raise ConfigError("give --json, or --format and --out, not both.")
    made = make_report(runs or [Path("runs")], claims_of(claims or ()))
    skipped = list(made.skipped)
    if figures is not None:
        _redraw(made, figures, skipped)
    if json:
        runs_found = [
            {
                **{"run": run.name, "preset": run.preset, "kind": run.kind, "seed": run.seed, "metrics": run.metrics},
                "other_weights": list(run.other_weights),
            }
            for run in made.runs
        ]
        print_json({"runs": runs_found, "skipped": skipped})
    elif form is None and out is None and sys.stdout.isatty():
        print_tables([table for chapter in made.chapters for table in chapter.tables])
    else:
        text = _written(made, form or Format.markdown, skipped)
        if out is None:
            print_text(text)
        else:
            write_document(out, text)
            say(f"report: {out}")
    for line in dict.fromkeys(skipped):
        say(f"skipped: {line}")


def _written(made: Report, form: Format, left_out: list[str]) -> str:
    """The report's text; a line is added to `left_out` for each figure that it cannot have."""
    if form is Format.html:
        from tempfile import TemporaryDirectory

        from equiwm.cli.progress import ProgressBars
        from equiwm.report.drawings import pictures
        from equiwm.report.html import html

        with TemporaryDirectory() as folder, ProgressBars(quiet=False) as progress:
            shown = pictures(made, Path(folder), left_out, lambda done, total: progress.count("figures", done, total))
            return html(made, shown)
    if form is Format.latex:
        from equiwm.report.latex import latex

        return latex(made)
    if form is Format.csv:
        from equiwm.report.tidy import tidy_csv

        return tidy_csv(made)
    from equiwm.report.document import markdown

    return markdown(made)


def _redraw(made: Report, folder: Path, left_out: list[str]) -> None:
    from equiwm.cli.output import say
    from equiwm.cli.progress import ProgressBars
    from equiwm.report.drawings import redraw

    with ProgressBars(quiet=False) as progress:
        drawn = redraw(made, folder, left_out, lambda done, total: progress.count("figures", done, total))
    say(f"figures: {len(drawn)} in {folder}")
