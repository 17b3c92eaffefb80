"""Translations along some axes of space, as a group: what a position that is left out of an observation stands for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.elements import Elements, Seed
from equiwm.symmetry.group import TOLERANCE, Group


class Shifts(Group):
    """All translations along some of the axes of space.

    Args:
        axes: as `x` or `xy`.

    Raises:
        GroupError: other axes.
    """

    d = 3

    def __init__(self, axes: str) -> None:
        if not axes or len(set(axes)) != len(axes) or not set(axes) <= set("xyz"):
            raise GroupError(f"translations are along axes such as x or xy; got '{axes}'.")
        self.name, self.axes = f"shift{axes}", axes

    def sample(self, n: int, seed: Seed, *, sigma: float = 1.0) -> Elements:
        """`n` translations, N(0, sigma^2) along each axis."""
        rng = np.random.default_rng(seed)
        shift = torch.zeros(n, 3, dtype=torch.float64)
        for axis in self.axes:
            shift[:, "xyz".index(axis)] = torch.from_numpy(rng.normal(size=n) * sigma)
        return Elements(torch.eye(3, dtype=torch.float64).expand(n, 3, 3), shift)

    def contains(self, g: Elements) -> Tensor:
        others = [k for k in range(3) if "xyz"[k] not in self.axes]
        return ~g.turns & ~g.permutes & (g.translation[..., others].abs() <= TOLERANCE).all(-1)
