"""Layers on irreducible types: scalars, vectors and whatever else a group has, carried together.

A field is so many copies of each type of a group (`equiwm.symmetry.irreducibles`), and its tensors come as one
(..., d_t, n_t) a type, channels last; the first type is the scalar's. Everything here commutes with the group at any
weights: channels of one type mix, with all maps that commute with the type (complex weights under SO(2)); biases stand
on scalars only; scalars open and shut the others; and bilinear maps, all there are, lead from two types to a third:
inner products to scalars, cross products in space, complex products of frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from equiwm.nn.layer import Layer
from equiwm.symmetry.irreducibles import Irreducible, Irreducibles
from equiwm.symmetry.reps import Rep

Field = tuple[int, ...]
"""Copies of each type."""


def constant(values: Tensor) -> Tensor:
    """A float64 constant in the dtype that modules are made in."""
    return values.to(torch.get_default_dtype())


class Mix(nn.Module):
    """The linear map of fields: y_t = sum_e E_e (x_t W_te^T), E_e all maps that commute with the type; b on scalars.

    By Schur's lemma it is complete: every linear map that commutes with the group is one of these.

    Args:
        types: of the group.
        in_field: copies of each type that it takes.
        out_field: copies that it gives.
        bias: add b to the scalars.
        variance: of what it gives, from inputs of unit variance.
    """

    def __init__(
        self, types: Sequence[Irreducible], in_field: Field, out_field: Field, *, bias: bool = True, variance: float
    ) -> None:
        super().__init__()
        self.dims = [kind.dim for kind in types]
        self.in_field, self.out_field = in_field, out_field
        self.weights = nn.ParameterDict()
        for t, (kind, into, out) in enumerate(zip(types, in_field, out_field, strict=True)):
            bound = math.sqrt(3.0 * variance / max(1, into * len(kind.ends)))
            for e in range(len(kind.ends) if into and out else 0):
                self.weights[f"{t}-{e}"] = nn.Parameter(torch.empty(out, into).uniform_(-bound, bound))
            if into and out and len(kind.ends) > 1:
                self.register_buffer(f"ends{t}", constant(kind.ends), persistent=False)
        self.counts = [len(kind.ends) for kind in types]
        self.bias = nn.Parameter(torch.zeros(out_field[0])) if bias and out_field[0] else None

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        return [self._of(t, part) for t, part in enumerate(x)]

    def _of(self, t: int, x: Tensor) -> Tensor:
        out = self.out_field[t]
        if not self.in_field[t] or not out:
            mixed = x.new_zeros(*x.shape[:-1], out)
        elif self.counts[t] == 1:
            mixed = functional.linear(x, self.weights[f"{t}-0"])
        else:
            # One product with the matrix of sum_e E_e x W_te on flat rows is faster than one for each e.
            ends: Tensor = getattr(self, f"ends{t}")
            weights = torch.stack([self.weights[f"{t}-{e}"] for e in range(self.counts[t])])
            whole = torch.einsum("eij,eon->iojn", ends, weights).flatten(2).flatten(0, 1)
            mixed = functional.linear(x.flatten(-2), whole).unflatten(-1, (self.dims[t], out))
        return mixed if t or self.bias is None else mixed + self.bias


class Products(nn.Module):
    """All bilinear maps of pairs of learned mixtures, B(A x, (B x)^) with y^ = y / sqrt(1 + |y|^2), channel by channel.

    One factor is kept bounded, so that a product is no larger than its other factor, however many follow one another.

    Args:
        types: of the group, with their products.
        in_field: copies of each type that it takes.
        pairs: channels of each mixture.
    """

    def __init__(self, types: Irreducibles, in_field: Field, pairs: int) -> None:
        super().__init__()
        present = [t for t, count in enumerate(in_field) if t and count]
        field = tuple(2 * pairs if t in present else 0 for t in range(len(in_field)))
        self.mixtures = Mix(types.types, in_field, field, bias=False, variance=1.0)
        out, self.plan = [0] * len(in_field), []
        for i, a in enumerate(present):
            for b in present[i:]:
                rows, parts = [], []
                for c, kind in enumerate(types.types):
                    maps = types.products(a, b, c)
                    if len(maps):
                        rows.append(maps.transpose(0, 1).reshape(-1, types.types[a].dim * types.types[b].dim))
                        parts.append((c, kind.dim, len(maps)))
                        out[c] += len(maps) * pairs
                if rows:
                    self.register_buffer(f"maps{a}-{b}", constant(torch.cat(rows)), persistent=False)
                    self.plan.append((a, b, parts))
        self.out_field: Field = tuple(out)

    def forward(self, x: list[Tensor]) -> list[list[Tensor]]:
        """Of each type the products that give it."""
        left, right = [], []
        for part in self.mixtures(x):
            first, second = part.chunk(2, -1)
            left.append(first)
            right.append(second * (1.0 + second.square().sum(-2, keepdim=True)).rsqrt())
        found: list[list[Tensor]] = [[] for _ in x]
        for a, b, parts in self.plan:
            outer = (left[a].unsqueeze(-2) * right[b].unsqueeze(-3)).flatten(-3, -2)
            maps: Tensor = getattr(self, f"maps{a}-{b}")
            made = (maps @ outer).split([dim * count for _, dim, count in parts], -2)
            for part, (c, dim, count) in zip(made, parts, strict=True):
                found[c].append(part.unflatten(-2, (dim, count)).flatten(-2))
        return found


class Block(nn.Module):
    """Products beside what comes in, mixed; scalars through SiLU, each other channel times the sigmoid of a scalar.

    Args:
        types: of the group, with their products.
        in_field: copies of each type that it takes.
        out_field: copies that it gives.
        pairs: channels that are multiplied.
    """

    def __init__(self, types: Irreducibles, in_field: Field, out_field: Field, pairs: int) -> None:
        super().__init__()
        self.products = Products(types, in_field, pairs)
        joined = tuple(a + b for a, b in zip(in_field, self.products.out_field, strict=True))
        self.scalars, self.gates = out_field[0], out_field[1:]
        self.mix = Mix(types.types, joined, (out_field[0] + sum(out_field[1:]), *out_field[1:]), variance=1.0)

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        joined = [torch.cat([part, *more], -1) for part, more in zip(x, self.products(x), strict=True)]
        first, *others = self.mix(joined)
        scalars, *gates = first.split([self.scalars, *self.gates], -1)
        gated = [part * torch.sigmoid(gate) for part, gate in zip(others, gates, strict=True)]
        return [functional.silu(scalars), *gated]


class Parts(nn.Module):
    """A rep's tensors as fields and back, by the orthogonal matrix of its decomposition (`Irreducibles.copies`).

    Args:
        rep: without quaternions and points.
        types: of the group, made of the rep.
    """

    rows: Tensor

    def __init__(self, rep: Rep, types: Irreducibles) -> None:
        super().__init__()
        maps = types.copies(rep)
        # Rows (d, n) of each type, as its tensors have them.
        self.register_buffer(
            "rows", constant(torch.cat([m.transpose(0, 1).flatten(0, 1) for m in maps])), persistent=False
        )
        self.dims = [kind.dim for kind in types.types]
        self.field: Field = tuple(len(m) for m in maps)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(..., rep.dim) -> one (..., d_t, n_t) a type."""
        parts = (x @ self.rows.mT).split([d * n for d, n in zip(self.dims, self.field, strict=True)], -1)
        return [part.unflatten(-1, (d, n)) for part, d, n in zip(parts, self.dims, self.field, strict=True)]

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """The way back."""
        return torch.cat([part.flatten(-2) for part in parts], -1) @ self.rows


