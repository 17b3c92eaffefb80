"""What is wrong in a log, with its file, column and row: NaN, time that runs backwards, repeats, units that jump."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equiwm.errors import DataError
from equiwm.logs.raw import Raw
from equiwm.printable import quoted

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

_GAP = 1.5
"""Of the usual time step: beyond it a frame was dropped."""
_BLOCK = 25
"""Rows in which a unit does not change more than once."""
_JUMP = 12.0
"""Factor between two units: degrees and radians are 57 apart, m and cm 100."""
_AGREE = 4.0
"""A change of unit moves values and their steps by one factor, up to this; a thing that comes to rest does not."""


def require_finite(raw: Raw, name: str, values: Numbers, among: Mask) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: with the first row, and how many there are.
    """
    bad = ~np.isfinite(values).all(1) & among
    if bad.any():
        row = int(bad.argmax())
        entry = int((~np.isfinite(values[row])).argmax())
        raise DataError(
            f"{raw.path}: column {quoted(name)}, {raw.place(row)}, entry {entry}: {values[row, entry]} "
            f"({int(bad.sum()):,} "
            "such rows); expected finite numbers."
        )


def steps_of_time(raw: Raw, name: str, time: Numbers, follows: Mask) -> tuple[Mask, float | None, list[str]]:
    """Which rows follow the one before without a dropped frame, the rate, and what was found.

    Raises:
        DataError: time that is not finite, or does not rise within an episode.
    """
    require_finite(raw, name, time[:, None], np.ones(len(time), bool))
    step = np.diff(time, prepend=time[0])
    back = follows & (step <= 0)
    if back.any():
        row = int(back.argmax())
        raise DataError(
            f"{raw.path}: column {quoted(name)}, {raw.place(row)}: time goes from {time[row - 1]:g} to "
            f"{time[row]:g} within "
            "an episode; a duplicated or misplaced row."
        )
    if not follows.any():
        return follows, None, []
    usual = float(np.median(step[follows]))
    dropped = follows & (step > _GAP * usual)
    notes = [f"{int(dropped.sum()):,} steps over dropped frames were left out"] if dropped.any() else []
    return follows & ~dropped, 1 / usual, notes


def refuse_duplicates(raw: Raw, repeats: Mask, episode: NDArray[np.int64]) -> None:
    """Refuse rows that repeat the one before.

    Raises:
        DataError: with the first pair, and how many there are.
    """
    if repeats.any():
        row = int(repeats.argmax())
        raise DataError(
            f"{raw.path}: {raw.place(row)} repeats the row before it in every column ({int(repeats.sum()):,} such "
            "rows in "
            f"{len(np.unique(episode[repeats]))} episodes): duplicated frames. Say `duplicates: drop` in reps.yaml, or "
            "`keep` where things stand still."
        )


def refuse_jumps(raw: Raw, name: str, values: Numbers, episode: NDArray[np.int64]) -> None:
    """Refuse a column whose unit changes: in some rows values and their steps are both larger by one large factor.

    Raises:
        DataError: with the row where it changes, and the factor.
    """
    blocks = _blocks(episode)
    if len(blocks) < 4:
        return
    size, step = (np.empty(len(blocks)) for _ in range(2))
    for k, (start, stop) in enumerate(blocks):
        part = values[start:stop]
        size[k] = np.sqrt((part**2).mean())
        step[k] = np.sqrt((np.diff(part, axis=0) ** 2).mean()) if stop - start > 1 else 0.0
    moving = (size > 0) & (step > 1e-9 * size)
    if moving.sum() < 4:
        return
    order = np.flatnonzero(moving)[np.argsort(size[moving])]
    apart = size[order[1:]] / size[order[:-1]]
    at = int(apart.argmax()) + 1
    low, high = order[:at], order[at:]
    factor = np.median(size[high]) / np.median(size[low])
    of_steps = np.median(step[high]) / np.median(step[low])
    if apart[at - 1] < _JUMP or not factor / _AGREE < of_steps < factor * _AGREE:
        return
    fewer = low if len(low) < len(high) else high
    row = blocks[int(fewer.min())][0]
    raise DataError(
        f"{raw.path}: column {quoted(name)}, from about {raw.place(row)} (episode {int(episode[row])}): its "
        "values and steps "
        f"are {'smaller' if fewer is low else 'larger'} by a factor of {factor:.0f} than elsewhere; the unit "
        "jumps. Say "
        "`jumps: allow` in reps.yaml if they are right."
    )


def _blocks(episode: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Rows [start, stop) of one episode, at most so many at once."""
    starts = np.append(0, np.flatnonzero(np.diff(episode)) + 1)
    stops = np.append(starts[1:], len(episode))
    return [
        (first, min(first + _BLOCK, stop))
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
        for first in range(start, stop, _BLOCK)
    ]
