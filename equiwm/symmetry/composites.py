"""Kinds made of kinds: tensor products and direct sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import prod

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.printable import quoted
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.exchanges import Items
from equiwm.symmetry.kinds import SCALAR, Kind, Untouched
from equiwm.symmetry.shapes import broadcast_shape
from equiwm.symmetry.wigner import kronecker


@dataclass(frozen=True)
class TensorProduct(Kind):
    """`1o*1o`: entries T_ij..., row-major (the last factor's index runs fastest), rho = rho_1 x rho_2 x ...

    A factor that translations act on stands only beside factors that permute or do nothing: `perm5*p` are five points.

    Attributes:
        factors: two or more kinds.

    Raises:
        RepError: points multiplied by anything else.
    """

    factors: tuple[Kind, ...]

    def __post_init__(self) -> None:
        moved = [factor for factor in self.factors if factor.translates]
        still = [factor for factor in self.factors if is_still(factor)]
        if (moved and len(moved) + len(still) < len(self.factors)) or len(moved) > 1:
            raise RepError(
                f"kind {quoted(self.name)}: points are multiplied by permN, sameN and 0e only; use vectors, 1o."
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """Factors joined by `*`."""
        return "*".join(factor.name for factor in self.factors)

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """Whether a factor is moved by translations."""
        return any(factor.translates for factor in self.factors)

    @property
    def sign_blind(self) -> bool:  # type: ignore[override]
        """Whether a factor is known up to sign."""
        return any(factor.sign_blind for factor in self.factors)

    @property
    def parity(self) -> int | None:  # type: ignore[override]
        """Product of the factors' parities, if each has one."""
        signs = [factor.parity for factor in self.factors]
        return None if None in signs else prod(sign for sign in signs if sign is not None)

    @property
    def linear_kind(self) -> Kind:
        """The product of the factors' linear kinds."""
        return TensorProduct(tuple(factor.linear_kind for factor in self.factors))

    def dim(self, d: int) -> int:
        return prod(factor.dim(d) for factor in self.factors)

    def axes(self, d: int) -> tuple[int, ...]:
        return tuple(size for factor in self.factors for size in factor.axes(d))

    def matrix(self, g: Elements) -> Tensor:
        return reduce(kronecker, (factor.matrix(g) for factor in self.factors))

    def offset(self, g: Elements) -> Tensor:
        """That of the points, the same for every item."""
        parts = [
            factor.offset(g) if factor.translates else g.linear.new_ones(*g.shape, factor.dim(g.d))
            for factor in self.factors
        ]
        return reduce(lambda a, b: (a[..., :, None] * b[..., None, :]).flatten(-2), parts) * float(self.translates)

    def act(self, x: Tensor, g: Elements) -> Tensor:
        """Each factor acts along its own axis, which is cheaper than the product's matrix."""
        widths = [factor.dim(g.d) for factor in self.factors]
        copies = x.shape[-2]
        for k, factor in enumerate(self.factors):
            before, after = prod(widths[:k]), prod(widths[k + 1 :])
            parts = x.unflatten(-1, (before, widths[k], after)).transpose(-1, -2)  # (..., C, before, after, width)
            turned = factor.act(parts.flatten(-4, -2), g)
            x = turned.unflatten(-2, (copies, before, after)).transpose(-1, -2).flatten(-3)
        return x

    def difference(self, x: Tensor, y: Tensor, d: int) -> Tensor:
        """Item by item where the first factor counts items: the quaternions of two items have signs of their own."""
        first, *others = self.factors
        if not self.sign_blind or not is_still(first):
            return super().difference(x, y, d)
        rest = TensorProduct(tuple(others)) if len(others) > 1 else others[0]
        shape = (first.dim(d), rest.dim(d))
        return rest.difference(x.unflatten(-1, shape), y.unflatten(-1, shape), d).flatten(-2)


def is_still(kind: Kind) -> bool:
    """Whether every entry of the kind is an item by itself, which no motion of space changes."""
    return kind == SCALAR or isinstance(kind, Items | Untouched)


@dataclass(frozen=True)
class DirectSum(Kind):
    """`(2x0e+1x1o)`: terms one after another, each so many copies of a kind.

    Attributes:
        terms: (multiplicity, kind) pairs in order.
    """

    terms: tuple[tuple[int, Kind], ...]

    @property
    def name(self) -> str:  # type: ignore[override]
        """The sum, in brackets."""
        return f"({'+'.join(f'{count}x{kind}' for count, kind in self.terms)})"

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """Whether a term is moved by translations."""
        return any(kind.translates for _, kind in self.terms)

    @property
    def sign_blind(self) -> bool:  # type: ignore[override]
        """Whether a term is known up to sign."""
        return any(kind.sign_blind for _, kind in self.terms)

    @property
    def parity(self) -> int | None:  # type: ignore[override]
        """The terms' parity, if all have the same."""
        signs = {kind.parity for _, kind in self.terms}
        return signs.pop() if len(signs) == 1 else None

    @property
    def linear_kind(self) -> DirectSum:
        """The sum of the terms' linear kinds."""
        return DirectSum(tuple((count, kind.linear_kind) for count, kind in self.terms))

    def dim(self, d: int) -> int:
        return sum(count * kind.dim(d) for count, kind in self.terms)

    def matrix(self, g: Elements) -> Tensor:
        blocks = g.linear.new_zeros(*g.shape, self.dim(g.d), self.dim(g.d))
        start = 0
        for count, kind in self.terms:
            block, width = kind.matrix(g), kind.dim(g.d)
            for _ in range(count):
                blocks[..., start : start + width, start : start + width] = block
                start += width
        return blocks

    def offset(self, g: Elements) -> Tensor:
        parts = [g.linear.new_zeros(*g.shape, 0)]
        for count, kind in self.terms:
            parts += [kind.offset(g)] * count
        return torch.cat(parts, -1)

    def act(self, x: Tensor, g: Elements) -> Tensor:
        return self.act_flat(x, g[..., None])

    def act_flat(self, x: Tensor, g: Elements) -> Tensor:
        """The action on one copy, (..., dim): term by term, all copies of a kind at once."""
        parts, start = [x[..., :0]], 0  # the empty sum has a tensor as well
        for count, kind in self.terms:
            width = kind.dim(g.d)
            part = x[..., start : start + count * width].unflatten(-1, (count, width))
            start += count * width
            parts.append(kind.act(part, g).flatten(-2))
        lead = broadcast_shape(x.shape[:-1], g.shape)
        return torch.cat([part.expand(*lead, part.shape[-1]) for part in parts], -1)

    def difference(self, x: Tensor, y: Tensor, d: int) -> Tensor:
        """Term by term, every copy by itself."""
        parts, start = [x[..., :0]], 0
        for count, kind in self.terms:
            shape = (count, kind.dim(d))
            part = slice(start, start + count * kind.dim(d))
            start = part.stop
            parts.append(
                kind.difference(x[..., part].unflatten(-1, shape), y[..., part].unflatten(-1, shape), d).flatten(-2)
            )
        return torch.cat(parts, -1)
