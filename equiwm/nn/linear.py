"""Linear layers: the equivariant ones for vectors, and the ordinary one they are compared with."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from equiwm.errors import RepError
from equiwm.nn.layer import Layer
from equiwm.nn.stacked import is_stacked, stacked_complex_linear, stacked_linear
from equiwm.symmetry.reps import Rep


def _uniform(rows: int, columns: int, terms: int) -> nn.Parameter:
    """Uniform weights with which a sum over `terms` inputs of unit variance has variance 1/3, as `nn.Linear`'s."""
    bound = 1.0 / math.sqrt(terms)
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))


class VNLinear(Layer):
    """Vector-neuron linear layer with real weights: V'_o = sum_i W_oi V_i.

    Channels mix and the spatial axis is untouched, so it commutes with every matrix acting on that axis: it is
    equivariant to O(d), reflections included. Complete for vectors of SO(3) and O(3); not of SO(2), see
    `ComplexVNLinear`. Channels-last (..., d, C_in) -> (..., d, C_out). Source: paper, section "Models".

    Raises:
        RepError: a rep that holds anything but vectors, or two dimensions.
    """

    def __init__(self, in_rep: Rep, out_rep: Rep) -> None:
        super().__init__(in_rep, out_rep, "channels_last")
        self._require_vectors(in_rep, out_rep)
        self.weight = _uniform(out_rep.multiplicity, in_rep.multiplicity, in_rep.multiplicity)

    def forward(self, x: Tensor) -> Tensor:
        return stacked_linear(x, self.weight) if is_stacked(self.weight) else functional.linear(x, self.weight)


class ComplexVNLinear(Layer):
    """Vector-neuron linear layer with complex weights, d = 2: V'_o = sum_i (A_oi + B_oi J) V_i, J = R(90 deg).

    With vectors read as complex numbers this is V' = (A + iB) V: all matrices that commute with SO(2), so the
    layer is complete for SO(2), and (B != 0) not equivariant to reflections. A and B are kept as two real
    matrices, which is what Muon takes. Channels-last (..., 2, C_in) -> (..., 2, C_out).

    Raises:
        RepError: d is not 2, or a rep holds anything but vectors.
    """

    def __init__(self, in_rep: Rep, out_rep: Rep) -> None:
        super().__init__(in_rep, out_rep, "channels_last")
        self._require_vectors(in_rep, out_rep)
        if in_rep.d != 2:
            raise RepError(
                f"complex weights need d = 2 (they commute with SO(2)); got rep {in_rep} with d = {in_rep.d}."
            )
        shape = (out_rep.multiplicity, in_rep.multiplicity)
        self.real = _uniform(*shape, terms=2 * shape[1])
        self.imaginary = _uniform(*shape, terms=2 * shape[1])

    def forward(self, x: Tensor) -> Tensor:
        if is_stacked(self.real):
            return stacked_complex_linear(x, self.real, self.imaginary)
        straight, turned = functional.linear(x, torch.cat([self.real, self.imaginary])).chunk(2, -1)
        quarter = torch.stack([-turned[..., 1, :], turned[..., 0, :]], -2)
        return straight + quarter


class DenseLinear(Layer):
    """Ordinary linear layer y = W x + b on the flat form: equivariant to nothing. (..., dim) -> (..., dim')."""

    ordinary = True

    def __init__(self, in_rep: Rep, out_rep: Rep) -> None:
        super().__init__(in_rep, out_rep, "flat")
        self.linear = nn.Linear(in_rep.dim, out_rep.dim)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.linear.weight, self.linear.bias
        return stacked_linear(x, weight, bias) if is_stacked(weight) else self.linear(x)
