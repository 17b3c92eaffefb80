"""The quantities of a log as tensors with a representation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equiwm.errors import DataError, RepError
from equiwm.logs.episodes import Logs, Numbers
from equiwm.logs.spec import ColumnSpec
from equiwm.printable import quoted
from equiwm.symmetry.reps import Rep, vectors

_UNIT = 0.02
"""How far the norm of a quaternion may be from 1."""
_RADIANS = 7.0
"""Angles of one turn are smaller; degrees soon are not."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """One quantity of all rows.

    Attributes:
        name: what it is called.
        rep: how it transforms.
        values: (N, rep.dim) float64; points about the centre of the log.
        unit: of its entries.
    """

    name: str
    rep: Rep
    values: Tensor
    unit: str


def quantities(logs: Logs) -> tuple[list[Quantity], list[Quantity]]:
    """The states and the actions of a log.

    An angle becomes the vector (cos, sin), in space (cos, sin, 0); a quaternion the columns of its matrix, three
    vectors; of points the log's centre is taken off.

    Raises:
        RepError: a rep that cannot be read, or does not fit the width of its columns.
        DataError: a quaternion that is none.
    """
    state = [_quantity(logs, entry, logs.state[entry.name]) for entry in logs.spec.state]
    action = [_quantity(logs, entry, logs.action[entry.name]) for entry in logs.spec.action]
    return state, action


def rep_of(entry: ColumnSpec, d: int) -> Rep:
    """How a quantity transforms once it is typed: an angle is one vector, a quaternion three.

    Raises:
        RepError: a rep that cannot be read; the message names the quantity.
    """
    if entry.rep in ("angle", "quat"):
        return vectors(1 if entry.rep == "angle" else 3, d)
    try:
        return Rep.parse(entry.rep, d)
    except RepError as error:
        raise RepError(f"{quoted(entry.name)}: {error}") from None


def _quantity(logs: Logs, entry: ColumnSpec, values: Numbers) -> Quantity:
    d = logs.spec.dimension
    try:
        rep = rep_of(entry, d)
    except RepError as error:
        raise RepError(f"{logs.path}: {error}") from None
    if entry.rep == "angle":
        return Quantity(entry.name, rep, _directions(logs, entry, values, d), "rad")
    if entry.rep == "quat":
        return Quantity(entry.name, rep, _columns(logs, entry, values), "rad")
    if rep.dim != values.shape[1]:
        raise RepError(
            f"{logs.path}: {quoted(entry.name)} has {values.shape[1]} entries a row, rep {rep} takes {rep.dim} in "
            f"{d} dimensions."
        )
    found = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    return Quantity(entry.name, rep, about(found, rep, logs.spec.centre), entry.unit)


def about(values: Tensor, rep: Rep, centre: tuple[float, ...] | None) -> Tensor:
    """Values whose points are counted from a centre; None is the origin."""
    if centre is None or not rep.has_points:
        return values
    return values - rep.translations @ torch.tensor(centre, dtype=torch.float64)


def _directions(logs: Logs, entry: ColumnSpec, values: Numbers, d: int) -> Tensor:
    if values.shape[1] != 1 or entry.unit not in ("rad", "deg"):
        raise RepError(
            f"{logs.path}: {quoted(entry.name)}: an angle is one entry with unit rad or deg; got "
            f"{values.shape[1]} entries "
            f"and unit {quoted(entry.unit)}."
        )
    beyond = np.abs(values[:, 0]) > _RADIANS
    if entry.unit == "rad" and not entry.unwrapped and beyond.any():
        row = int(beyond.argmax())
        raise DataError(
            f"{logs.path}: column {quoted(entry.name)}, row {logs.first + row}: an angle of {values[row, 0]:.4g} rad "
            f"({int(beyond.sum()):,} beyond {_RADIANS:g}); say `unit: deg` if these are degrees, `unwrapped: true` if "
            "turns are counted on."
        )
    angle: NDArray[np.float64] = values[:, 0] if entry.unit == "rad" else np.deg2rad(values[:, 0])
    parts = [np.cos(angle), np.sin(angle), np.zeros_like(angle)][:d]
    return torch.from_numpy(np.stack(parts, 1))


def _columns(logs: Logs, entry: ColumnSpec, values: Numbers) -> Tensor:
    """(N, 9): the columns of the rotation matrices, one after another."""
    from scipy.spatial.transform import Rotation

    if values.shape[1] != 4 or logs.spec.dimension != 3:
        raise RepError(
            f"{logs.path}: {quoted(entry.name)}: a quaternion has 4 entries and lives in space; got {values.shape[1]} "
            f"entries in {logs.spec.dimension} dimensions."
        )
    off = np.abs(np.linalg.norm(values, axis=1) - 1.0) > _UNIT
    if off.any():
        row = int(off.argmax())
        raise DataError(
            f"{logs.path}: column {quoted(entry.name)}, row {logs.first + row}: the quaternion has norm "
            f"{np.linalg.norm(values[row]):.3g} ({int(off.sum()):,} such rows); expected unit quaternions."
        )
    last = values if entry.order == "xyzw" else np.roll(values, -1, axis=1)
    matrices = Rotation.from_quat(last).as_matrix()
    return torch.from_numpy(matrices.transpose(0, 2, 1).reshape(len(values), 9).copy())
