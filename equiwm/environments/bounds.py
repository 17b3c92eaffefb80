"""The bounds of an action space, in a form that commutes with the group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from equiwm.environments.layout import Layout
from equiwm.errors import DataError
from equiwm.symmetry.reps import Rep

Bounds = Literal["ball", "box"]


@dataclass(frozen=True, eq=False)
class ActionBounds:
    """Actions in the environment's units, and in units in which every copy is bounded by 1: a = centre + radius u.

    A Box clips each component by itself: a push of (1, 1) is as long as its box allows, and shorter once it is turned
    by 45 degrees. So a vector is bounded by the largest ball about 0 that the box holds, each copy by its own; a
    scalar, which nothing turns, by its interval. `box` keeps the components' own bounds, which commute with no
    rotation.

    Attributes:
        rep: of an action.
        kind: `ball` or `box`.
        centre, radius: (dim,) float64; the radius is infinite where there is no bound, and the unit is then 1.
    """

    rep: Rep
    kind: Bounds
    centre: Tensor
    radius: Tensor

    @staticmethod
    def of(layout: Layout, kind: Bounds) -> ActionBounds:
        """Those of an action space.

        Raises:
            DataError: an entry of the space that is no quantity, or a vector's box that holds no ball about 0.
        """
        where = layout.flat.where
        if layout.partial is not None:
            raise DataError(f"{where}: its action cannot be put together: {layout.partial}.")
        centre, radius = torch.zeros(2, layout.rep.dim, dtype=torch.float64)
        for name, placed in layout.quantities.items():
            if placed.spec.rep in ("angle", "quat"):  # a direction: it has no size that could be bounded
                radius[placed.entries] = 1.0
                continue
            below, above = (layout.counted(name, end) for end in layout.flat.bounds)
            for copies, width, fixed in _terms(placed.rep):
                for start in range(copies.start, copies.stop, width):
                    copy = slice(start, start + width)
                    at = slice(placed.start + start, placed.start + start + width)
                    centre[at], radius[at] = _bounded(below[copy], above[copy], kind, fixed, f"{where}: '{name}'")
        return ActionBounds(layout.rep, kind, centre, radius)

    @property
    def _scale(self) -> Tensor:
        return torch.where(self.radius.isfinite(), self.radius, 1.0)

    def physical(self, units: Tensor) -> Tensor:
        """Actions (..., *rep.shape) in units of their bounds, in the environment's."""
        shape = self.rep.shape
        return self.centre.reshape(shape).to(units) + self._scale.reshape(shape).to(units) * units

    def clipped(self, actions: Tensor) -> Tensor:
        """Actions (..., *rep.shape) in the environment's units, each copy moved into its bounds, what lies inside as it
        is."""
        given = actions.flatten(-len(self.rep.shape))
        units, parts = (given - self.centre) / self._scale, []
        for entries, width, _ in _terms(self.rep):
            copies = units[..., entries].unflatten(-1, (-1, width))
            size = copies.norm(dim=-1, keepdim=True) if self.kind == "ball" else copies.abs()
            inside = (size <= 1.0) | self.radius[entries].unflatten(-1, (-1, width)).isinf()
            moved = (copies / size.clamp_min(1.0)).flatten(-2) * self._scale[entries] + self.centre[entries]
            parts.append(torch.where(inside.expand_as(copies).flatten(-2), given[..., entries], moved))
        return torch.cat(parts, -1).reshape(actions.shape)

    def draw(self, rng: np.random.Generator) -> Tensor:
        """A random action (*rep.shape) in the environment's units, every copy uniform in its ball."""
        parts = []
        for entries, width, _ in _terms(self.rep):
            normal = rng.normal(size=((entries.stop - entries.start) // width, width))
            length = rng.random((len(normal), 1)) ** (1.0 / width)
            parts.append((length * normal / np.linalg.norm(normal, axis=1, keepdims=True)).reshape(-1))
        return self.physical(torch.from_numpy(np.concatenate(parts)).reshape(self.rep.shape))


def _terms(rep: Rep) -> Iterator[tuple[slice, int, bool]]:
    """The entries of each term, the width of one copy, and whether nothing turns it."""
    start = 0
    for count, kind in rep.terms:
        width = kind.dim(rep.d)
        yield slice(start, start + count * width), width, kind.name == "0e"
        start += count * width


def _bounded(below: Tensor, above: Tensor, kind: Bounds, fixed: bool, where: str) -> tuple[Tensor, Tensor]:
    """Centre and radius of one copy.

    Raises:
        DataError: a box that holds no ball about 0.
    """
    if fixed or kind == "box":
        bounded = below.isfinite() & above.isfinite()
        centre, radius = 0.5 * (above + below), 0.5 * (above - below)
        return torch.where(bounded, centre, 0.0), torch.where(bounded, radius, torch.inf)
    radius = torch.minimum(-below, above).min()
    if not float(radius) > 0.0:
        ends = " to ".join(str([round(float(x), 6) for x in end]) for end in (below, above))
        raise DataError(
            f"{where} is bounded by {ends}, which holds no ball about 0, and no other bound turns with the scene; say "
            "world.bounds: box to do without."
        )
    return torch.zeros_like(below), radius.expand_as(below)
