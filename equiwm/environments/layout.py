"""The quantities of an environment's numbers, as tensors with a representation, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equiwm.environments.spaces import Flat, Rows
from equiwm.errors import DataError, RepError
from equiwm.logs.episodes import Logs
from equiwm.logs.spec import ColumnSpec, LogSpec
from equiwm.logs.typed import about, quantities
from equiwm.printable import quoted
from equiwm.symmetry.reps import Rep


@dataclass(frozen=True)
class Placed:
    """One quantity, and where it lies.

    Attributes:
        spec: what `reps.yaml` says of it.
        rep: how it transforms.
        start: its first entry in the flat tensor.
        unit: of its entries, for words; of an angle `rad` or `deg`.
    """

    spec: ColumnSpec
    rep: Rep
    start: int
    unit: str

    @property
    def entries(self) -> slice:
        """Its entries in the flat tensor."""
        return slice(self.start, self.start + self.rep.dim)


class Layout:
    """What an environment shows, or takes, as tensors of a rep: the quantities in the order of `reps.yaml`.

    Args:
        flat: the numbers of its space.
        columns: the quantities of the state, or of the action.
        spec: dimension and centre.
        translations: whether the group has them. Where it has none a point, counted from the centre, is a vector.

    Attributes:
        quantities: name -> where it lies.
        rep: the sum of their reps.

    Raises:
        DataError: a column or an entry that the space does not have.
        RepError: a rep that does not fit its entries.
    """

    def __init__(self, flat: Flat, columns: Sequence[ColumnSpec], spec: LogSpec, *, translations: bool) -> None:
        self.flat, self._spec = flat, spec
        self._columns, self._entries = tuple(columns), [_entries(flat, column) for column in columns]
        self.quantities: dict[str, Placed] = {}
        start = 0
        for column, quantity in zip(
            columns, self._typed(np.zeros((1, flat.width)) + _upright(flat, columns)), strict=True
        ):
            rep = quantity[0] if translations else quantity[0].linear_part
            unit = (column.unit or "rad") if column.rep == "angle" else "deg" if column.rep == "quat" else column.unit
            self.quantities[column.name] = Placed(column, rep, start, unit)
            start += rep.dim
        reps = [placed.rep for placed in self.quantities.values()]
        self.rep = sum(reps[1:], reps[0])

    def _typed(self, rows: Rows) -> list[tuple[Rep, Tensor]]:
        state = {column.name: rows[:, entries] for column, entries in zip(self._columns, self._entries, strict=True)}
        of_state = LogSpec(self._spec.dimension, self._columns, (), centre=self._spec.centre)
        episode = np.zeros(len(rows), np.int64)
        logs = Logs(Path(self.flat.where), of_state, state, {}, episode, episode.astype(bool), None, ())
        return [(quantity.rep, quantity.values) for quantity in quantities(logs)[0]]

    def tensor(self, rows: Rows) -> Tensor:
        """Rows (n, W) as (n, *rep.shape), float64.

        Raises:
            DataError: a quaternion that is none.
        """
        values = torch.cat([values for _, values in self._typed(rows)], 1)
        return values.reshape(len(rows), *self.rep.shape)

    def counted(self, name: str, row: Rows) -> Tensor:
        """The entries of a quantity that is neither an angle nor a quaternion, points counted from the centre."""
        at = list(self.quantities).index(name)
        values = torch.from_numpy(row[self._entries[at]].copy())
        return about(values, Rep.parse(self._columns[at].rep, self._spec.dimension), self._spec.centre)

    def part(self, observation: Tensor, name: str) -> Tensor:
        """A quantity (..., width) of observations (..., *rep.shape)."""
        inner = len(self.rep.shape)
        return observation.flatten(-inner)[..., self.quantities[name].entries]

    @property
    def partial(self) -> str | None:
        """Why rows cannot be made of tensors, in words; None where they can."""
        taken = [entry for entries in self._entries for entry in entries]
        missing = sorted(set(range(self.flat.width)) - set(taken))
        if missing:
            part = next(part for part in self.flat.parts if part.start <= missing[0] < part.entries.stop)
            return f"entry {missing[0] - part.start} of '{self.flat.column(part)}' is no quantity of reps.yaml"
        if len(taken) != len(set(taken)):
            return "an entry is in two quantities of reps.yaml"
        return None

    def rows(self, tensor: Tensor) -> Rows:
        """Tensors (n, *rep.shape) as rows (n, W): what `tensor` takes to them, up to rounding.

        Raises:
            DataError: an entry that is no quantity, so that nothing is known of it.
        """
        if self.partial is not None:
            raise DataError(f"{self.flat.where}: its {self.flat.what} cannot be put together: {self.partial}.")
        made = np.empty((len(tensor), self.flat.width))
        for placed, entries in zip(self.quantities.values(), self._entries, strict=True):
            made[:, entries] = self._untyped(placed, self.part(tensor, placed.spec.name).detach().cpu().double())
        return made

    def _untyped(self, placed: Placed, values: Tensor) -> Rows:
        column = placed.spec
        if column.rep == "angle":
            angle = torch.atan2(values[:, 1], values[:, 0])[:, None].numpy()
            return np.rad2deg(angle) if column.unit == "deg" else angle
        if column.rep == "quat":
            return _quaternions(values, column.order)
        centre = self._spec.centre
        shifted = (
            values
            if centre is None
            else about(values, Rep.parse(column.rep, self._spec.dimension), tuple(-x for x in centre))
        )
        found: Rows = shifted.numpy()
        return found


def _entries(flat: Flat, column: ColumnSpec) -> list[int]:
    """The entries of a quantity in the flat row.

    Raises:
        DataError: a column or an entry that is not there.
    """
    joined: list[int] = []
    for source in column.sources:
        part = flat.columns[flat.resolved(source)]
        joined += range(part.entries.start, part.entries.stop)
    if column.entries is None:
        return joined
    wrong = [entry for entry in column.entries if not 0 <= entry < len(joined)]
    if wrong:
        raise DataError(
            f"{flat.where}: {quoted(column.name)} takes entry {wrong[0]} of {', '.join(column.sources)}, which has "
            f"{len(joined)} (0 to {len(joined) - 1})."
        )
    return [joined[entry] for entry in column.entries]


def _upright(flat: Flat, columns: Sequence[ColumnSpec]) -> Rows:
    """A row on which quaternions are unit ones, for the first look at the reps."""
    row = np.zeros(flat.width)
    for column in columns:
        if column.rep == "quat":
            entries = _entries(flat, column)
            if len(entries) != 4:
                raise RepError(f"{flat.where}: {quoted(column.name)}: a quaternion has 4 entries; got {len(entries)}.")
            row[entries[0 if column.order == "wxyz" else 3]] = 1.0
    return row


def _quaternions(columns: Tensor, order: str) -> Rows:
    """Unit quaternions (n, 4), w at least 0, of matrices by their columns (n, 9)."""
    from scipy.spatial.transform import Rotation

    matrices = columns.reshape(-1, 3, 3).mT.numpy()
    matrices = matrices * np.sign(np.linalg.det(matrices))[:, None, None]  # a mirrored one is none: it is another's
    found: Rows = Rotation.from_matrix(matrices).as_quat(canonical=True)
    return found if order == "xyzw" else np.roll(found, 1, axis=1)
