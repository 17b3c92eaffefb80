"""The log of a world of data as numbers: states, actions, and which rows are transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equiwm.errors import ConfigError
from equiwm.logs.episodes import load_logs
from equiwm.logs.spec import ColumnSpec, LogSpec
from equiwm.logs.typed import quantities, rep_of
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
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


def group_of(config: DataConfig, spec: LogSpec) -> Group:
    """The group of a world of data.

    Raises:
        ConfigError: none is named in space, where gravity decides.
        GroupError: an unknown one.
    """
    if config.group is not None:
        group = Group.parse(config.group)
        if group.d != spec.dimension:
            raise ConfigError(
                f"world.group: {group} acts on {group.d} dimensions, and the log has {spec.dimension} (`dimension` in "
                "reps.yaml)."
            )
        return group
    if spec.dimension == 2:
        return Group.parse("so2")
    raise ConfigError(
        "world.group is missing: in space say so2z where gravity singles out the vertical, se2z where places on the "
        "ground do not matter either, so3 or se3 where nothing is singled out."
    )


def reps_of(entries: tuple[ColumnSpec, ...], d: int, group: Group) -> list[Rep]:
    """How each quantity transforms in a world: where nothing translates, a point is a vector from the centre.

    Raises:
        RepError: a rep that cannot be read.
    """
    reps = [rep_of(entry, d) for entry in entries]
    return reps if group.translations else [rep.linear_part for rep in reps]
