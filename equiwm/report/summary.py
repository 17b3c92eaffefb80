"""What is known of one run so far: its tables, and `summary.txt` and `summary.svg`, plain and in colour."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from equiwm.claims.claim import AnyClaim
from equiwm.claims.registry import Stored, built_in, stored_results
from equiwm.disk.files import write_atomic
from equiwm.printable import printable
from equiwm.report.weights import marked, of_other_weights, own_weights
from equiwm.runs import Run
from equiwm.tables.table import Table
from equiwm.tables.terminal import on_terminal

_WIDTH = 118


def run_tables(
    run: Run, claims: Sequence[AnyClaim] | None = None, metrics: Mapping[str, object] | None = None
) -> list[Table]:
    """Tables of every result of a run, claim by claim and each variant apart; the title of one says what is damaged."""
    shown, study = built_in() if claims is None else claims, run.header.kind == "study"
    metrics = metrics or run.metrics()
    found = list(stored_results(metrics, shown, study=study, where=str(run.metrics_path)))
    own = own_weights(run, metrics)
    results = [each for each in found if isinstance(each, Stored)]
    tables: list[Table] = []
    for claim in shown:
        with claim.guard("table"):
            for each in results:
                if each.claim is claim:
                    tables += marked(claim.shown.tables_of(each.measured, run.name), of_other_weights([each], own))
    return [*tables, *(Table(str(each), ("",), []) for each in found if not isinstance(each, Stored))]


def write_summary(
    run: Run, claims: Sequence[AnyClaim] | None = None, metrics: Mapping[str, object] | None = None
) -> None:
    """Render every result of a run into `summary.svg` and after it `summary.txt`: where that is, both are.

    Args:
        run: the run.
        claims: whose results are shown; None is those of the package.
        metrics: content of its metrics.json, where it is known already.
    """
    from rich.console import Console
    from rich.markup import escape

    console = Console(record=True, file=io.StringIO(), width=_WIDTH, force_terminal=True)
    name, description = (escape(printable(str(text))) for text in (run.name, run.data.get("description") or ""))
    console.print(f"equiwm run [bold]{name}[/bold]" + (f": {description}" if description else ""))
    for part in (part for table in run_tables(run, claims, metrics) for part in on_terminal(table, _WIDTH)):
        console.print(part, crop=False)
    lines = [line.rstrip() for line in console.export_text(clear=False).splitlines()]
    write_atomic(run.summary_svg, console.export_svg(title=f"equiwm: {printable(run.name)}", unique_id="equiwm"))
    write_atomic(run.summary, "\n".join(lines) + "\n")
