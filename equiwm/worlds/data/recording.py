"""The log of a world of data as numbers: states, actions, and which rows are transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equiwm.logs.episodes import load_logs
from equiwm.logs.spec import LogSpec
from equiwm.logs.typed import quantities
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
    state, action = quantities(logs)
    return Recording(
        torch.cat([each.values for each in state], 1),
        torch.cat([each.values for each in action], 1),
        logs.episode,
        logs.transitions(),
        turned(spec, state, group, config.orientation),
        logs.notes,
    )
