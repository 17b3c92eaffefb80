"""`history.csv`: one row an epoch, appended.

A row ends with its line: what an interrupted append left behind the last line end is no row, and goes with the next one
that is written. A file that is written whole keeps every digit of the rows that stay.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from equiwm.disk.append import append_whole
from equiwm.disk.files import write_atomic
from equiwm.disk.text import read_text
from equiwm.errors import RunError
from equiwm.layout.binding import sha256


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a `history.csv` in order of epoch, empty if there is none.

    Raises:
        RunError: the file is damaged: no numbers, a column twice, or an epoch twice or out of order.
    """
    return [{key: int(cell) if key == "epoch" else float(cell) for key, cell in row.items()} for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, str]]:
    """The stored rows as text, so that rewriting them changes no digit; every cell has been read once."""
    if not os.path.lexists(path):
        return []
    text = read_text(path, inside=path.parent)
    whole = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    reader = csv.DictReader(io.StringIO(whole, newline=""), strict=True)
    try:
        rows = list(reader)
        if reader.fieldnames and "epoch" not in reader.fieldnames:
            raise KeyError("epoch")
        for row in rows:
            int(row["epoch"])
            for cell in row.values():
                float(cell)
    except (KeyError, TypeError, ValueError, csv.Error):
        raise RunError(f"{path} is damaged; remove the run, or restore the file.") from None
    columns = list(reader.fieldnames or ())
    epochs = [int(row["epoch"]) for row in rows]
    for twice in (
        *(f"the column '{name}'" for name in columns if columns.count(name) > 1),
        *(f"epoch {later}" for former, later in pairwise(epochs) if later <= former),
    ):
        raise RunError(f"{path} is damaged: it has {twice} twice or out of order; restore the file.")
    return rows


def _text(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, header: bool = True) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


class HistoryWriter:
    """Extends a `history.csv`, one row an epoch, as long as nobody else writes it.

    The first rows are written with all that stay, as a whole file; those that follow are appended, at a cost that does
    not depend on how many there are.

    Args:
        path: the file; made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: list[str] = []
        self._epoch = self._size = 0
        self._digest = hashlib.sha256()

    def extend(self, rows: Sequence[Mapping[str, float]]) -> str:
        """Write rows at the end.

        Stored rows of the first new epoch and of later ones are dropped: they were written after the point that a
        training was resumed from. Write the history before `resume.pt`, or an interruption between the two leaves a
        gap. An interruption of the append itself leaves a line without an end, which is no row.

        Args:
            rows: at least one, each with an `epoch` and the columns of the stored ones; NaN and infinities are kept.

        Returns:
            `history_sha256` up to the last new epoch.

        Raises:
            RunError: the file is damaged, cannot be written, or was written by somebody else since.
        """
        # As Python numbers: numpy's would be written as np.float64(...)
        new = [{key: int(cell) if key == "epoch" else float(cell) for key, cell in row.items()} for row in rows]
        if self._columns and rows[0]["epoch"] > self._epoch:
            content = _text(new, self._columns, header=False).encode()
            append_whole(self._path, content, size=self._size)
        else:
            kept = [row for row in _rows(self._path) if int(row["epoch"]) < rows[0]["epoch"]]
            columns = list((kept or new)[0])
            content = _text([*kept, *new], columns).encode()
            write_atomic(self._path, content)
            self._columns, self._size, self._digest = columns, 0, hashlib.sha256()
        self._epoch = int(new[-1]["epoch"])
        self._size += len(content)
        self._digest.update(content)
        return self._digest.hexdigest()


def history_sha256(path: Path, epoch: int) -> str | None:
    """SHA-256 of the rows of a `history.csv` up to an epoch, however its lines end; None where there are none.

    Raises:
        RunError: the file is damaged.
    """
    rows = [row for row in _rows(path) if int(row["epoch"]) <= epoch]
    return sha256(_text(rows, list(rows[0]))) if rows else None


def require_history(path: Path, epoch: int, sha: str | None, weights: Path) -> None:
    """Refuse a `history.csv` that is not the one of some weights.

    Args:
        path: the history.
        epoch: epochs that the weights were trained for.
        sha: of its rows up to that epoch, as the weights' file says; None where it does not say.
        weights: their file, for the message.

    Raises:
        RunError: an epoch has no row, or the rows are another training's.
    """
    epochs = {int(row["epoch"]) for row in _rows(path)}
    missing = [number for number in range(1, epoch + 1) if number not in epochs]
    if missing:
        raise RunError(
            f"{path} has no row for epoch {missing[0]}"
            + (f" and {len(missing) - 1} others" if len(missing) > 1 else "")
            + f", and {weights} was trained for {epoch}: restore the history, or train again under another --name."
        )
    if sha is not None and history_sha256(path, epoch) != sha:
        raise RunError(
            f"{path} is not the history of {weights}: its rows up to epoch {epoch} are others. "
            "Restore the history, or train again under another --name."
        )
