"""Transitions with typed parts: what the test reads, from a log or from a world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equiwm.logs.episodes import Logs
from equiwm.logs.typed import quantities
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import Transitions


@dataclass(frozen=True, eq=False)
class Part:
    """One part of states or actions.

    Attributes:
        name: what it is called.
        rep: how it transforms.
        now: (n, rep.dim) float64 before the step.
        change: (n, rep.dim) s' - s, which transforms by the linear part of the rep; None where it is given and not
            predicted: an action, or what was before.
        unit: of the entries.
    """

    name: str
    rep: Rep
    now: Tensor
    change: Tensor | None
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Observed:
    """n transitions.

    Attributes:
        parts: states first, then what was before, then actions.
        episode: (n,) what belongs together.
        notes: what was left out.
        source: what they are, for titles.
    """

    parts: tuple[Part, ...]
    episode: NDArray[np.int64]
    notes: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.episode)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Observed:
        """Some of the transitions."""
        at = torch.from_numpy(np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows))
        parts = tuple(
            Part(part.name, part.rep, part.now[at], None if part.change is None else part.change[at], part.unit)
            for part in self.parts
        )
        return Observed(parts, self.episode[at.numpy()], self.notes, self.source)


def of_logs(logs: Logs) -> Observed:
    """The transitions of a log. Earlier steps that belong to a state enter as changes from one row to the next.

    Raises:
        RepError, DataError: as `equiwm.logs.typed.quantities`.
    """
    state, action = quantities(logs)
    rows = torch.from_numpy(logs.transitions())
    parts = [
        Part(each.name, each.rep, each.values[rows], each.values[rows + 1] - each.values[rows], each.unit)
        for each in state
    ]
    for back in range(1, logs.spec.history + 1):
        for each in state:
            before = each.values[rows - back + 1] - each.values[rows - back]
            parts.append(Part(f"{each.name} {back} before", each.rep.linear_part, before, None, each.unit))
    parts += [Part(each.name, each.rep, each.values[rows], None, each.unit) for each in action]
    return Observed(tuple(parts), logs.episode[rows.numpy()], logs.notes, logs.path.name)


def of_transitions(
    data: Transitions, observation_rep: Rep, action_rep: Rep, components: Mapping[str, int] | None = None
) -> Observed:
    """Transitions of a world, its channels named where the world names them.

    Args:
        data: n transitions.
        observation_rep, action_rep: how they transform.
        components: name -> channel.
    """
    names = {channel: name for name, channel in (components or {}).items()}
    parts, channel, start = [], 0, 0
    now, after = (values.reshape(len(data), -1).double() for values in (data.observation, data.next_observation))
    for count, kind in observation_rep.terms:
        for _ in range(count):
            rep = Rep([(1, kind)], observation_rep.d)
            at = slice(start, start + rep.dim)
            name = names.get(channel, f"channel {channel}")
            parts.append(Part(name, rep, now[:, at], after[:, at] - now[:, at]))
            channel, start = channel + 1, start + rep.dim
    parts.append(Part("action", action_rep, data.action.reshape(len(data), -1).double(), None))
    return Observed(tuple(parts), np.asarray(data.episode), (), "transitions")
