"""A log as states, actions and episodes, checked: what the tests of data and a training read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equiwm.errors import DataError
from equiwm.logs.faults import refuse_duplicates, refuse_jumps, require_finite, steps_of_time
from equiwm.logs.formats import read_raw
from equiwm.logs.raw import Raw
from equiwm.logs.sets import without_padding
from equiwm.logs.spec import ColumnSpec, LogSpec
from equiwm.logs.spool import allocate, blocks
from equiwm.printable import quoted

Numbers = NDArray[np.float64]
_NAMED = 10
"""Episodes that are named one by one."""


@dataclass(frozen=True, eq=False)
class Logs:
    """Episodes of N rows in all; a row holds a state and the action that was taken in it.

    Attributes:
        path: where they were read.
        spec: what the columns are.
        state: name -> (N, width) float64, as logged.
        action: name -> (N, width) float64; what an episode's last row has says nothing where `short`.
        episode: (N,) which episode a row belongs to, 0, 1, ... in order.
        follows: (N,) whether a row is the successor of the one before it: of one episode, and no frame was dropped.
        rate: rows a second, where it is known.
        notes: what was found and left out, in words.
        first: which row of the log its first row is.
    """

    path: Path
    spec: LogSpec
    state: Mapping[str, Numbers]
    action: Mapping[str, Numbers]
    episode: NDArray[np.int64]
    follows: NDArray[np.bool_]
    rate: float | None
    notes: tuple[str, ...]
    first: int = 0

    def rows(self, at: slice) -> Logs:
        """Some of the rows, one after another."""
        state, action = ({name: values[at] for name, values in part.items()} for part in (self.state, self.action))
        episode, follows = self.episode[at], self.follows[at]
        return replace(self, state=state, action=action, episode=episode, follows=follows, first=self.first + at.start)

    @property
    def episodes(self) -> int:
        """How many."""
        return int(self.episode[-1]) + 1

    def transitions(self) -> NDArray[np.int64]:
        """Rows t whose successor t + 1, and the `history` rows before them, are there."""
        good = self.follows[1:].copy()
        for back in range(self.spec.history):
            good[back:] &= self.follows[: len(good) - back]
            good[:back] = False
        return np.flatnonzero(good)


def load_logs(path: Path, spec: LogSpec, *, skip_bad: bool = False) -> Logs:
    """Read a log and refuse one from which nothing could be learnt.

    Args:
        path: a file or folder of any known layout.
        spec: what its columns are.
        skip_bad: leave out files that cannot be read, and episodes with numbers that are not finite; `Logs.notes` names
            them.

    Raises:
        DataError: a missing column, unequal lengths, no actions, NaN, a single episode, time that runs backwards, rows
            that repeat the one before, a column that changes its unit, or a file that is damaged; the message names
            file, column and row.
        MissingExtraError: the library that reads it is not installed.
    """
    raw = read_raw(path, skip_bad=skip_bad)
    if not spec.action:
        raise DataError(
            f"{path}: no actions are declared. What follows a state depends on what was done: name the action's "
            "columns in reps.yaml."
        )
    state = {entry.name: _values(raw, entry) for entry in spec.state}
    action = {entry.name: _values(raw, entry) for entry in spec.action}
    columns = {**state, **action}
    rows = len(next(iter(columns.values())))
    for name, values in columns.items():
        if len(values) != rows:
            first = next(iter(columns))
            raise DataError(
                f"{path}: unequal lengths: {quoted(first)} has {rows:,} rows, {quoted(name)} {len(values):,}."
            )
    state, action = without_padding(raw, spec, state, action)
    columns = {**state, **action}
    episode = _episode(raw, spec, rows)
    last = np.append(episode[1:] != episode[:-1], True)
    short = {entry.name for entry in spec.action if {raw.resolved(name) for name in entry.sources} & raw.short}
    filled = {name: ~last if name in short else np.ones(rows, bool) for name in columns}
    notes = [f"left out: {said}" for said in raw.skipped]
    if skip_bad:
        whole, left_out = _finite_episodes(raw, columns, filled, episode)
        notes += left_out
        if left_out:
            state, action = ({name: values[whole] for name, values in part.items()} for part in (state, action))
        columns, rows, raw = {**state, **action}, int(whole.sum()), raw.of_rows(whole)
        filled = {name: among[whole] for name, among in filled.items()}
        episode, last = np.unique(episode[whole], return_inverse=True)[1].astype(np.int64), last[whole]
    for name, values in columns.items():
        require_finite(raw, name, values, filled[name])
    if not rows or episode[-1] == 0:
        raise DataError(
            f"{path}: one episode of {rows:,} rows; expected several. What is independent of each other is counted in "
            "episodes."
        )
    follows = np.append(False, ~last[:-1])
    rate = spec.rate or raw.rate
    if spec.time is not None:
        time = _column(raw, spec.time, rows)
        follows, rate, said = steps_of_time(raw, spec.time, time, follows)
        notes += said
    if spec.jumps == "refuse":
        for name, values in columns.items():
            refuse_jumps(raw, name, values, episode)
    if spec.duplicates != "keep":
        unfilled = last & bool(short)
        shown = {name: values for name, values in columns.items() if name not in short}
        repeats = _repeats(columns, follows & ~unfilled) | _repeats(shown, follows & unfilled)
        if spec.duplicates == "refuse":
            refuse_duplicates(raw, repeats, episode)
        kept = ~repeats
        if repeats.any():
            notes.append(f"{int(repeats.sum()):,} rows that repeat the one before were left out")
            state, action = ({name: values[kept] for name, values in part.items()} for part in (state, action))
        # A row after one that was left out follows the one that it repeated.
        episode, follows = episode[kept], _bridged(follows, kept)
    logs = Logs(path, spec, state, action, episode, follows, rate, tuple(notes))
    if not len(logs.transitions()):
        raise DataError(f"{path}: no row has a successor; expected episodes of {spec.history + 2} rows or more.")
    return logs


def _finite_episodes(
    raw: Raw, columns: Mapping[str, Numbers], filled: Mapping[str, NDArray[np.bool_]], episode: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], list[str]]:
    """The rows of episodes whose numbers are all finite, and which others there are."""
    bad = np.zeros(len(episode), bool)
    for name, values in columns.items():
        bad |= filled[name] & ~np.isfinite(values).all(1)
    left = np.unique(episode[bad])
    said = [
        f"left out: episode {k}, {raw.place(int((bad & (episode == k)).argmax()))}: not finite" for k in left[:_NAMED]
    ]
    if len(left) > _NAMED:
        said.append(f"left out: {len(left) - _NAMED:,} more episodes with numbers that are not finite")
    return ~np.isin(episode, left), said


def _bridged(follows: NDArray[np.bool_], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    broken = np.cumsum(~follows)
    at = broken[kept]
    return np.append(False, at[1:] == at[:-1])


def _repeats(columns: Mapping[str, Numbers], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows among some are the row before, in every column."""
    same = among.copy()
    for values in columns.values():
        same[1:] &= (values[1:] == values[:-1]).all(1)
    return same


