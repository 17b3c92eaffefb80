"""Representations as values: how a tensor transforms under a group.

A rep is a sum of terms `MULTIPLICITYxKIND`, `8x0e+16x1o`, over a space of dimension d. The kinds, with g = (R, t):

| kind | name | acts as | short |
|---|---|---|---|
| `0e` | scalar | s -> s | `0` |
| `0o` | pseudoscalar | s -> det(R) s | |
| `1o` | vector | v -> R v | `1` |
| `1e` | pseudovector | v -> det(R) R v | |
| `p` | point | x -> R x + t | |

`Rep.transform` is the only way anything is ever rotated in this library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.errors import GroupError, RepError
from equiwm.symmetry.groups import Elements

SCALARS = ("0e", "0o")
KINDS = {"0e": 0, "0o": 0, "1o": 1, "1e": 1, "p": 1}
_SHORT = {"0": "0e", "1": "1o"}
_TERM = re.compile(r"(?:(\d+)x)?(0e|0o|1o|1e|p|0|1)")


@dataclass(frozen=True)
class Rep:
    """A direct sum of scalars, vectors and points in d dimensions.

    Tensors of a rep come flat, (..., dim), its terms one after another and each vector's d entries together; a rep
    without scalars also comes structured, (..., C, d), with C = `multiplicity` channels.

    Attributes:
        terms: (multiplicity, kind) pairs in order; neighbours of the same kind are merged when it is built.
        d: dimension of the space.
    """

    terms: tuple[tuple[int, str], ...]
    d: int

    def __post_init__(self) -> None:
        merged: list[tuple[int, str]] = []
        for count, kind in self.terms:
            if kind not in KINDS or count < 1:
                raise RepError(
                    f"not a term of a rep: {count}x{kind}; expected MxKIND with M >= 1, KIND of {list(KINDS)}."
                )
            if merged and merged[-1][1] == kind:
                merged[-1] = (merged[-1][0] + count, kind)
            else:
                merged.append((count, kind))
        object.__setattr__(self, "terms", tuple(merged))

    @staticmethod
    def parse(text: str, d: int) -> Rep:
        """Read `8x0e+16x1o`, `4x1+p`, `1`. An empty text is the empty rep.

        Raises:
            RepError: the text is not a sum of terms.
        """
        terms = []
        for part in text.replace(" ", "").split("+") if text.strip() else []:
            match = _TERM.fullmatch(part)
            if match is None:
                raise RepError(
                    f"cannot read rep '{text}': '{part}' is not MxKIND with KIND of 0e, 0o, 1o, 1e, p (or 0, 1)."
                )
            terms.append((int(match[1] or 1), _SHORT.get(match[2], match[2])))
        return Rep(tuple(terms), d)

    def __str__(self) -> str:
        return "+".join(f"{count}x{kind}" for count, kind in self.terms)

    def __add__(self, other: Rep) -> Rep:
        """Direct sum: the terms of `self`, then those of `other`."""
        if self.d != other.d:
            raise RepError(f"cannot add {self} (d = {self.d}) and {other} (d = {other.d}): the dimensions differ.")
        return Rep(self.terms + other.terms, self.d)

    def _width(self, kind: str) -> int:
        return self.d if KINDS[kind] else 1

    @property
    def dim(self) -> int:
        """Length of the flat form."""
        return sum(count * self._width(kind) for count, kind in self.terms)

    @property
    def multiplicity(self) -> int:
        """Number of channels, scalars and vectors counted alike."""
        return sum(count for count, _ in self.terms)

    @property
    def structured(self) -> bool:
        """Whether the rep has a structured form (..., C, d): no scalars."""
        return all(KINDS[kind] for _, kind in self.terms)

    @property
    def vectors_only(self) -> bool:
        """Whether every term is a vector (`1o`)."""
        return all(kind == "1o" for _, kind in self.terms)

    @property
    def has_points(self) -> bool:
        """Whether translations act on it."""
        return any(kind == "p" for _, kind in self.terms)

    @property
    def linear_part(self) -> Rep:
        """The same rep with points turned into vectors: how differences of its tensors transform."""
        return Rep(tuple((count, "1o" if kind == "p" else kind) for count, kind in self.terms), self.d)

    def matrix(self, g: Elements) -> Tensor:
        """rho(g), the linear part: block diagonal and orthogonal, shape (*g.shape, dim, dim), float64."""
        self._check_group(g)
        blocks = g.linear.new_zeros(*g.shape, self.dim, self.dim)
        start = 0
        for count, kind in self.terms:
            block = g.linear if KINDS[kind] else torch.ones_like(g.linear[..., :1, :1])
            if kind in ("0o", "1e"):
                block = block * g.determinant[..., None, None]
            width = self._width(kind)
            for _ in range(count):
                blocks[..., start : start + width, start : start + width] = block
                start += width
        return blocks

    def transform(self, x: Tensor, g: Elements) -> Tensor:
        """rho(g) x, plus the translation for points; computed in the dtype and on the device of `x`.

        Args:
            x: (..., dim), or (..., C, d) for a rep without scalars. For a single vector the two look alike, and
                (..., 1, d) is read as flat.
            g: elements whose batch shape broadcasts against the leading axes of `x`: `g[:, None]` of n elements
                on B samples gives (n, B, ...).

        Raises:
            RepError: `x` does not have a shape of this rep.
            GroupError: `g` acts on another dimension.
        """
        self._check_group(g)
        if x.shape[-1:] == (self.dim,):
            return self._transform_flat(x, g)
        if self.structured and x.shape[-2:] == (self.multiplicity, self.d):
            lead = x.shape[:-2]
            turned = self._transform_flat(x.reshape(*lead, self.dim), g)
            return turned.reshape(*turned.shape[:-1], self.multiplicity, self.d)
        shapes = f"(..., {self.dim})" + (f" or (..., {self.multiplicity}, {self.d})" if self.structured else "")
        raise RepError(f"a tensor of rep {self} has shape {shapes}; got {tuple(x.shape)}.")

    def _transform_flat(self, x: Tensor, g: Elements) -> Tensor:
        linear = g.linear.to(x.dtype).to(x.device)
        parts, start = [x[..., :0]], 0  # the empty rep has a tensor as well
        for count, kind in self.terms:
            width = count * self._width(kind)
            part = x[..., start : start + width]
            start += width
            if KINDS[kind]:
                part = part.unflatten(-1, (count, self.d)) @ linear.transpose(-1, -2)
                if kind == "p":
                    part = part + g.translation.to(x.dtype).to(x.device)[..., None, :]
                part = part.flatten(-2)
            if kind in ("0o", "1e"):
                part = part * g.determinant.to(x.dtype).to(x.device)[..., None]
            parts.append(part)
        lead = torch.broadcast_shapes(x.shape[:-1], g.shape)
        return torch.cat([part.expand(*lead, part.shape[-1]) for part in parts], -1)

    def _check_group(self, g: Elements) -> None:
        if g.d != self.d:
            raise GroupError(f"rep {self} lives in {self.d} dimensions; the group elements act on {g.d}.")


def vectors(count: int, d: int) -> Rep:
    """`count` vectors in d dimensions."""
    return Rep(((count, "1o"),), d)
