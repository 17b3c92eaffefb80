"""`MODEL_CARD.md`, and the tables that `equiwm export` prints."""

from __future__ import annotations

from typing import Any

from equiwm.export.record import ExportRecord
from equiwm.layout.header import versions
from equiwm.printable import printable
from equiwm.subject import Subject
from equiwm.tables.table import Table, number


def parts_table(record: ExportRecord) -> Table:
    """Every part: the verdict on the run's own and on the exported one, and how far they are apart."""
    rows = [
        (
            name,
            part.run.verdict,
            number(part.run.residual, 2),
            part.export.verdict,
            number(part.export.residual, 2),
            number(part.export.rounding, 2),
            number(part.agreement, 2),
        )
        for name, part in record.parts.items()
    ]
    columns = ("part", "run", "residual", "export", "residual", "rounding", "agreement")
    own, other = (
        " or ".join(dict.fromkeys(figures.precision for figures in sides))
        for sides in zip(*((part.run, part.export) for part in record.parts.values()), strict=True)
    )
    notes = (
        f"Under {record.group.upper()}, the run in {own}, the export in {other}. Residual: of the channel that "
        "decides, over its own variation; agreement: largest difference from the run over the largest output.",
    )
    return Table(f"{record.name}: {record.format}, {record.dtype}", columns, rows, notes)


def card(record: ExportRecord, subject: Subject, coverage: str) -> str:
    """The model card, Markdown.

    Args:
        record: of the export.
        subject: the run.
        coverage: what its training has seen, in words.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    page = Environment(
        loader=PackageLoader("equiwm.export"),
        autoescape=False,  # Markdown; what others wrote is escaped by `finalize`
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    config = subject.config
    told: dict[str, Any] = {
        "record": record,
        "config": None if config is None else config.as_dict(),
        "data": _data(subject, coverage),
        "trained": _trained(subject),
        "made": {} if subject.run is None else subject.run.header.versions,
        "versions": versions(),
        "table": _Markdown(parts_table(record).markdown()),
    }
    return page.get_template("card.md").render(**told)


class _Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def _data(subject: Subject, coverage: str) -> str:
    """What it was trained on, in words."""
    if subject.has_own_data:
        return f"{len(subject.train)} rows that were given by hand"
    seen = f", {coverage}" if coverage else ""
    return "" if subject.config is None else f"{subject.config.training.transitions} transitions{seen}"


def _trained(subject: Subject) -> dict[str, Any]:
    """What training says of itself; empty where no training of ours made the model."""
    found: object = {} if subject.run is None else subject.run.metrics().get("train", {})
    return found if isinstance(found, dict) else {}


def _shown(value: object) -> object:
    """Text as it may stand in Markdown: printable, in one line, and no markup of its own."""
    if not isinstance(value, str) or isinstance(value, _Markdown):
        return value
    text = printable(value).replace("\n", " ")
    return "".join(f"\\{character}" if character in "\\`*_[]<>|#" else character for character in text)
