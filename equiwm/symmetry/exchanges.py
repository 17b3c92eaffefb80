"""Kinds whose entries change places: items that a permutation moves, and channels that a mirror exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.errors import GroupError, RepError
from equiwm.printable import quoted
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.kinds import Kind
from equiwm.symmetry.shapes import broadcast_shape


@dataclass(frozen=True)
class Items(Kind):
    """`permN`: one number for each of N items, (g x)[p[i]] = x[i]. Rotations leave it alone.

    As the first factor of a product it is an axis of items: `perm5*1o` are five vectors, `perm5*p` five points,
    `perm5*(2x0e+1o)` five times two scalars and a vector, item after item.

    Attributes:
        count: N >= 1.
    """

    count: int
    parity = 1

    @property
    def name(self) -> str:  # type: ignore[override]
        """`perm5`."""
        return f"perm{self.count}"

    def dim(self, d: int) -> int:
        return self.count

    def _places(self, g: Elements) -> Tensor:
        if g.items not in (0, self.count):
            raise GroupError(f"kind {quoted(self.name)} has {self.count} items; the elements permute {g.items}.")
        if g.permutation is None:
            return torch.arange(self.count).expand(*g.shape, -1)
        return g.permutation

    def matrix(self, g: Elements) -> Tensor:
        return torch.nn.functional.one_hot(self._places(g), self.count).to(torch.float64).mT

    def act(self, x: Tensor, g: Elements) -> Tensor:
        if g.permutation is None:
            return x
        source = self._places(g).argsort(-1).to(x.device)[..., None, :]
        lead = broadcast_shape(x.shape[:-2], g.shape)
        return x.expand(*lead, *x.shape[-2:]).gather(-1, source.expand(*lead, *x.shape[-2:]))


@dataclass(frozen=True, init=False)
class SignedPermutation(Kind):
    """`signed[2,1,-3]`: channels that every reflection exchanges and changes in sign, and rotations leave alone.

    A robot's mirror: left and right joints change places, and those that turn about an axis in the mirror's plane
    change sign. Entry i of the result is the channel |k_i| (counted from 1), with the sign of k_i.

    Args:
        images: k_1, k_2, ...

    Raises:
        RepError: not every channel once, or a map that does more than nothing when it is done twice.
    """

    images: tuple[int, ...]

    def __init__(self, images: Sequence[int]) -> None:
        object.__setattr__(self, "images", tuple(int(image) for image in images))
        if sorted(abs(image) for image in self.images) != list(range(1, len(self.images) + 1)) or not self.images:
            raise RepError(f"kind {quoted(self.name)}: expected each of the channels 1 to {len(self.images)} once.")
        for k, image in enumerate(self.images):
            back = self.images[abs(image) - 1]
            if abs(back) != k + 1 or back * image < 0:
                raise RepError(
                    f"kind {quoted(self.name)} is no mirror: done twice it changes channel {k + 1}, and a mirror done "
                    "twice changes nothing."
                )

    @property
    def name(self) -> str:  # type: ignore[override]
        """`signed[2,1,-3]`."""
        return f"signed[{','.join(str(image) for image in self.images)}]"

    def dim(self, d: int) -> int:
        return len(self.images)

    def matrix(self, g: Elements) -> Tensor:
        width = len(self.images)
        mirrored = torch.zeros(width, width, dtype=torch.float64)
        for k, image in enumerate(self.images):
            mirrored[k, abs(image) - 1] = 1.0 if image > 0 else -1.0
        reflects = (g.determinant < 0)[..., None, None]
        return torch.where(reflects, mirrored, torch.eye(width, dtype=torch.float64))