class TypedNetwork(Layer):
    """y = L x + net(x) between any two reps of a group, exactly equivariant at any weights. Flat -> flat.

    Both reps are decomposed by orthogonal matrices, found once in float64 (`Irreducibles.copies`).

    Args:
        in_rep: rep of what it takes, without quaternions; points are taken as vectors.
        out_rep: rep of what it gives, without quaternions and points.
        types: of the group, made of both reps.
        widths: of each hidden block: scalars; half as many copies of every other type that the reps have, and an
            eighth of those that only their products have.
    """

    def __init__(self, in_rep: Rep, out_rep: Rep, types: Irreducibles, widths: Sequence[int]) -> None:
        super().__init__(in_rep, out_rep, "flat")
        self.parts_of, self.made_of = Parts(in_rep.linear_part, types), Parts(out_rep, types)
        field, blocks = self.parts_of.field, []
        for width in widths:
            hidden = hidden_field(width, types)
            blocks.append(Block(types, field, hidden, max(1, width // 4)))
            field = hidden
        self.blocks = nn.ModuleList(blocks)
        self.last = Mix(types.types, field, self.made_of.field, variance=1.0 / 3.0)
        self.skip = Mix(types.types, self.parts_of.field, self.made_of.field, bias=False, variance=1.0 / 3.0)

    def forward(self, x: Tensor) -> Tensor:
        first = self.parts_of(x)
        hidden = first
        for block in self.blocks:
            hidden = block(hidden)
        return self.made_of.joined([a + b for a, b in zip(self.skip(first), self.last(hidden), strict=True)])


def hidden_field(width: int, types: Irreducibles) -> Field:
    """`width` scalars, half as many copies of every other type that the reps have, an eighth of those of products."""
    return tuple(width if t == 0 else max(1, width // (2 if t < types.given else 8)) for t in range(len(types.types)))
