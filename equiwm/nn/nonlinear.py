"""Nonlinearities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from equiwm.errors import RepError
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep


class VNReLU(Layer):
    """Vector-neuron ReLU: with q = K V, keep V where <V, q> >= 0, else remove its component along q.

        V' = V - min(<V, q>, 0) q / (<q, q> + eps)

    K mixes channels and is itself an equivariant linear layer, so inner products are invariant and V' turns with
    V. Channels-last (..., d, C) -> (..., d, C). Source: Deng et al. 2021, "Vector Neurons"; paper, "Models".

    Args:
        direction: K, an equivariant linear layer from a rep to itself.

    Raises:
        RepError: K changes the rep.
    """

    eps = 1e-12

    def __init__(self, direction: Layer) -> None:
        super().__init__(direction.in_rep, direction.in_rep, "channels_last")
        if direction.in_rep != direction.out_rep:
            raise RepError(f"VNReLU compares V with K V, but K maps {direction.in_rep} to {direction.out_rep}.")
        self.direction = direction

    def forward(self, x: Tensor) -> Tensor:
        q = self.direction(x)
        against = (x * q).sum(-2, keepdim=True).clamp(max=0.0)
        return x - (against / ((q * q).sum(-2, keepdim=True) + self.eps)) * q


class DenseReLU(Layer):
    """Ordinary ReLU on the flat form, after an optional layer norm. (..., dim) -> (..., dim)."""

    ordinary = True

    def __init__(self, rep: Rep, *, norm: bool = False) -> None:
        super().__init__(rep, rep, "flat")
        self.norm = nn.LayerNorm(rep.dim) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(x))
