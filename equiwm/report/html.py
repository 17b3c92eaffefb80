"""The report as one HTML file that needs nothing else: tables that sort, figures inline, light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from equiwm.report.document import Report
from equiwm.report.drawings import Picture
from equiwm.tables.page import rendered


def html(report: Report, pictures: Sequence[Picture]) -> str:
    """The whole page, from `templates/report.html`.

    Args:
        report: what is told.
        pictures: figures, each below the tables of its chapter; those of the whole report come first.
    """
    return rendered(
        "equiwm.report",
        "report.html",
        report=report,
        pictures=pictures,
        count=sum(len(setting.runs) for setting in report.settings),
        studies=sum(run.kind == "study" for run in report.runs),
    )
