"""`history.csv`: one row an epoch, rewritten whole without changing a digit of the rows that stay."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from equiwm.disk.files import write_atomic
from equiwm.errors import RunError


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a `history.csv` in order of epoch, empty if there is none.

    Raises:
        RunError: the file is damaged.
    """
    return [{key: int(cell) if key == "epoch" else float(cell) for key, cell in row.items()} for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, str]]:
    """The stored rows as text, so that rewriting them changes no digit; every cell has been read once."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
        for row in rows:
            int(row["epoch"])
            for cell in row.values():
                float(cell)
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        raise RunError(f"{path} is damaged; remove the run, or restore the file.") from None
    return rows


def extend_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Append rows to a `history.csv`, one an epoch.

    Stored rows of the first new epoch and of later ones are dropped: they were written after the point
    that a training was resumed from. Write the history before `resume.pt`, or an interruption between the
    two leaves a gap.

    Args:
        path: the file; made if it is missing.
        rows: each with an `epoch` and the columns of the stored ones; NaN and infinities are kept.

    Raises:
        RunError: the file is damaged or cannot be written.
    """
    if not rows:
        return
    kept = [row for row in _rows(path) if int(row["epoch"]) < rows[0]["epoch"]]
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list((kept or rows)[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    for row in rows:  # as Python numbers: numpy's would be written as np.float64(...)
        writer.writerow({key: int(cell) if key == "epoch" else float(cell) for key, cell in row.items()})
    write_atomic(path, buffer.getvalue())
