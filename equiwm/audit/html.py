"""An audit as a page, and as the output of a notebook's cell."""

from __future__ import annotations

from equiwm.audit.figure import pictures_of
from equiwm.audit.result import AuditResult
from equiwm.audit.words import layer_table, symmetry_table, tables
from equiwm.tables.page import rendered


def page(result: AuditResult, name: str) -> str:
    """One file that needs nothing else: verdict, causes, figures and tables.

    Args:
        result: what the audit says.
        name: of what was audited.
    """
    shown = tables(result, name)
    shown += [layer_table(result, name)] if result.layers else []
    shown += [symmetry_table(result, name)] if result.symmetries else []
    return rendered(
        "equiwm.audit",
        "audit.html",
        result=result,
        name=name,
        pictures=pictures_of(result),
        tables=shown,
    )


def cell(result: AuditResult) -> str:
    """The verdict, what breaks it and the figures, as a fragment of HTML."""
    return rendered("equiwm.audit", "cell.html", result=result, pictures=pictures_of(result))
