"""What a model of PushT is trained on where demonstrations are all that there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from equiwm.errors import DataError
from equiwm.symmetry.coverage import Coverage
from equiwm.symmetry.groups import SO2
from equiwm.worlds.draws import generator
from equiwm.worlds.pusht.agent import agent_velocities
from equiwm.worlds.pusht.demonstrations import Demonstrations, read_demonstrations
from equiwm.worlds.pusht.physics import (
    AGENT,
    AGENT_VELOCITY,
    ANGLE,
    AXIS_ANGLE,
    REACH,
    block_in_arena,
)

OPTION = "world.demonstrations"
AT_WALL = "wall: block at a wall"
TOO_FAR = f"action: a target more than {REACH:g} px away"
OUTSIDE = "orientation: outside of world.wedge"
_ORDER = 0xDE30


@dataclass(frozen=True, eq=False)
class Steps:
    """m control steps of recorded episodes, in the order in which they are taken.

    Attributes:
        before, after: (m, STATE_SIZE) states.
        action: (m, 2), in units of `REACH`.
        episode: (m,) number of the demonstration.
        excluded: steps that were left out, by reason.
    """

    before: np.ndarray
    action: np.ndarray
    after: np.ndarray
    episode: np.ndarray
    excluded: dict[str, int]


class Demonstrated:
    """Recorded episodes as control steps: absolute targets as actions, and the agent's velocity from its controller.

    An action is (u - p) / 100 px, as elsewhere in this world; velocities are `agent_velocities`. The block's is neither
    recorded nor observed. Left out are steps at whose ends a corner of the block is not clear of the walls (the agent
    passes through them), the few whose target lies farther away than an action reaches, and those outside of the wedge.

    Args:
        path: of the recordings (`read_demonstrations`).
        seen: the orientations of the stem that steps may begin at; the others are left out.
    """

    def __init__(self, path: Path, seen: Coverage) -> None:
        self._path, self._seen = path, seen

    @cached_property
    def _recorded(self) -> tuple[Demonstrations, np.ndarray, np.ndarray]:
        """The recordings, their states with velocities, and their actions.

        Raises:
            DataError: as `read_demonstrations` and `agent_velocities`.
        """
        read = read_demonstrations(self._path, OPTION, targets=True)
        assert read.targets is not None
        states = read.states.copy()
        states[:, AGENT_VELOCITY] = agent_velocities(
            states[:, AGENT], read.targets, read.ends, f"{OPTION} {self._path}"
        )
        return read, states, (read.targets - states[:, AGENT]) / REACH

    @cached_property
    def _episode(self) -> np.ndarray:
        read, _, _ = self._recorded
        return np.repeat(np.arange(len(read.ends)), np.diff(read.ends, prepend=0))

    @cached_property
    def _rows(self) -> tuple[np.ndarray, dict[str, int]]:
        """Rows that begin a step which is taken, ascending, and how many are not, by reason."""
        _, states, actions = self._recorded
        rows = np.flatnonzero(np.diff(self._episode, append=-1) == 0)
        clear = block_in_arena(states[rows]) & block_in_arena(states[rows + 1])
        near = np.linalg.norm(actions[rows], axis=-1) <= 1.0
        stem = np.rad2deg(states[rows, ANGLE] + AXIS_ANGLE["stem"])
        inside = np.asarray(self._seen.contains(SO2.rotation(torch.from_numpy(stem))))
        left = {AT_WALL: ~clear, TOO_FAR: clear & ~near, OUTSIDE: clear & near & ~inside}
        excluded = {reason: int(rows_left.sum()) for reason, rows_left in left.items()}
        return rows[clear & near & inside], {reason: count for reason, count in excluded.items() if count}

    def steps(self, n: int, *, seed: int) -> Steps:
        """At most n steps, of whole demonstrations in an order that the seed gives; the last one is cut off.

        Raises:
            DataError: none is left; as `read_demonstrations` and `agent_velocities`.
        """
        rows, excluded = self._rows
        if not len(rows):
            said = ", ".join(f"{count:,} {reason}" for reason, count in excluded.items()) or "none begins a step"
            raise DataError(f"{OPTION} {self._path}: none of its rows is left ({said}).")
        taken = self._ordered(rows, seed)[:n]
        return self._steps(taken, excluded)

    def stretches(self, n: int, horizon: int, *, seed: int) -> Steps:
        """At most n stretches of `horizon` steps on end that share no step, one after another: n x horizon steps.

        Raises:
            DataError: no demonstration goes on for so long; as `steps`.
        """
        rows, excluded = self._rows
        starts, free = [], -1
        there = set(rows.tolist())
        for row in rows.tolist():
            if row >= free and all(row + step in there for step in range(horizon)):
                starts.append(row)
                free = row + horizon
        if not starts:
            raise DataError(f"{OPTION} {self._path}: no demonstration goes on for {horizon} steps.")
        taken = np.sort(self._ordered(np.array(starts), seed)[:n])
        return self._steps((taken[:, None] + np.arange(horizon)).reshape(-1), excluded)

    def _ordered(self, rows: np.ndarray, seed: int) -> np.ndarray:
        place = generator(_ORDER, seed=seed).permutation(int(self._episode[-1]) + 1)
        found: np.ndarray = rows[np.argsort(place[self._episode[rows]], kind="stable")]
        return found

    def _steps(self, rows: np.ndarray, excluded: dict[str, int]) -> Steps:
        _, states, actions = self._recorded
        return Steps(states[rows], actions[rows], states[rows + 1], self._episode[rows], excluded)
