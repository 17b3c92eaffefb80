"""The base of all layers, and the sequence that refuses neighbours that do not fit.

Reps are checked when a network is built, never on a forward pass. Inside a network vectors are laid out
channels-last, (..., d, C): a channel-mixing map is then one matrix product on contiguous rows, 2-3 times faster
than with the spatial axis last. Networks convert once at either end (`to_channels_last`, `to_flat`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from equiwm.errors import RepError
from equiwm.symmetry.reps import Rep

Layout = Literal["channels_last", "flat"]


class Layer(nn.Module):
    """A map from tensors of `in_rep` to tensors of `out_rep`, both in `layout`.

    Ordinary layers, which are equivariant to nothing, say so by setting `ordinary`.
    """

    ordinary = False

    def __init__(self, in_rep: Rep, out_rep: Rep, layout: Layout) -> None:
        super().__init__()
        self.in_rep, self.out_rep, self.layout = in_rep, out_rep, layout

    @property
    def equivariant(self) -> bool:
        """Whether the map is meant to be equivariant to rotations at any weights: no part is ordinary.

        This is what the architecture intends; what holds is measured by `equiwm.audit`.
        """
        return not self.ordinary and all(part.equivariant for part in _nearest(self))

    def extra_repr(self) -> str:
        return f"{self.in_rep} -> {self.out_rep}"

    def _require_vectors(self, *reps: Rep) -> None:
        for rep in reps:
            if not rep.vectors_only:
                raise RepError(
                    f"{type(self).__name__} maps vectors to vectors; got rep {rep}. Encoder and predictor vn take any."
                )
        if len({rep.d for rep in reps}) > 1:
            raise RepError(f"{type(self).__name__} cannot change the dimension d: got {[rep.d for rep in reps]}.")


def _nearest(module: nn.Module) -> Iterator[Layer]:
    """The layers that a module is made of; what they are made of themselves is theirs to say."""
    for part in module.children():
        if isinstance(part, Layer):
            yield part
        else:
            yield from _nearest(part)


class Sequential(Layer):
    """Layers applied in turn: y = L_n(...L_1(x)).

    Raises:
        RepError: two neighbours do not fit, or there is no layer.
    """

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise RepError("a Sequential needs at least one layer.")
        for left, right in pairwise(layers):
            if left.out_rep != right.in_rep or left.layout != right.layout:
                raise RepError(
                    f"{type(left).__name__} gives {left.out_rep} ({left.layout}, d = {left.out_rep.d}) but the next "
                    f"layer {type(right).__name__} takes {right.in_rep} ({right.layout}, d = {right.in_rep.d})."
                )
        super().__init__(layers[0].in_rep, layers[-1].out_rep, layers[0].layout)
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def to_channels_last(x: Tensor, d: int) -> Tensor:
    """Vectors from flat (..., C d) to channels-last (..., d, C)."""
    return x.unflatten(-1, (-1, d)).transpose(-1, -2)


def to_flat(x: Tensor) -> Tensor:
    """Vectors from channels-last (..., d, C) to flat (..., C d), one vector after another."""
    return x.transpose(-1, -2).flatten(-2)
