"""What float32 costs a network by itself: the scale against which a float32 residual is read."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def float32_rounding(network: nn.Module, inputs: Sequence[Tensor]) -> float:
    """RMS(F_32(x) - F_64(x)) / RMS(F_64(x)): one network, one input, evaluated in float32 and in float64.

    No group element takes part. The residual of an exactly equivariant network compares two float32 evaluations, and
    the turned input and output are rounded besides: it comes to 1.5 to 3 times this number. It comes to more where a
    sample lies close to q = 0 of a VN-ReLU, whose output turns with the direction of q; float64 tells the two apart.

    Args:
        network: in float32 and in evaluation mode, from tensors batched over the first axis to one such tensor.
        inputs: one tensor an argument, (B, ...), float32.
    """
    double = copy.deepcopy(network).double()
    with torch.no_grad():
        single = network(*inputs).double()
        exact = double(*(x.double() for x in inputs))
    return float((single - exact).square().mean().sqrt() / exact.square().mean().sqrt())
