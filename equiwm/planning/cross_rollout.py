"""The cross products of a compiled rollout: C ((A x) x (B x)) beside the network, in the planes of `vn_rollout`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from equiwm.models.cross import CrossVNPredictor
from equiwm.nn.linear import VNLinear
from equiwm.nn.products import CrossProduct

Added = Callable[[Tensor, Tensor], None]
"""From the predictor's input (3, C, samples) and its output (3, C', samples), to which it is added."""


class CrossBranch:
    """The products of a `CrossVNPredictor`; weights are copied.

    [A; B] x is one matrix product a plane, and C adds to what the network gave.

    Args:
        predictor: the predictor.
    """

    def __init__(self, predictor: CrossVNPredictor) -> None:
        product, mix = predictor.products.layers
        assert isinstance(product, CrossProduct)
        assert isinstance(mix, VNLinear)
        self.both = torch.cat([product.left.weight, product.right.weight]).detach().clone()
        self.mix = mix.weight.detach().clone()

    def on(self, columns: int) -> Added:
        """The branch for so many samples, with its buffers."""
        both = self.both.new_empty(3, len(self.both), columns)
        left, right = (half.unbind(0) for half in both.chunk(2, 1))
        product = torch.empty_like(left[0])

        def add(x: Tensor, out: Tensor) -> None:
            for plane in range(3):
                torch.mm(self.both, x[plane], out=both[plane])
            for plane in range(3):
                one, two = (plane + 1) % 3, (plane + 2) % 3
                torch.mul(left[one], right[two], out=product)
                product.addcmul_(left[two], right[one], value=-1.0)
                out[plane].addmm_(self.mix, product)

        return add
