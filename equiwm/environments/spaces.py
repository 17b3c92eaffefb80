"""What an environment shows or takes, as one flat row of numbers, and back in the form of its space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from equiwm.errors import DataError, nearest
from equiwm.printable import quoted

Rows = NDArray[np.float64]
"""(n, W)."""


@dataclass(frozen=True, eq=False)
class Part:
    """One array of numbers in a space.

    Attributes:
        path: keys that lead to it; empty where the space itself is a Box.
        box: its space.
        start: its first entry in the flat row.
    """

    path: tuple[str, ...]
    box: spaces.Box
    start: int

    @property
    def size(self) -> int:
        """How many numbers."""
        return int(np.prod(self.box.shape, dtype=np.int64))

    @property
    def entries(self) -> slice:
        """Where they are in the flat row."""
        return slice(self.start, self.start + self.size)


class Flat:
    """The numbers of a Box, or of a Dict of them, side by side.

    Pictures (`uint8`, or three axes) and what is no Box are left out of observations; of an action nothing may be.

    Args:
        space: of the environment.
        what: `observation` or `action`: the column of a Box by itself.
        where: the environment, for messages.

    Raises:
        DataError: a space without numbers (pixels alone), or an action that has a choice among its parts.
    """

    def __init__(self, space: Space[Any], what: str, where: str) -> None:
        self.what, self.where = what, where
        found = list(_leaves(space, ()))
        boxes = [(path, leaf) for path, leaf in found if isinstance(leaf, spaces.Box) and not _is_picture(leaf)]
        if not boxes:
            shown = "pixels alone" if any(isinstance(leaf, spaces.Box) for _, leaf in found) else _kind(space)
            raise DataError(f"{where}: its {what} is {shown}; expected numbers, a Box or a Dict of them.")
        left = [(path, leaf) for path, leaf in found if (path, leaf) not in boxes]
        if left and what == "action":
            raise DataError(f"{where}: its action has a {_kind(left[0][1])}, which has no rep; expected Boxes alone.")
        self.parts: list[Part] = []
        for path, box in boxes:
            self.parts.append(Part(path, box, self.width))

    @property
    def width(self) -> int:
        """W, numbers in a row."""
        return self.parts[-1].entries.stop if self.parts else 0

    def column(self, part: Part) -> str:
        """What a part is called in `reps.yaml`: its keys, or for a Box `observation` or `action`."""
        return "/".join(part.path) or self.what

    @property
    def columns(self) -> dict[str, Part]:
        """Column -> part."""
        return {self.column(part): part for part in self.parts}

    def logged(self, column: str) -> str:
        """What a column is called in a log: `observation.hand`, `action`; of a Box `observation.state`."""
        if column == self.what:
            return "action" if self.what == "action" else "observation.state"
        return f"{self.what}.{column.replace('/', '.')}"

    def resolved(self, name: str) -> str:
        """The full name of a column; the last part of it is enough where it is the only one, or its name in a log.

        Raises:
            DataError: there is no such column.
        """
        if name in self.columns:
            return name
        ends = [full for full in self.columns if full.rpartition("/")[2] == name]
        if not ends:
            ends = [full for full in self.columns if self.logged(full) == name]
        if len(ends) != 1:
            raise DataError(f"{self.where}: its {self.what} has no {quoted(name)}; {nearest(name, self.columns)}")
        return ends[0]

    def row(self, value: Any) -> Rows:
        """One value of the space as a row (W,) float64.

        Raises:
            DataError: a value of another form, or with numbers that are not finite.
        """
        row = np.empty(self.width)
        for part in self.parts:
            found = value
            for key in part.path:
                found = found.get(key) if isinstance(found, Mapping) else None
            try:
                numbers = np.asarray(found, dtype=np.float64)
            except (TypeError, ValueError):
                numbers = np.empty(0)
            if numbers.size != part.size:
                raise DataError(
                    f"{self.where}: the {self.what} '{self.column(part)}' has shape {np.shape(found)}, its space says "
                    f"{part.box.shape}."
                )
            row[part.entries] = numbers.reshape(-1)
        if not np.isfinite(row).all():
            part = next(part for part in self.parts if not np.isfinite(row[part.entries]).all())
            raise DataError(f"{self.where}: the {self.what} '{self.column(part)}' is not finite.")
        return row

    def value(self, row: Rows) -> Any:
        """A row (W,) in the form of the space, in its dtypes."""
        made: dict[str, Any] = {}
        for part in self.parts:
            numbers = row[part.entries].reshape(part.box.shape)
            numbers = np.rint(numbers) if part.box.dtype.kind in "iu" else numbers
            array = numbers.astype(part.box.dtype)
            if not part.path:
                return array
            inner = made
            for key in part.path[:-1]:
                inner = inner.setdefault(key, {})
            inner[part.path[-1]] = array
        return made

    @property
    def bounds(self) -> tuple[Rows, Rows]:
        """Lowest and highest of every number, (W,); infinite where there is none."""
        low, high = (np.concatenate([getattr(part.box, end).reshape(-1) for part in self.parts]) for end in _ENDS)
        return low.astype(np.float64), high.astype(np.float64)


_ENDS = ("low", "high")


def _leaves(space: Space[Any], path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Space[Any]]]:
    if isinstance(space, spaces.Dict):
        return [leaf for key, inner in space.spaces.items() for leaf in _leaves(inner, (*path, str(key)))]
    return [(path, space)]


def _is_picture(box: spaces.Box) -> bool:
    return len(box.shape) >= 3 or (box.dtype == np.uint8 and len(box.shape) >= 2)


def _kind(space: Space[Any]) -> str:
    return f"{type(space).__name__} space"
