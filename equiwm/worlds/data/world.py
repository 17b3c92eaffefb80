"""A world that is known by its logs alone: any layout of recorded episodes, and a `reps.yaml`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equiwm.checks import at_least_one
from equiwm.errors import DataError
from equiwm.logs.spec import LogSpec
from equiwm.logs.spool import allocate, blocks
from equiwm.models.clouds import centred
from equiwm.symmetry.coverage import Arc, Coverage, Overlap
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.data.config import DataConfig
from equiwm.worlds.data.orientation import cells_of, seen_by
from equiwm.worlds.data.recording import Recording, record
from equiwm.worlds.data.reps import group_of, reps_of
from equiwm.worlds.draws import Moved, Orientations, check_orientations, generator, orientations_of
from equiwm.worlds.world import Progress, RecordedBin, Sequences, SymmetryResidual, Transitions, action_shape

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

_SPLIT, _ROWS, _TURNS = 40, 41, 42  # streams of random numbers that never meet
_NO_DIRECTION = "a state without a direction"
_FEWEST, _SOME = 20, 0.1
"""Transitions of a bin, and the share of an even spread of training's that makes it a seen one."""


class _Shared:
    """What a world and its held-out side have in common: the log, read once, and its split."""

    def __init__(self, config: DataConfig, spec: LogSpec, group: Group) -> None:
        self._config, self._spec, self._group = config, spec, group

    @cached_property
    def recording(self) -> Recording:
        return record(self._config, self._spec, self._group)

    @cached_property
    def is_held_out(self) -> Mask:
        """(episodes,) which training never sees: a share of them, drawn with a seed that is the world's own."""
        episodes = self.recording.episodes
        count = min(max(round(self._config.held_out * episodes), 1), episodes - 1)
        found = np.zeros(episodes, bool)
        found[generator(_SPLIT, seed=self._config.split).permutation(episodes)[:count]] = True
        return found

    def rows(self, *, held_out: bool) -> Rows:
        """The transitions of one side."""
        rows = self.recording.rows
        kept = rows[self.is_held_out[self.recording.episode[rows]] == held_out]
        if not len(kept):
            raise DataError(
                f"{self._config.path}: no {'held-out' if held_out else 'training'} episode has a transition; another "
                "world.held_out or world.split divides them otherwise."
            )
        return kept


