"""The report's numbers as one tidy table: a row a number."""

from __future__ import annotations

from collections.abc import Iterator

from equiwm.report.document import Report
from equiwm.results.ablation import AblationResult, AblationRow, read_rows
from equiwm.tables.sheet import csv_text

COLUMNS = (
    *("run", "preset", "setting", "baseline", "world", "seed", "parameters"),
    *("claim", "variant", "probe", "quantity", "at", "value", "weights"),
)
"""`setting` is the name of all seeds' runs, `baseline` that of the setting it is compared with; `at` is where a
quantity was measured (horizon, bin, target, cell of a study). A number that is missing or not finite is empty.
`weights` is `other` where a result was measured on other weights than its run has."""


def tidy_csv(report: Report) -> str:
    """CSV with the columns `COLUMNS`, numbers in full precision: `pandas.read_csv` gives them back.

    Text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    import pandas as pd

    rows = [*_trained(report), *_ablated(report)]
    return csv_text(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object))


def _trained(report: Report) -> Iterator[dict[str, object]]:
    for setting in report.settings:
        for each in setting.results:
            common = {
                "run": each.run,
                "preset": each.preset,
                "setting": setting.label,
                "baseline": setting.baseline,
                "world": setting.world,
                "seed": each.seed,
                "parameters": setting.parameters,
                "claim": each.claim.name,
                "variant": each.asked,
                "probe": each.probe,
                "weights": "other" if each.other_weights else None,
            }
            for column in each.claim.shown.columns:
                for quantity, at, value in column.rows(each.result):
                    yield {**common, "quantity": quantity, "at": at, "value": value}


def _ablated(report: Report) -> Iterator[dict[str, object]]:
    """The rows of ablations: every number that is neither a seed nor a size, with its cell as `at`."""
    for run in report.runs:
        for each in run.results:
            result = each.measured.result
            if not isinstance(result, AblationResult):
                continue
            rows = read_rows(AblationRow, result.rows, f"{run.name}: ")
            for row, columns in zip(rows, result.rows, strict=True):
                common = {
                    "run": run.name,
                    "setting": f"{run.name}: {row.arm}",
                    "world": result.world,
                    "seed": row.seed,
                    "parameters": row.parameters,
                    "claim": each.claim.name,
                    "variant": f"{result.kind}, {row.dim}D",
                    "at": row.cell,
                }
                for quantity, value in columns.items():
                    if quantity not in ("seed", "parameters", "dim") and isinstance(value, int | float):
                        yield {**common, "quantity": quantity, "value": value}
