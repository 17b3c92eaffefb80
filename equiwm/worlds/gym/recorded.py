"""Training data of an environment from episodes that `equiwm collect` has written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.logs.episodes import Logs, load_logs
from equiwm.logs.spec import read_spec, required_spec
from equiwm.logs.typed import quantities
from equiwm.logs.writing import NPZ
from equiwm.symmetry.reps import Rep
from equiwm.worlds.draws import generator
from equiwm.worlds.world import Sequences, Transitions, action_shape

if TYPE_CHECKING:
    from equiwm.worlds.gym.world import GymWorld

_ORDER = 0x0D


class CollectedEpisodes:
    """Collected episodes as what a world is trained on; it is evaluated on new ones.

    Args:
        world: the world, whose quantities the log has to have.
        folder: what `equiwm collect` made.

    Raises:
        ConfigError: no `reps.yaml` lies there.
        DataError: a log that cannot be read, or other quantities than the world's.
    """

    def __init__(self, world: GymWorld, folder: Path) -> None:
        self._world, self._folder = world, folder
        path = folder / NPZ if (folder / NPZ).is_file() else folder
        self._logs = load_logs(path, read_spec(required_spec(path)))
        state, action = quantities(self._logs)
        given = [(quantity.name, self._like(quantity.rep)) for quantity in (*state, *action)]
        layouts = (*world.state.quantities.items(), *world.push.quantities.items())
        expected = [(name, placed.rep) for name, placed in layouts]
        if given != expected:
            shown = [", ".join(f"{name} ({rep})" for name, rep in each) for each in (given, expected)]
            raise DataError(f"world.episodes {folder} has the quantities {shown[0]}; the environment has {shown[1]}.")
        self._states, self._actions = (torch.cat([part.values for part in parts], 1) for parts in (state, action))

    def _like(self, rep: Rep) -> Rep:
        return rep if self._world.group.translations else rep.linear_part

    @property
    def logs(self) -> Logs:
        """The log."""
        return self._logs

    def transitions(self, n: int, seed: int) -> Transitions:
        """`n` transitions of whole episodes, in an order that the seed gives; the last one is cut off.

        Raises:
            DataError: there are fewer.
        """
        rows = self._ordered(self._logs.transitions(), seed)
        self._require(n, len(rows), "transitions")
        rows = rows[:n]
        states, actions = self._rows(rows), self._acts(rows)
        return Transitions(states, actions, self._rows(rows + 1), torch.from_numpy(self._logs.episode[rows]))

    def sequences(self, n: int, horizon: int, seed: int) -> Sequences:
        """`n` sequences that do not overlap, `horizon` steps each.

        Raises:
            DataError: there are fewer.
        """
        steps = set(self._logs.transitions().tolist())
        starts, free = [], -1
        for row in sorted(steps):
            if row >= free and all(row + step in steps for step in range(horizon)):
                starts.append(row)
                free = row + horizon
        self._require(n, len(starts), f"sequences of {horizon} steps")
        rows = np.sort(self._ordered(np.array(starts), seed)[:n])
        around = rows[:, None] + np.arange(horizon + 1)
        states = self._rows(around.reshape(-1)).unflatten(0, around.shape)
        actions = self._acts(around[:, :-1].reshape(-1)).unflatten(0, (len(rows), horizon))
        return Sequences(states, actions, torch.from_numpy(self._logs.episode[rows]))

    def _ordered(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """Rows by episodes in a random order, those of an episode in theirs."""
        place = generator(_ORDER, seed=seed).permutation(self._logs.episodes)
        found: np.ndarray = rows[np.argsort(place[self._logs.episode[rows]], kind="stable")]
        return found

    def _rows(self, rows: np.ndarray) -> Tensor:
        return self._states[torch.from_numpy(rows)].reshape(len(rows), *self._world.observation_rep.shape)

    def _acts(self, rows: np.ndarray) -> Tensor:
        return self._actions[torch.from_numpy(rows)].reshape(len(rows), *action_shape(self._world.action_rep))

    def _require(self, n: int, there: int, what: str) -> None:
        if n > there:
            raise DataError(
                f"world.episodes {self._folder} has {there:,} {what}, {n:,} were asked for; collect more, or set "
                "training.transitions."
            )
