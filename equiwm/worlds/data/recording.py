"""The log of a world of data as numbers: states, actions, and which rows are transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equiwm.logs.episodes import Logs, load_logs
from equiwm.logs.raw import Array
from equiwm.logs.spec import LogSpec
from equiwm.logs.spool import allocate, blocks
from equiwm.logs.typed import Quantity, quantities, rep_of
from equiwm.symmetry.group import Group
from equiwm.worlds.data.config import DataConfig
from equiwm.worlds.data.orientation import Turned, turned


@dataclass(frozen=True, eq=False)
class Recording:
    """N rows of a log.

    Attributes:
        state: (N, k) the quantities of a row, side by side, float64; points are counted from the log's centre.
        action: (N, m) the same of its action.
        episode: (N,) which episode a row belongs to.
        rows: rows that have a successor, and the history before them.
        turns: how each row is turned.
        notes: what was found and left out.
    """

    state: Tensor
    action: Tensor
    episode: NDArray[np.int64]
    rows: NDArray[np.int64]
    turns: Turned
    notes: tuple[str, ...]

    @property
    def episodes(self) -> int:
        """How many."""
        return int(self.episode[-1]) + 1


def record(config: DataConfig, spec: LogSpec, group: Group) -> Recording:
    """Read the log of a world.

    Raises:
        DataError, RepError, MissingExtraError: as `load_logs` and `quantities`.
        ConfigError, DataError: as `turned`.
    """
    logs = load_logs(config.place, spec, skip_bad=config.skip_bad)
    state, action = (_laid_out(logs, part) for part in (0, 1))
    return Recording(
        state,
        action,
        logs.episode,
        logs.transitions(),
        turned(spec, _named(spec, state), group, config.orientation),
        logs.notes,
    )


def _laid_out(logs: Logs, part: int) -> Tensor:
    """The typed states (part 0) or actions (1) of all rows, side by side."""
    found: Array | None = None
    for rows in blocks(len(logs.episode)):
        typed = quantities(logs.rows(rows))[part]
        values = torch.cat([each.values for each in typed], 1).numpy()
        if found is None:
            found = allocate((len(logs.episode), values.shape[1]))
        found[rows] = values
    return torch.from_numpy(found)


def _named(spec: LogSpec, state: Tensor) -> list[Quantity]:
    """The quantities of the states, as they lie side by side."""
    reps = [rep_of(entry, spec.dimension) for entry in spec.state]
    parts = state.split([rep.dim for rep in reps], 1)
    return [
        Quantity(entry.name, rep, values, entry.unit)
        for entry, rep, values in zip(spec.state, reps, parts, strict=True)
    ]
