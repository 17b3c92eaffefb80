"""The report as HTML that needs nothing from elsewhere: tables that sort, figures, light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from equiwm.report.document import Report
from equiwm.report.pictures import Picture
from equiwm.tables.page import rendered


def html(report: Report, pictures: Sequence[Picture], *, linked: bool = False) -> str:
    """The whole page, from `templates/report.html`.

    Args:
        report: what is told.
        pictures: figures, each below the tables of its chapter; those of the whole report come first.
        linked: refer to the files of the figures; else they are in the page itself.
    """
    return rendered(
        "equiwm.report",
        "report.html",
        report=report,
        pictures=pictures,
        linked=linked,
        count=sum(len(setting.runs) for setting in report.settings),
        studies=sum(run.kind == "study" for run in report.runs),
    )
