"""The horizontal part of a vector: what moves in a table's plane and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.errors import GroupError, RepError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import TOLERANCE
from equiwm.symmetry.kinds import Kind


@dataclass(frozen=True)
class Horizontal(Kind):
    """`horizontal`: the (x, y) of a vector of space, under groups about the vertical alone.

    rho(g) is the horizontal block of R. What else turns the vertical mixes it with the third entry and is refused.
    """

    name: str = "horizontal"

    def dim(self, d: int) -> int:
        if d != 3:
            raise RepError(f"kind 'horizontal' lives in space (d = 3), not in d = {d}; in the plane a vector is 1o.")
        return 2

    def matrix(self, g: Elements) -> Tensor:
        self.dim(g.d)
        out_of_plane = torch.cat([g.linear[..., 2, :2], g.linear[..., :2, 2]], -1)
        if bool((out_of_plane.abs() > TOLERANCE).any()):
            raise GroupError("kind 'horizontal' cannot be turned out of the plane; expected a group about z, as se2z.")
        return g.linear[..., :2, :2]
