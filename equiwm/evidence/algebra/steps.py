"""Transitions that were logged, as the search takes them: the seam that readers of logs feed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.logs.episodes import Logs
from equiwm.logs.npz import read_npz as read_arrays
from equiwm.logs.raw import Array
from equiwm.logs.typed import quantities
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import Transitions, World

_NAMES = {
    "state": ("state", "observation", "states", "observations"),
    "action": ("action", "actions"),
    "next": ("next_state", "next_observation", "next_states", "next_observations"),
    "episode": ("episode", "episodes"),
}


@dataclass(frozen=True, eq=False)
class Steps:
    """n transitions (s, a) -> s', float64.

    Attributes:
        state: s, (n, D).
        action: a, (n, A); A may be 0.
        following: s', (n, D).
        episode: (n,) which episode each is of: neighbours are not independent.
        state_rep: of s and s'; None where nothing is known.
        action_rep: of a.
    """

    state: Tensor
    action: Tensor
    following: Tensor
    episode: Tensor
    state_rep: Rep | None = None
    action_rep: Rep | None = None

    def __post_init__(self) -> None:
        """Refuse what is no set of transitions.

        Raises:
            DataError: other shapes, or numbers that are not finite.
        """
        n = len(self.state)
        if self.state.shape != self.following.shape or len(self.action) != n or len(self.episode) != n:
            shapes = ", ".join(str(tuple(x.shape)) for x in (self.state, self.action, self.following, self.episode))
            raise DataError(f"transitions: states, actions, next states and episodes have shapes {shapes}.")
        for name, values in (("states", self.state), ("actions", self.action), ("next states", self.following)):
            bad = torch.nonzero(~values.isfinite().all(1)).flatten()
            if len(bad):
                raise DataError(f"transitions: {name} hold NaN or infinity in {len(bad)} rows, the first is {bad[0]}.")

    def __len__(self) -> int:
        return len(self.state)

    @staticmethod
    def of(data: Transitions, state: Rep | None, action: Rep | None) -> Steps:
        """Transitions of a world or of a reader."""
        n = len(data)
        before, act, after = (
            x.reshape(n, -1).double().cpu() for x in (data.observation, data.action, data.next_observation)
        )
        return Steps(before, act, after, data.episode.cpu(), state, action)

    @staticmethod
    def of_logs(logs: Logs) -> Steps:
        """Transitions of a log. Earlier steps that belong to a state count as given, as actions are.

        Raises:
            RepError, DataError: as `equiwm.logs.typed.quantities`.
        """
        state, action = quantities(logs)
        rows = torch.from_numpy(logs.transitions())
        given = [
            (each.rep.linear_part, each.values[rows - back + 1] - each.values[rows - back])
            for back in range(1, logs.spec.history + 1)
            for each in state
        ] + [(each.rep, each.values[rows]) for each in action]
        d = logs.spec.dimension
        return Steps(
            torch.cat([each.values[rows] for each in state], 1),
            torch.cat([values for _, values in given], 1) if given else torch.zeros(len(rows), 0, dtype=torch.float64),
            torch.cat([each.values[rows + 1] for each in state], 1),
            torch.from_numpy(logs.episode)[rows],
            Rep([term for each in state for term in each.rep.terms], d),
            Rep([term for rep, _ in given for term in rep.terms], d) if given else None,
        )

    @staticmethod
    def of_world(world: World, n: int, seed: int) -> Steps:
        """`n` transitions that a world gives as its training data."""
        return Steps.of(world.transitions(n, seed=seed), world.observation_rep, world.action_rep)


def read_npz(path: Path) -> Steps:
    """Transitions of an npz file: `state`, `action`, `next_state`, and `episode` where it is there.

    Raises:
        DataError: a file that cannot be read, is too large, or that lacks one of them.
    """
    found = read_arrays(path).columns

    def column(what: str) -> Array | None:
        return next((found[name] for name in _NAMES[what] if name in found), None)

    state, action, following = column("state"), column("action"), column("next")
    if state is None or following is None:
        lacks = "state" if state is None else "next_state"
        raise DataError(
            f"{path} has no '{lacks}'; it has {', '.join(found) or 'no numbers'}. Of a log of whole episodes a "
            f"reps.yaml says what its columns are: equiwm check-data {path} --guess > reps.yaml."
        )
    n = len(state) if state.ndim else 0
    if n == 0 or len(following) != n or (action is not None and len(action) != n):
        raise DataError(f"{path}: state, action and next_state have other lengths, or none.")
    episode = column("episode")

    def rows(values: Array) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float64).reshape(n, -1))

    none = np.zeros((n, 0))
    which = torch.arange(n) if episode is None else torch.from_numpy(np.unique(episode, return_inverse=True)[1])
    return Steps(rows(state), rows(none if action is None else action), rows(following), which)
