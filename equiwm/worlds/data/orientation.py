"""How each recorded state is turned, and which turns a log has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equiwm.errors import ConfigError, DataError, nearest
from equiwm.logs.spec import ColumnSpec, LogSpec
from equiwm.logs.typed import Quantity
from equiwm.printable import quoted
from equiwm.symmetry.about import AboutAxis
from equiwm.symmetry.composites import TensorProduct
from equiwm.symmetry.coverage import Arc, Coverage, Whole
from equiwm.symmetry.elements import Elements, planar_rotations, rotations
from equiwm.symmetry.exchanges import Items
from equiwm.symmetry.finite import octahedral
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import POINT, VECTOR, Kind
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import set_layout

_SHORTEST = 1e-6
"""Of the usual length: a shorter vector has no direction."""
_FEW = 0.05
"""Share of states without a direction beyond which a vector is no frame."""
_GAP_DEG = 10.0
"""A circle is seen whole if no gap is wider."""
_NEAR_DEG = 20.0
"""A rotation of space has been seen if one that was recorded is so near."""
_ARCS = 12
_KEPT, _PROBES, _WHOLE = 1500, 1000, 0.995

Direction = Literal["body", "vector", "point"]


@dataclass(frozen=True, eq=False)
class Turned:
    """How N states are turned.

    Attributes:
        by: what it was read off.
        usable: (N,) whether a direction was there.
        angle_deg: (N,) the angle in [0, 360), of turns of a plane; None of rotations of space.
        linear: (N, 3, 3) rotations of space; None of turns of a plane.
        group: the world's.
    """

    by: str
    usable: NDArray[np.bool_]
    angle_deg: NDArray[np.float64] | None
    linear: Tensor | None
    group: Group

    def elements(self, rows: NDArray[np.int64]) -> Elements:
        """The rotations of some rows; what stands where `usable` is false says nothing."""
        if self.linear is not None:
            linear = self.linear[torch.from_numpy(rows)]
            return Elements(linear, linear.new_zeros(len(rows), 3))
        assert self.angle_deg is not None
        flat = planar_rotations(np.deg2rad(self.angle_deg[rows]))
        elements = Elements(flat, flat.new_zeros(len(rows), 2))
        return self.group.laid(elements) if isinstance(self.group, AboutAxis) else elements

    @property
    def axis(self) -> str | None:
        """Name of the axis of space that they turn about; empty in the plane, None where it has no name."""
        if self.group.d == 2:
            return ""
        return self.group.axis if isinstance(self.group, AboutAxis) else None


def turned(spec: LogSpec, state: Sequence[Quantity], group: Group, name: str | None) -> Turned:
    """How the states of a log are turned, read off a quantity.

    Args:
        spec: what the columns are.
        state: the quantities.
        group: the world's; under one that translates, points have a direction as seen from the first.
        name: of the quantity; None is the first that has a direction nearly everywhere, bodies' angles before
            vectors, and vectors before points.

    Raises:
        ConfigError: no quantity of that name.
        DataError: none has a direction.
    """
    group, names = group.spatial, [each.name for each in state]
    if name is not None and name not in names:
        raise ConfigError(f"world.orientation: no quantity {quoted(name)} in the state; {nearest(name, names)}")
    found = [each for each in _directions(spec.state, state, group) if name in (None, each.name)]
    found.sort(key=lambda each: ("body", "vector", "point").index(each.kind))
    if group.d == 2 or isinstance(group, AboutAxis):
        for each in found:
            read = _about(each, group)
            if read.usable.mean() >= 1.0 - _FEW:
                return read
    else:
        for k, first in enumerate(found):
            for second in found[k + 1 :]:
                read = _in_space(first, second, group)
                if read.usable.mean() >= 1.0 - _FEW:
                    return read
    what = "no quantity of the state has" if name is None else f"{quoted(name)} does not have"
    raise DataError(
        f"{what} a direction from which an orientation under {group} could be read; expected an angle, a vector or a "
        "point away from the centre" + (", two of them in space." if group.d == 3 else ".")
    )


@dataclass(frozen=True, eq=False)
class _Direction:
    name: str
    kind: Direction
    values: Tensor


def _directions(entries: Sequence[ColumnSpec], state: Sequence[Quantity], group: Group) -> Iterator[_Direction]:
    origin: Tensor | None = None
    for entry, each in zip(entries, state, strict=True):
        start = 0
        for count, kind in each.rep.terms:
            width = kind.dim(each.rep.d)
            for copy in range(count):
                values = each.values[:, start + copy * width : start + (copy + 1) * width]
                if kind == VECTOR:
                    yield _Direction(each.name, "body" if entry.rep in ("angle", "quat") else "vector", values)
                elif kind == POINT and group.translations:
                    if origin is not None:
                        yield _Direction(each.name, "point", values - origin)
                    origin = values if origin is None else origin
                elif kind == POINT:
                    yield _Direction(each.name, "point", values)
                else:
                    yield from _of_items(each.name, kind, each.rep.d, values)
            start += count * width


def _of_items(name: str, kind: Kind, d: int, values: Tensor) -> Iterator[_Direction]:
    """The sum over the items of a set of each vector that they carry: exchanging items leaves it, and empty places are
    zero."""
    if not isinstance(kind, TensorProduct) or not isinstance(kind.factors[0], Items):
        return
    layout = set_layout(Rep([(1, kind)], d))
    if layout is None or layout.item is None:
        return
    parts = layout.items(values).sum(-2).split(layout.item.channels, -1)
    kinds = [part for count, part in layout.item.terms for _ in range(count)]
    yield from (_Direction(name, "vector", part) for part, of in zip(parts, kinds, strict=True) if of == VECTOR)


def _about(direction: _Direction, group: Group) -> Turned:
    frame = group.frame if isinstance(group, AboutAxis) else torch.eye(2, dtype=torch.float64)
    flat = (direction.values @ frame)[:, :2].numpy()
    length = np.hypot(flat[:, 0], flat[:, 1])
    usable = length > _SHORTEST * max(float(np.median(length)), np.finfo(float).tiny)
    angle = np.rad2deg(np.arctan2(flat[:, 1], flat[:, 0])) % 360.0
    return Turned(direction.name, usable, angle, None, group)


def _in_space(first: _Direction, second: _Direction, group: Group) -> Turned:
    """Frames of two vectors: along the first, and across it towards the second."""
    a, b = first.values, second.values
    sizes = [float(each.norm(dim=1).median().clamp(min=1e-300)) for each in (a, b)]
    along = a / a.norm(dim=1, keepdim=True).clamp(min=_SHORTEST * sizes[0])
    across = b - (b * along).sum(1, keepdim=True) * along
    usable = (a.norm(dim=1) > _SHORTEST * sizes[0]) & (across.norm(dim=1) > 1e-3 * sizes[1])
    across = across / across.norm(dim=1, keepdim=True).clamp(min=1e-3 * sizes[1])
    linear = torch.stack([along, across, torch.linalg.cross(along, across)], -1)
    linear[~usable] = torch.eye(3, dtype=torch.float64)
    name = first.name if first.name == second.name else f"{first.name} and {second.name}"
    return Turned(name, usable.numpy(), None, linear, group)


def seen_by(turns: Turned, rows: NDArray[np.int64], d: int) -> Coverage:
    """The orientations of some states, as a coverage: an arc, nearby rotations of space, or all of them.

    Raises:
        DataError: none of the states has a direction.
    """
    rows = rows[turns.usable[rows]]
    if not len(rows):
        raise DataError(f"no state in training has an orientation: '{turns.by}' has no direction there.")
    if turns.angle_deg is None or turns.axis is None:
        return _recorded(turns.elements(rows[:: -(-len(rows) // _KEPT)]), d)
    angle = np.sort(turns.angle_deg[rows])
    gaps = np.diff(angle, append=angle[0] + 360.0)
    widest = int(gaps.argmax())
    axis = turns.axis or "z"
    if gaps[widest] <= _GAP_DEG:
        return Whole(2) if d == 2 else Arc(0.0, 360.0, 3, axis)
    low = float(angle[(widest + 1) % len(angle)])
    width = max(360.0 - float(gaps[widest]), 1.0)
    return Arc(low, low + width, d, axis)


def _recorded(elements: Elements, d: int) -> Coverage:
    found = RecordedTurns(elements)
    inside = float(found.contains(Whole(d).sample(_PROBES, 0)).double().mean())
    return Whole(d) if inside >= _WHOLE else found


class RecordedTurns(Coverage):
    """Rotations within 20 degrees of one that was recorded.

    Args:
        elements: (n,) those that were.
    """

    def __init__(self, elements: Elements) -> None:
        self.d, self._elements = elements.d, elements

    @property
    def label(self) -> str:
        return f"rotations within {_NEAR_DEG:g} degrees of those recorded"

    def contains(self, g: Elements) -> Tensor:
        apart = (g.linear.flatten(0, -3)[:, None] - self._elements.linear).square().sum((-1, -2)).amin(1)
        # |R - S|^2 = 4 (1 - cos) of the angle between two rotations, in space as in the plane.
        near = apart <= 4.0 * (1.0 - np.cos(np.deg2rad(_NEAR_DEG))) + 1e-12
        return self._fits(g) & near.reshape(g.shape)

    def sample(self, n: int, seed: int | np.random.Generator) -> Elements:
        at = np.random.default_rng(seed).integers(0, len(self._elements), n)
        return self._elements[torch.from_numpy(at)]


@dataclass(frozen=True, eq=False)
class Cells:
    """Orientations in bins.

    Attributes:
        cell: (N,) the bin of each row.
        count: how many there are.
        width_deg: of an arc; None of cells of the rotations of space.
        turns: how the rows are turned.
    """

    cell: NDArray[np.int64]
    count: int
    width_deg: float | None
    turns: Turned

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The bins of some rows."""
        return self.cell[rows]

    def label(self, cell: int) -> str:
        """`30 to 60` degrees, or a number."""
        if self.width_deg is None:
            return f"cell {cell + 1}"
        return f"{cell * self.width_deg:g} to {(cell + 1) * self.width_deg:g}"

    def middle(self, cell: int) -> float | None:
        """The angle in its middle, degrees."""
        return None if self.width_deg is None else (cell + 0.5) * self.width_deg

    def distance(self, cell: int, rows: NDArray[np.int64]) -> float:
        """Degrees from its middle to the nearest of some rows."""
        middle, angle = self.middle(cell), self.turns.angle_deg
        if middle is not None and angle is not None:
            return float(np.abs((angle[rows] - middle + 180.0) % 360.0 - 180.0).min())
        turn = cube_turns()[cell]
        return float((self.turns.elements(rows).inverse() @ turn).angle_deg.min())


def cells_of(turns: Turned, bins: int | None) -> Cells:
    """Equal arcs of the circle (12 of them, or so many as asked for), or the 24 rotations of a cube and what is near.

    Args:
        turns: how rows are turned.
        bins: how many arcs.
    """
    if turns.angle_deg is not None:
        count = bins or _ARCS
        width = 360.0 / count
        return Cells(np.minimum(turns.angle_deg // width, count - 1).astype(np.int64), count, width, turns)
    assert turns.linear is not None
    cube = cube_turns().linear
    near = torch.einsum("nij,kij->nk", turns.linear, cube).argmax(1).numpy()
    return Cells(near, len(cube), None, turns)


def cube_turns() -> Elements:
    """The 24 rotations of a cube, laid askew: its own axes are where logs have their poses."""
    turn = rotations(31.0, 3, "x") @ rotations(17.0, 3, "y")
    return octahedral(reflections=False).all_elements @ turn
