"""The channels of a state, an observation or an action: names, and how two values of one are compared.

A simulator keeps its state as a row of numbers. Some belong together (a position, a quaternion), some wrap around
(an angle). A difference of two rows is taken channel by channel, as one number: a distance for numbers and vectors, an
angle for angles, the angle of the rotation between them for quaternions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from equiwm.errors import DataError

ColumnKind = Literal["number", "angle", "quaternion"]


@dataclass(frozen=True)
class Column:
    """One channel.

    Attributes:
        name: as it is shown.
        index: which entries of the row it is made of.
        kind: `number` (also vectors), `angle` in radians, or `quaternion` (w, x, y, z), of which q and -q are one.
    """

    name: str
    index: tuple[int, ...]
    kind: ColumnKind = "number"

    def difference(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """How far apart two batches of rows (..., S) are in this channel, (...)."""
        index = list(self.index)
        if self.kind == "quaternion":
            # The chord min |q -+ p| of unit quaternions is 2 sin(angle / 4), which is accurate where arccos is not.
            p, q = (_unit(rows[..., index]) for rows in (a, b))
            chord = np.minimum(np.linalg.norm(p - q, axis=-1), np.linalg.norm(p + q, axis=-1))
            return np.asarray(4 * np.arcsin(np.clip(chord / 2, 0.0, 1.0)))
        apart = a[..., index] - b[..., index]
        if self.kind == "angle":
            apart = (apart + np.pi) % (2 * np.pi) - np.pi
        return np.asarray(np.linalg.norm(apart, axis=-1))

    def size(self, rows: np.ndarray) -> float:
        """RMS length of the channel's values over all rows: what an ulp is an ulp of."""
        if self.kind == "quaternion":
            return 1.0
        return float(np.sqrt(np.mean(np.square(rows[..., list(self.index)]).sum(-1))))


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-300))


def differences(columns: Sequence[Column], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Every channel's difference, (..., C)."""
    return np.stack([column.difference(a, b) for column in columns], -1)


def columns_of(
    width: int,
    names: Mapping[str, int | Sequence[int]] | Sequence[str] | None,
    *,
    angles: Sequence[str] = (),
    quaternions: Sequence[str] = (),
    what: str = "state",
) -> tuple[Column, ...]:
    """The channels of rows of a given width.

    Args:
        width: S.
        names: channel -> its entry or entries; or one name an entry; or None: one channel an entry, by number.
        angles: names of those that are angles in radians.
        quaternions: names of those that are quaternions, w first.
        what: what the rows are, for errors.

    Raises:
        DataError: names that do not fit the width, entries that no channel has or that two have, or unknown names.
    """
    if names is None:
        names = {f"{what} {k}": k for k in range(width)}
    elif not isinstance(names, Mapping):
        if len(names) != width:
            raise DataError(f"the channels of a {what} are {len(names)} names; expected {width}, one an entry.")
        names = {str(name): k for k, name in enumerate(names)}
    index = {name: (at,) if isinstance(at, int) else tuple(int(k) for k in at) for name, at in names.items()}
    found = sorted(k for at in index.values() for k in at)
    if found != list(range(width)):
        raise DataError(f"the channels of a {what} have the entries {found}; expected each of 0 to {width - 1} once.")
    for name in (*angles, *quaternions):
        if name not in index:
            raise DataError(f"a {what} has no channel '{name}': known: {', '.join(index)}.")
    for name in quaternions:
        if len(index[name]) != 4:
            raise DataError(f"channel '{name}' is a quaternion of {len(index[name])} entries; expected 4, w first.")
    return tuple(
        Column(name, at, "angle" if name in angles else "quaternion" if name in quaternions else "number")
        for name, at in index.items()
    )
