"""CSV that a spreadsheet may open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equiwm.printable import formula_safe

if TYPE_CHECKING:
    import pandas as pd


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV: numbers in full precision, text printable and no formula (`equiwm.printable.formula_safe`)."""
    safe = frame.map(_cell).rename(columns=_cell)
    return str(safe.to_csv(index=False, lineterminator="\n"))


def _cell(value: object) -> object:
    return formula_safe(value) if isinstance(value, str) else value