class Recorded:
    """Recorded episodes as a world: it gives what was recorded, and cannot be stepped.

    A state is the quantities of `reps.yaml` in their order, and with `history` before them the same of so many rows
    before it, the earliest first. Angles are unit vectors, quaternions three; points are counted from the log's centre,
    and are vectors where the group does not translate.

    Episodes are split once, by `world.split` and not by a training's seed: this world gives training episodes, and
    `held_out` is the same world of the others. Training asks the one, evaluation the other (`claims.probe`), so no
    transition is in both, whatever their seeds are.

    Whether the group's turns carry what happens is said by the user, or by `check-data` before a training
    (`world.symmetric`). If so a recorded transition that is turned is as good as one that was recorded, and `unseen`
    and `all` are the same transitions, turned. If not, they are what was recorded: `unseen` outside of `world.wedge`,
    without which nothing is unseen.

    Args:
        config: the log and how it is read; nothing but `reps.yaml` is read before it is needed.

    Raises:
        ConfigError, RepError, GroupError: a `reps.yaml` or a group that is none; a group that has to be said.
    """

    name = "data"
    Config = DataConfig

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        spec = self._spec = config.spec()
        d = spec.dimension
        self.group = group_of(config.group, d)
        self.equivariant: bool = config.symmetric is True
        reps = reps_of(spec.state, d, self.group)
        self._quantities = dict(zip((entry.name for entry in spec.state), reps, strict=True))
        self._state_rep = sum(reps[1:], reps[0])
        self.observation_rep = Rep(self._state_rep.terms * (spec.history + 1), d)
        self.action_rep = Rep([term for rep in reps_of(spec.action, d, self.group) for term in rep.terms], d)
        self._shared, self._side = _Shared(config, spec, self.group), False

    @property
    def dimension(self) -> int:
        """d of the space that the log was recorded in."""
        return self._spec.dimension

    @cached_property
    def held_out(self) -> Recorded:
        """This world, of the episodes that training never sees."""
        other = copy.copy(self)
        for name in ("held_out", "_rows"):
            other.__dict__.pop(name, None)
        other._side = True
        return other

    @cached_property
    def coverage(self) -> Coverage:
        """The orientations that training sees: the wedge, else those of the states of its episodes.

        Raises:
            DataError: nothing in the states, or no state, has a direction; a wedge of turns that are not about an axis.
        """
        turns = self._recording.turns
        if self.config.wedge is None:
            return seen_by(turns, self._shared.rows(held_out=False), self.dimension)
        if turns.angle_deg is None or turns.axis is None:
            raise DataError(f"world.wedge holds angles about an axis; orientations under {self.group} have none.")
        return Arc(*self.config.wedge, self.dimension, turns.axis or "z")

    @property
    def all_seen(self) -> bool:
        """Whether nothing is unseen: without a wedge, or, in a world that carries its group, with nothing around it."""
        if not self.equivariant:
            return self.config.wedge is None
        try:
            orientations_of(self.coverage, "unseen", self.group)
        except DataError:
            return True
        return False

    @property
    def components(self) -> Mapping[str, int]:
        """The channels of a state, those of earlier rows left out; none where it is not made of vectors alone."""
        if not self.observation_rep.structured:
            return {}
        names = [
            name if rep.multiplicity == 1 else f"{name} {each + 1}"
            for name, rep in self._quantities.items()
            for each in range(rep.multiplicity)
        ]
        first = self._state_rep.multiplicity * self._spec.history
        return {name: first + channel for channel, name in enumerate(names)}

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """At most `n` recorded transitions in random order: all that there are, where there are not so many.

        With one seed, `seen`, `all` and `unseen` of a world that carries its group are the same, turned otherwise.

        Raises:
            DataError: `n` below 1, a negative seed, unknown orientations, `unseen` where there are none; what is wrong
                with the log.
        """
        at_least_one("transitions", n=n)
        rows, excluded = self._at(orientations)
        rows = rows[generator(_ROWS, seed=seed).permutation(len(rows))[:n]]
        data = replace(self._recorded(rows), excluded=excluded)
        if progress is not None:
            progress(len(rows), len(rows))
        turns = self._turns(rows, seed, orientations)
        return data if turns is None else data.transform(turns, self.observation_rep, self.action_rep)

    def sequences(
        self,
        n: int,
        horizon: int,
        *,
        seed: int,
        orientations: Orientations = "seen",
        progress: Progress | None = None,
    ) -> Sequences:
        """At most `n` recorded stretches of `horizon` steps that share no step, in the order of the log.

        With one seed, `seen`, `all` and `unseen` of a world that carries its group are the same, turned otherwise; else
        `unseen` ones start outside of the wedge.

        Raises:
            DataError: as `transitions`; no episode goes on for so long.
        """
        at_least_one("sequences", n=n, horizon=horizon)
        rows, excluded = self._at(orientations)
        starts = np.intersect1d(_stretches(self._rows, horizon), rows, assume_unique=True)
        if not len(starts):
            raise DataError(f"{self.config.path}: no episode goes on for {horizon} steps at those orientations.")
        starts = np.sort(starts[generator(_ROWS, seed=seed).permutation(len(starts))[:n]])
        steps = starts[:, None] + np.arange(horizon + 1)
        observations, actions = self._states(steps), self._actions(steps[:, :-1])
        turns = self._turns(starts, seed, orientations)
        if turns is not None:
            observations = self.observation_rep.transform(observations, turns[:, None])
            actions = self.action_rep.transform(actions, turns[:, None])
        if progress is not None:
            progress(len(starts), len(starts))
        return Sequences(observations, actions, self._episodes(starts), excluded)

    def recorded_bins(self, n: int, *, seed: int, bins: int | None = None) -> list[RecordedBin]:
        """Transitions by the orientations they were recorded at: all that training has seen, then a bin each.

        Bins are equal arcs of the circle; of rotations of space they are those nearest to each of the cube's 24. A bin
        of fewer than 20 transitions is left out.

        Args:
            n: at most so many transitions of each.
            seed: which, where there are more.
            bins: arcs of the circle; None is 12.

        Raises:
            DataError: as `transitions`.
        """
        turns, training = self._recording.turns, self._trained
        seen = self.transitions(n, seed=seed)
        found = [RecordedBin("seen", None, 0.0, "full", seen)]
        rows = self._rows[turns.usable[self._rows]]
        cells = cells_of(turns, bins)
        few = max(_FEWEST, round(_SOME * len(training) / cells.count))
        for cell in range(cells.count):
            inside = rows[cells.of(rows) == cell]
            if len(inside) < _FEWEST:
                continue
            chosen = inside[generator(_ROWS, seed=seed).permutation(len(inside))[:n]]
            trained = int((cells.of(training) == cell).sum())
            overlap: Overlap = "full" if trained >= few else "partial" if trained else "none"
            found.append(
                RecordedBin(
                    cells.label(cell),
                    cells.middle(cell),
                    0.0 if overlap == "full" else cells.distance(cell, training),
                    overlap,
                    self._recorded(chosen),
                )
            )
        return found

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """Refused: what was not recorded is not known.

        Raises:
            DataError: always.
        """
        raise DataError(
            f"the world '{self.name}' is known by its log alone and cannot be stepped: what would follow another state "
            "or action was not recorded."
        )

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """Refused, as `step` is.

        Raises:
            DataError: always.
        """
        raise DataError(
            f"the world '{self.name}' cannot be stepped, so its own residual cannot be measured; equiwm check-data "
            f"{self.config.path} --group {self.group} asks its log."
        )

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """Each quantity of the state; points are seen from their mean where the group translates.

        Vectors and points are (n, C', d), all else is flat, as `target_reps` says.
        """
        n, rep = len(observation), self._state_rep
        flat = observation.reshape(n, -1)[:, rep.dim * self._spec.history :]
        state = centred(flat.reshape(n, *rep.shape), rep, self.group).reshape(n, -1)
        parts = state.split([each.dim for _, each in self._targets], -1)
        return {name: part.reshape(n, *each.shape) for part, (name, each) in zip(parts, self._targets, strict=True)}

    @property
    def target_reps(self) -> Mapping[str, Rep]:
        """Of the targets that are flat."""
        return {name: rep for name, rep in self._targets if not rep.structured}

    @cached_property
    def _targets(self) -> list[tuple[str, Rep]]:
        """Names and reps of what is read out, one kind each, in the order of a flat state."""
        return [
            (name if len(rep.terms) == 1 else f"{name} {kind}", Rep([(count, kind)], rep.d))
            for name, rep in self._quantities.items()
            for count, kind in rep.terms
        ]

    @property
    def _recording(self) -> Recording:
        return self._shared.recording

    @cached_property
    def _rows(self) -> Rows:
        return self._shared.rows(held_out=self._side)

    @property
    def _trained(self) -> Rows:
        """The transitions that training sees, whose state has a direction."""
        rows = self._shared.rows(held_out=False)
        return rows[self._recording.turns.usable[rows] & (self.config.wedge is None or self._inside(rows))]

    def _inside(self, rows: Rows) -> Mask:
        """Which rows lie in what training sees."""
        return np.asarray(self.coverage.contains(self._recording.turns.elements(rows)))

    def _at(self, orientations: Orientations) -> tuple[Rows, dict[str, int]]:
        """The rows to take (before any is turned), and how many were left out because they have no direction."""
        check_orientations(orientations)
        rows = self._rows
        if self.config.wedge is None or (orientations == "all" and not self.equivariant):
            if orientations == "unseen" and not self.equivariant:
                raise DataError(
                    f"{self.config.path}: training has seen every orientation that was recorded; hold some out with "
                    "world.wedge, or say world.symmetric=yes if its world carries " + f"{self.group}."
                )
            return rows, {}
        usable = rows[self._recording.turns.usable[rows]]
        inside = self._inside(usable)
        kept = usable[~inside] if orientations == "unseen" and not self.equivariant else usable[inside]
        if not len(kept):
            raise DataError(
                f"{self.config.path}: no recorded state is {orientations} by world.wedge {self.config.wedge}."
            )
        aside = len(rows) - len(usable)
        return kept, {_NO_DIRECTION: aside} if aside else {}

    def _turns(self, rows: Rows, seed: int, orientations: Orientations) -> Elements | None:
        """The elements that turn recorded rows to other orientations; None where they stay as they were."""
        if orientations == "seen" or not self.equivariant:
            return None
        law, rng = orientations_of(self.coverage, orientations, self.group), generator(_TURNS, seed=seed)
        if isinstance(law, Moved):
            return Elements.cat([law.move(int(rng.integers(2**53))) for _ in rows])
        return law.sample(len(rows), rng) @ self._recording.turns.elements(rows).inverse()

    def _recorded(self, rows: Rows) -> Transitions:
        return Transitions(self._states(rows), self._actions(rows), self._states(rows + 1), self._episodes(rows))

    def _states(self, rows: Rows) -> Tensor:
        """Observations of rows of any shape, (*rows.shape, *observation_rep.shape)."""
        back = range(self._spec.history, -1, -1)
        gathered = _gathered(self._recording.state, np.stack([rows - k for k in back], -1))
        return gathered.reshape(*rows.shape, *self.observation_rep.shape)

    def _actions(self, rows: Rows) -> Tensor:
        gathered = _gathered(self._recording.action, rows[..., None])
        return gathered.reshape(*rows.shape, *action_shape(self.action_rep))

    def _episodes(self, rows: Rows) -> Tensor:
        return torch.from_numpy(self._recording.episode[rows])


def _gathered(values: Tensor, rows: Rows) -> Tensor:
    """Rows of an array (N, k), part by part: rows (..., m) -> (..., m k)."""
    at = rows.reshape(-1, rows.shape[-1])
    found = allocate((len(at), at.shape[1] * values.shape[1]))
    for part in blocks(len(at)):
        found[part] = values[torch.from_numpy(at[part])].flatten(1).numpy()
    return torch.from_numpy(found)


def _stretches(rows: Rows, horizon: int) -> Rows:
    """First rows of stretches of `horizon` transitions that follow each other and share none."""
    first = np.append(True, np.diff(rows) != 1)
    place = np.arange(len(rows)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    lengths = np.diff(np.append(np.flatnonzero(first), len(rows)))[np.cumsum(first) - 1]
    return rows[(place % horizon == 0) & (place + horizon <= lengths)]
