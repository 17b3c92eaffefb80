"""Groups of the plane, laid about an axis of space: SO(2) about the vertical, the symmetry of nearly every robot.

`about(G, axis)` is the group of all x -> Q diag(A, 1) Q^T x + Q (b, 0) with (A, b) in G: it acts as G does on the plane
perpendicular to the axis and leaves the coordinate along the axis alone. So

- `so2z` turns about z; `o2z` has also the reflections across planes that hold the axis (C_inf_v, the symmetry of
  gravity; half turns about a horizontal axis are not in it), and `dNz` are those of order 2 N (C_Nv);
- `se2z` and `e2z` also translate, in the horizontal plane only.

Q takes the plane's (x, y) to (x, y) about z, to (y, z) about x, to (z, x) about y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.elements import Elements, Seed
from equiwm.symmetry.finite import FiniteGroup
from equiwm.symmetry.generators import Generators
from equiwm.symmetry.group import TOLERANCE, Group

AXES = ("x", "y", "z")


def about(planar: Group, axis: str | Sequence[float] = "z") -> Group:
    """A group of the plane, acting about an axis of space.

    Args:
        planar: a group of the plane (d = 2).
        axis: x, y, z, or a direction (its length does not matter).

    Raises:
        GroupError: a group that is not of the plane, or no axis.
    """
    frame, suffix = _frame(axis), axis if isinstance(axis, str) else f" about {tuple(float(x) for x in axis)}"
    if planar.d != 2:
        raise GroupError(f"only groups of the plane are laid about an axis; {planar} acts on d = {planar.d}.")
    name = f"{planar.name}{suffix}"
    if isinstance(planar, FiniteGroup):
        every, some = (_embed(g, frame) for g in (planar.all_elements, planar.generators.discrete))
        return FiniteGroup(name, every, generators=some, labels=planar.labels)
    return AboutAxis(name, planar, frame, axis if isinstance(axis, str) else None)


class AboutAxis(Group):
    """An infinite group of the plane about an axis of space; see `about`.

    Args:
        name: its name.
        planar: the group of the plane.
        frame: Q, (3, 3) orthogonal, its third column the axis.
        axis: the axis's name, if it is one of the coordinate axes.
    """

    d = 3

    def __init__(self, name: str, planar: Group, frame: Tensor, axis: str | None) -> None:
        self.name, self.planar, self.frame, self.axis = name, planar, frame, axis
        self.items = planar.items

    @property
    def generators(self) -> Generators:
        """Those of the group of the plane, laid about the axis; named after the axes of that plane."""
        flat = self.planar.generators
        wide = torch.nn.functional.pad(flat.linear, (0, 1, 0, 1))
        shift = torch.nn.functional.pad(flat.translation, (0, 1))
        names = flat.names
        if self.axis is not None:
            i = AXES.index(self.axis)
            to_space = {"x": AXES[(i + 1) % 3], "y": AXES[(i + 2) % 3]}
            words = [name.rpartition(" ") for name in flat.names]
            names = tuple(f"{word} {''.join(to_space[letter] for letter in letters)}" for word, _, letters in words)
        return Generators(
            _embed(flat.discrete, self.frame), names, self.frame @ wide @ self.frame.mT, shift @ self.frame.mT
        )

    def sample(self, n: int, seed: Seed, *, sigma: float = 1.0) -> Elements:
        """`n` elements: those that the group of the plane draws, laid about the axis."""
        return _embed(self.planar.sample(n, seed, sigma=sigma), self.frame)

    def contains(self, g: Elements) -> Tensor:
        linear, shift = self.frame.mT @ g.linear @ self.frame, g.translation @ self.frame
        upright = (linear[..., 2, :] - linear.new_tensor([0.0, 0.0, 1.0])).abs().amax(-1) <= TOLERANCE
        upright &= (linear[..., :2, 2].abs().amax(-1) <= TOLERANCE) & (shift[..., 2].abs() <= TOLERANCE)
        return upright & self.planar.contains(Elements(linear[..., :2, :2], shift[..., :2], g.permutation))

    def rotation(self, angles_deg: float | np.ndarray | Sequence[float] | Tensor, axis: str | None = None) -> Elements:
        """Rotations by `angles_deg` (degrees) about its own axis, the default, or another if it has them."""
        if axis is not None:
            return super().rotation(angles_deg, axis)
        return self.elements(_embed(self.planar.rotation(angles_deg), self.frame).linear)

    def laid(self, g: Elements) -> Elements:
        """Elements of the plane, laid about the axis."""
        return _embed(g, self.frame)

    @property
    def draws(self) -> bool:
        """As the group of the plane."""
        return self.planar.draws

    def named(self, n: int, seed: Seed) -> list[tuple[str, Elements]]:
        """The named elements of the group of the plane: angles about the axis, or the ladder in its plane."""
        return [(label, _embed(g, self.frame)) for label, g in self.planar.named(n, seed)]


def _frame(axis: str | Sequence[float]) -> Tensor:
    """A right-handed frame (3, 3) whose third column is the axis; made of 0 and 1 for the coordinate axes."""
    if isinstance(axis, str):
        if axis not in AXES:
            raise GroupError(f"unknown axis '{axis}': expected x, y, z or a direction of three numbers.")
        i = AXES.index(axis)
        return torch.eye(3, dtype=torch.float64)[:, [(i + 1) % 3, (i + 2) % 3, i]]
    direction = torch.tensor([float(x) for x in axis], dtype=torch.float64)
    length = float(direction.norm())
    if direction.shape != (3,) or not 0.0 < length < float("inf"):
        raise GroupError(f"an axis is a direction of three numbers, not all zero; got {list(axis)}.")
    up = direction / length
    first = torch.linalg.cross(torch.eye(3, dtype=torch.float64)[int(up.abs().argmin())], up)
    first = first / first.norm()
    return torch.stack([first, torch.linalg.cross(up, first), up], 1)


def _embed(g: Elements, frame: Tensor) -> Elements:
    linear = torch.nn.functional.pad(g.linear, (0, 1, 0, 1))
    linear[..., 2, 2] = 1.0
    shift = torch.nn.functional.pad(g.translation, (0, 1)) @ frame.mT
    return Elements(frame @ linear @ frame.mT, shift, g.permutation)
