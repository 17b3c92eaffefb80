"""A kind in another basis: entries in another order, or e3nn's harmonics. What is tried where a declared rep fails."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.symmetry.e3nn_basis import to_e3nn
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.kinds import Irreducible, Kind


@dataclass(frozen=True)
class Rebased(Kind):
    """A kind whose entries are y = Q x, x those of the kind: it acts as Q rho(g) Q^T.

    Attributes:
        kind: the kind.
        rows: Q, orthogonal, as rows of numbers.
        name: as it is called.
    """

    kind: Kind
    rows: tuple[tuple[float, ...], ...]
    name: str

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """As the kind."""
        return self.kind.translates

    @property
    def linear_kind(self) -> Kind:
        """The kind's, in the same basis."""
        return Rebased(self.kind.linear_kind, self.rows, self.name) if self.translates else self

    @property
    def _basis(self) -> Tensor:
        return torch.tensor(self.rows, dtype=torch.float64)

    def dim(self, d: int) -> int:
        return self.kind.dim(d)

    def matrix(self, g: Elements) -> Tensor:
        return self._basis @ self.kind.matrix(g) @ self._basis.mT

    def offset(self, g: Elements) -> Tensor:
        return self.kind.offset(g) @ self._basis.mT


def reordered(kind: Kind, order: tuple[int, ...]) -> Rebased:
    """The kind with its entries in another order: entry k is the kind's entry `order[k]`."""
    letters = "xyz" if kind.structured and len(order) <= 3 else [str(k) for k in range(len(order))]
    rows = torch.eye(len(order), dtype=torch.float64)[list(order)]
    return Rebased(kind, _rows(rows), f"{kind} in the order {', '.join(letters[k] for k in order)}")


def in_e3nn_basis(kind: Kind) -> Kind:
    """The kind in e3nn's basis: itself up to degree 1, harmonics with y as the polar axis above."""
    if not isinstance(kind, Irreducible):
        return kind
    return Rebased(kind, _rows(to_e3nn(kind.degree)), f"{kind} in e3nn's basis")


def _rows(basis: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in basis.tolist())
