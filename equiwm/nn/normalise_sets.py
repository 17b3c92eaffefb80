"""Scaling to unit size of what holds a set: the same for every item, whatever its place, and for any number of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.nn.layer import Layer
from equiwm.nn.normalise import Normalise
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import SetLayout, set_layout


class SetNormalise(Layer):
    """`Normalise` of items, one mu and sigma of a quantity for all, and another of what stands beside the set.

    It is fitted on the items that are there. Masks pass as they are; empty places become zero. Flat -> flat.

    Args:
        rep: holds a set, without points: those of observations are taken off their mean first (`Centring`).
        group: the group; None is all rotations of the plane or of space.

    Raises:
        RepError: no set, or points.
    """

    def __init__(self, rep: Rep, group: Group | None = None) -> None:
        super().__init__(rep, rep, "flat")
        layout = set_layout(rep)
        if layout is None or rep.has_points:
            raise RepError(f"rep {rep} is no set without points, whose items could be normalised.")
        self._set: SetLayout = layout
        self.item = None if layout.item is None else Normalise(layout.item, group)
        self.rest = None if layout.rest is None else Normalise(layout.rest, group)

    @torch.no_grad()
    def fit(self, batches: Tensor | Iterable[Tensor], *, still: float = 1.0) -> SetNormalise:
        """Take mu and sigma from data; itself.

        Args:
            batches: (..., dim), in one or in several batches, with the masks that belong to them.
            still: sigma of what is the same in all of them.

        Raises:
            DataError: no data, or no item in any of them.
        """
        beside: list[Tensor] = []

        def items() -> Iterator[Tensor]:
            for batch in [batches] if isinstance(batches, Tensor) else batches:
                beside.append(self._set.others(batch))
                yield self._set.items(batch)[self._set.present(batch)]

        if self.item is not None:
            self.item.fit(items(), still=still)
        if self.rest is not None:
            self.rest.fit(beside, still=still)
        return self

    def forward(self, x: Tensor) -> Tensor:
        there, items, others = self._set.present(x), self._set.items(x), self._set.others(x)
        if self.item is not None:
            items = self.item(items) * there[..., None]
        return self._set.joined(items, others if self.rest is None else self.rest(others), there)

    def inverse(self, x: Tensor) -> Tensor:
        """What `forward` was given, from what it gave."""
        there, items, others = self._set.present(x), self._set.items(x), self._set.others(x)
        if self.item is not None:
            items = self.item.inverse(items) * there[..., None]
        return self._set.joined(items, others if self.rest is None else self.rest.inverse(others), there)

    def scaled(self, x: Tensor) -> Tensor:
        """x sigma: a difference in the data's own unit, from one in units of sigma; masks of differences are zero."""
        items, others = x[..., self._set.places.to(x.device)], self._set.others(x)
        if self.item is not None:
            items = self.item.scaled(items)
        return self._set.joined(items, others if self.rest is None else self.rest.scaled(others), None)
