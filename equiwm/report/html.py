"""The report as one HTML file that needs nothing else: tables that sort, figures inline, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from equiwm.report.document import Report
from equiwm.report.drawings import Picture

_SENTENCE = 8
"""Words from which on a cell is taken for a sentence, and wraps."""

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def html(report: Report, pictures: Sequence[Picture]) -> str:
    """The whole page, from `templates/report.html`.

    Args:
        report: what is told.
        pictures: figures, each below the tables of its chapter; those of the whole report come first.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("equiwm.report")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    page.filters |= {"source": _source, "split_range": lambda text: text.partition(" [")}
    return page.get_template("report.html").render(
        report=report,
        pictures=pictures,
        count=sum(len(setting.runs) for setting in report.settings),
        studies=sum(run.kind == "study" for run in report.runs),
        sentence=_SENTENCE,
    )


def _source(picture: Picture) -> str:
    """A figure as it stands in the page itself."""
    data = base64.b64encode(picture.data).decode("ascii")
    return f"data:{_TYPES[picture.kind]};base64,{data}"
