"""What cells cost, from cells like them that were computed before: CPU seconds as their grids have kept them.

A cell is like another that has the same key, seeds apart, in a study of the same size. What was never computed has no
estimate.
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from equiwm.errors import RunError
from equiwm.grid import Cell, stored_seconds
from equiwm.runs import STUDY_RUNS, Run

_SEED = re.compile(r"seed=\d+")
_HASH = re.compile(r"-[0-9a-f]{16}$")


@dataclass(frozen=True)
class CellCosts:
    """Measured CPU seconds by what a cell is called.

    Attributes:
        seconds: name of a cell without its seed -> one number a cell that was measured.
    """

    seconds: Mapping[str, list[float]] = field(default_factory=dict)

    def of(self, cell: Cell) -> float | None:
        """Median of the cells that differ from this one in the seed alone; None where there is none."""
        known = self.seconds.get(_called(cell.id))
        return statistics.median(known) if known else None


def _called(cell_id: str) -> str:
    return _SEED.sub("seed=*", _HASH.sub("", cell_id))


def measured_costs(studies: Iterable[Path], *, quick: bool) -> CellCosts:
    """What the cells of reproductions have cost.

    Args:
        studies: directories of reproductions; what is missing, damaged or of the other size is passed over.
        quick: whether the smoke test is asked about, whose cells have the same names and are smaller.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for path in studies:
        try:
            study = Run.open(path, needs_checkpoint=False).data.get("study", {})
        except RunError:
            continue
        if study.get("claim") != "reproduction" or study.get("quick") is not quick:
            continue
        stores = [
            *sorted(path.glob("cells/*/*/seconds.json")),
            *sorted(path.glob(f"{STUDY_RUNS}/*/cells/seconds.json")),
        ]
        for store in stores:
            for cell, seconds in stored_seconds(store.parent).items():
                found[_called(cell)].append(seconds)
    return CellCosts(dict(found))


def reference_study() -> Path:
    """The reference runs of the checkout that this package is in, whether they are there or not."""
    return Path(__file__).resolve().parents[3] / "runs" / "reference"
