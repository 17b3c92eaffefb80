"""`summary.txt` and `summary.svg`: what is known of a run so far, plain and in colour."""

from __future__ import annotations

import io

from equiwm.files import write_atomic
from equiwm.report.sections import section_tables
from equiwm.runs import Run

_WIDTH = 118


def write_summary(run: Run) -> None:
    """Render every section of the run's metrics into `summary.txt` and `summary.svg`."""
    from rich.console import Console

    console = Console(record=True, file=io.StringIO(), width=_WIDTH, force_terminal=True)
    data = run.data
    console.print(
        f"equiwm run [bold]{run.name}[/bold]" + (f": {data['description']}" if data.get("description") else "")
    )
    for table in section_tables(run.metrics(), run.name):
        console.print(table.rich())
    lines = [line.rstrip() for line in console.export_text(clear=False).splitlines()]
    write_atomic(run.summary, "\n".join(lines) + "\n")
    write_atomic(run.summary_svg, console.export_svg(title=f"equiwm: {run.name}", unique_id="equiwm"))
