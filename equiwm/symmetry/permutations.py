"""S_n: all permutations of the n items of an axis (particles, legs, agents)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.elements import Elements, Seed, drawing, identities
from equiwm.symmetry.generators import Generators, discrete
from equiwm.symmetry.group import Group

MOST_ITEMS = 4096


class SymmetricGroup(Group):
    """S_n, which permutes the items of the kind `permN` (`perm5*1o`: five vectors) and leaves space alone (d = 0).

    Args:
        n: the number of items.

    Raises:
        GroupError: n below 1 or above 4096.
    """

    d = 0

    def __init__(self, n: int) -> None:
        if not 1 <= n <= MOST_ITEMS:
            raise GroupError(f"group 's{n}': got {n} items, expected 1 to {MOST_ITEMS}.")
        self.name, self.items = f"s{n}", n

    @property
    def order(self) -> int:
        """n!"""
        return math.factorial(self.items)

    @property
    def generators(self) -> Generators:
        """The exchange of the first two items, and the step of every item to the next place."""
        return discrete(_of(torch.stack([self._swap(), self._step()])))

    def _swap(self) -> Tensor:
        places = torch.arange(self.items)
        if self.items > 1:
            places[:2] = torch.tensor([1, 0])
        return places

    def _step(self) -> Tensor:
        return (torch.arange(self.items) + 1) % self.items

    def sample(self, n: int, seed: Seed, *, sigma: float = 1.0) -> Elements:
        """`n` elements, each uniform over the permutations; there are no translations, whatever `sigma`."""
        rng = drawing(n, seed)
        return _of(torch.from_numpy(rng.permuted(np.tile(np.arange(self.items), (n, 1)), axis=1)))

    def contains(self, g: Elements) -> Tensor:
        if g.items not in (0, self.items):
            return torch.zeros(g.shape, dtype=torch.bool)
        return ~(g.turns | g.moves) if g.d else torch.ones(g.shape, dtype=torch.bool)

    def named(self, n: int, seed: Seed) -> list[tuple[str, Elements]]:
        """The identity, an exchange, a step and the reversed order, as far as they differ."""
        places = {
            "identity": torch.arange(self.items),
            "items 0 and 1 exchanged": self._swap(),
            "every item one place on": self._step(),
            "order reversed": torch.arange(self.items).flip(0),
        }
        found: dict[tuple[int, ...], tuple[str, Elements]] = {}
        for label, place in places.items():
            found.setdefault(tuple(place.tolist()), (label, _of(place)))
        return list(found.values())


def _of(places: Tensor) -> Elements:
    still = identities(0, places.shape[:-1])
    return Elements(still.linear, still.translation, places)
