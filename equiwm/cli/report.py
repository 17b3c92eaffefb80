"""`equiwm report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equiwm.cli.options import JsonOption


def report(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="folder that holds runs, or one run")] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """Tabulate the runs in a folder: one row a run, from their files alone; then their read-outs.

    Example: equiwm report runs/ > table.md
    """
    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.report.overview import collect, overview_tables

    rows, skipped = collect(runs)
    if json:
        print_json({"runs": rows, "skipped": skipped})
    else:
        print_tables(overview_tables(rows, runs))
    for line in skipped:
        say(f"skipped: {line}")
