"""The report as one HTML file that needs nothing else: tables that sort, figures inline, light and dark."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from equiwm.printable import printable
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
    from markupsafe import Markup

    loader = PackageLoader("equiwm.report")
    page = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True, finalize=_finished
    )
    style, script = (Markup(loader.get_source(page, name)[0]) for name in ("page.css", "page.js"))
    page.filters |= {"source": _source, "split_range": lambda text: text.partition(" [")}
    return page.get_template("report.html").render(
        report=report,
        pictures=pictures,
        count=sum(len(setting.runs) for setting in report.settings),
        studies=sum(run.kind == "study" for run in report.runs),
        sentence=_SENTENCE,
        style=style,
        script=script,
        policy=_policy(style, script),
    )


def _finished(value: object) -> object:
    """What is put into the page: text without characters that nobody sees or that turn what follows."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _policy(style: str, script: str) -> str:
    """Nothing is loaded from anywhere, and of styles and scripts only these two run, whatever a run's texts hold."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(picture: Picture) -> str:
    """A figure as it stands in the page itself."""
    data = base64.b64encode(picture.data).decode("ascii")
    return f"data:{_TYPES[picture.kind]};base64,{data}"