def _column(raw: Raw, name: str, rows: int) -> Numbers:
    values = np.asarray(raw.columns[raw.resolved(name)], dtype=np.float64)
    if len(values) != rows:
        raise DataError(f"{raw.path}: unequal lengths: {quoted(name)} has {len(values):,} rows, the states {rows:,}.")
    return values.reshape(rows, -1)[:, 0]


def _values(raw: Raw, entry: ColumnSpec) -> Numbers:
    """(rows, width) of a quantity.

    Raises:
        DataError: a column or an entry that is not there, or columns of unequal lengths.
    """
    parts = [np.asarray(raw.columns[raw.resolved(name)]) for name in entry.sources]
    lengths = {len(part) if part.ndim else 0 for part in parts}
    if len(lengths) > 1 or 0 in lengths:
        given = ", ".join(
            f"{name} {len(part) if part.ndim else 0:,}" for name, part in zip(entry.sources, parts, strict=True)
        )
        raise DataError(
            f"{raw.path}: {quoted(entry.name)} is made of columns of unequal lengths, or empty ones: {given}."
        )
    flat = [part.reshape(len(part), -1) for part in parts]
    width = sum(part.shape[1] for part in flat)
    wrong = [k for k in entry.entries or () if not 0 <= k < width]
    if wrong:
        raise DataError(
            f"{raw.path}: {quoted(entry.name)} takes entry {wrong[0]} of {', '.join(entry.sources)}, which has "
            f"{width} (0 to {width - 1})."
        )
    chosen = list(range(width) if entry.entries is None else entry.entries)
    found = allocate((len(flat[0]), len(chosen)))
    for rows in blocks(len(found)):
        found[rows] = np.concatenate([part[rows] for part in flat], 1)[:, chosen]
    return found


def _episode(raw: Raw, spec: LogSpec, rows: int) -> NDArray[np.int64]:
    """(rows,) index of the episode of each row.

    Raises:
        DataError: nothing says where episodes end, or it says something impossible.
    """
    if spec.episodes is None:
        if raw.lengths is None:
            raise DataError(
                f"{raw.path}: where do episodes end? Say `episodes: {{index: COLUMN}}`, or ends or done, in reps.yaml."
            )
        lengths = np.asarray(raw.lengths)
        if lengths.sum() != rows:
            raise DataError(f"{raw.path}: its episodes have {lengths.sum():,} rows in all, the states {rows:,}.")
        return np.repeat(np.arange(len(lengths)), lengths)
    way, names = spec.episodes
    if way == "ends":
        name = raw.resolved(names[0])
        ends = np.asarray(raw.columns[name]).reshape(-1)
        lengths = np.diff(np.concatenate([[0], ends]))
        if not len(ends) or (lengths <= 0).any() or ends[-1] != rows or (lengths != np.floor(lengths)).any():
            raise DataError(
                f"{raw.path}: column {quoted(name)} does not hold the ends of episodes: expected rising counts of rows "
                f"up to {rows:,}."
            )
        return np.repeat(np.arange(len(ends)), lengths.astype(np.int64))
    given = np.stack([_column(raw, name, rows) for name in names])
    for name, values in zip(names, given, strict=True):
        require_finite(raw, name, values[:, None], np.ones(rows, bool))
    if way == "done":
        done = (given != 0).any(0)
        return np.cumsum(np.append(False, done[:-1])).astype(np.int64)
    changes = np.append(False, given[0, 1:] != given[0, :-1])
    _, first = np.unique(given[0][np.append(0, np.flatnonzero(changes))], return_index=True)
    if len(first) != changes.sum() + 1:
        seen: set[float] = set()
        for row in np.append(0, np.flatnonzero(changes)):
            value = float(given[0, row])
            if value in seen:
                raise DataError(
                    f"{raw.path}: column {quoted(names[0])}, {raw.place(int(row))}: episode {value:g} goes on "
                    "after another; "
                    "sort the rows by episode and time."
                )
            seen.add(value)
    return np.cumsum(changes).astype(np.int64)
