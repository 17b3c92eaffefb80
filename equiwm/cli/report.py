"""`equiwm report`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equiwm.cli.options import JobsOption, JsonOption
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
        typer.Option("--format", help=r"html and latex have figures, csv is one tidy table \[tables, or Markdown]"),
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
    tables: Annotated[
        str | None,
        typer.Option("--tables", metavar="A,B", help="these tables or chapters alone, by name or pattern (one-step-*)"),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="FILE", help="write the report there; html and latex take a folder as well (tex/)"
        ),
    ] = None,
    jobs: JobsOption = -1,
    json: JsonOption = False,
) -> None:
    """Tables and figures of many runs, claim by claim: medians over seeds, models beside their baselines.

    It reads the runs' files alone, and says what it leaves out.

    Examples: equiwm report runs/ > table.md ;
    equiwm report runs/ --format html --out report.html ;
    equiwm report runs/ --format latex --out tex/ ;
    equiwm report runs/ --figures figures/
    """
    from equiwm.claims.registry import claims_of
    from equiwm.cli.output import print_json, print_tables, print_text, say
    from equiwm.disk.documents import write_document
    from equiwm.report.document import make_report
    from equiwm.report.names import chosen

    if json and (form or out):
        raise ConfigError("give --json, or --format and --out, not both.")
    if tables is not None and (json or form is Format.csv):
        raise ConfigError("--tables chooses among tables, which --json and --format csv have none of.")
    made = make_report(runs or [Path("runs")], claims_of(claims or ()))
    skipped = list(made.skipped)
    if tables is not None:
        made = chosen(made, [name for each in tables.split(",") if (name := each.strip())])
    if figures is not None:
        _redraw(made, figures, skipped, jobs)
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
    elif out is not None and form in (Format.html, Format.latex) and _is_folder(out):
        say(f"report: {_write_folder(made, form, Path(out), skipped, jobs)}")
    else:
        text = _written(made, form or Format.markdown, skipped, jobs)
        if out is None:
            print_text(text)
        else:
            write_document(Path(out), text)
            say(f"report: {out}")
    for line in dict.fromkeys(skipped):
        say(f"skipped: {line}")


def _is_folder(out: str) -> bool:
    """Whether `--out` names a folder: one that is there, or a name as of one (`tex/`, `tex`)."""
    path = Path(out)
    return path.is_dir() or (not path.exists() and (out.endswith("/") or not path.suffix))


def _write_folder(made: Report, form: Format, folder: Path, left_out: list[str], jobs: int) -> Path:
    from equiwm.cli.progress import ProgressBars
    from equiwm.report.folder import write_html, write_latex

    write = write_html if form is Format.html else write_latex
    with ProgressBars(quiet=False) as progress:
        return write(made, folder, left_out, lambda done, total: progress.count("figures", done, total), jobs=jobs)


def _written(made: Report, form: Format, left_out: list[str], jobs: int) -> str:
    """The report's text; a line is added to `left_out` for each figure that it cannot have."""
    if form is Format.html:
        from tempfile import TemporaryDirectory

        from equiwm.cli.progress import ProgressBars
        from equiwm.report.html import html
        from equiwm.report.pictures import pictures

        with TemporaryDirectory() as folder, ProgressBars(quiet=False) as progress:

            def count(done: int, total: int) -> None:
                progress.count("figures", done, total)

            shown = pictures(made, Path(folder), left_out, count, jobs=jobs, lasting=False)
            return html(made, shown)
    if form is Format.latex:
        from equiwm.report.latex.document import latex

        return latex(made)
    if form is Format.csv:
        from equiwm.report.tidy import tidy_csv

        return tidy_csv(made)
    from equiwm.report.document import markdown

    return markdown(made)


def _redraw(made: Report, folder: Path, left_out: list[str], jobs: int) -> None:
    from equiwm.cli.output import say
    from equiwm.cli.progress import ProgressBars
    from equiwm.report.drawings import redraw

    with ProgressBars(quiet=False) as progress:
        drawn = redraw(made, folder, left_out, lambda done, total: progress.count("figures", done, total), jobs=jobs)
    say(f"figures: {len(drawn)} in {folder}")
