"""Symmetry that is built in, and symmetry that is only started from: one linear layer under label noise.

On R^(2d) with rho = R + R the target is y = (M x I_d) x + noise, which commutes with rho. A vector-neuron layer can be
nothing else; a dense layer that starts in the commutant is free to leave it, and what drives it out is the noise of
the labels (paper, section 5, intrinsic against extrinsic).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from equiwm.nn.layer import Layer, to_channels_last, to_flat
from equiwm.nn.linear import ComplexVNLinear, DenseLinear, VNLinear
from equiwm.symmetry.reps import vectors
from equiwm.training.optimizers import build_optimizer

LayerName = Literal["vn_layer", "dense_layer"]
VECTORS, SAMPLES, NOISE = 2, 256, 0.05
BATCH = 32


def project_on_commutant(weight: Tensor, d: int) -> Tensor:
    """P W = E_g[rho(g) W rho(g)^T] over SO(d), rho a sum of vectors: (C' d, C d) -> the same shape and dtype.

    By Schur's lemma, block by block: tr(B)/3 I in space; in the plane tr(B)/2 I + tr(J^T B)/2 J, with J = R(90 deg).
    """
    rows, columns = weight.shape[0] // d, weight.shape[1] // d
    blocks = weight.reshape(rows, d, columns, d).transpose(1, 2)  # (C', C, d, d)
    basis = [torch.eye(d, dtype=weight.dtype)]
    if d == 2:
        basis.append(torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=weight.dtype))
    parts = [(blocks * element).sum((-1, -2), keepdim=True) / d * element for element in basis]
    return torch.stack(parts).sum(0).transpose(1, 2).reshape(weight.shape)


def off_commutant(weight: Tensor, d: int) -> float:
    """|W - P W| / |W| in the Frobenius norm: 0 for an equivariant map, about 1 for a random one."""
    return float((weight - project_on_commutant(weight, d)).norm() / weight.norm())


class _Flat(torch.nn.Module):
    """A layer of either layout as a map of flat vectors (B, C d) -> (B, C' d)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        flat = self.layer.layout == "flat"
        out: Tensor = self.layer(x if flat else to_channels_last(x, self.layer.in_rep.d))
        return out if flat else to_flat(out)

    @torch.no_grad()
    def matrix(self) -> Tensor:
        """W of y = W x + b."""
        origin = torch.zeros(1, self.layer.in_rep.dim, dtype=torch.float64)
        columns: Tensor = self(torch.eye(origin.shape[1], dtype=torch.float64)) - self(origin)
        return columns.T


def train_layer(name: LayerName, optimizer: str, d: int, *, steps: int, seed: int) -> tuple[_Flat, float]:
    """Fit one layer on noisy labels, in float64, and give it with its distance from the commutant before training.

    256 samples x ~ N(0, 1), M ~ N(0, 1), noise 0.05 a label; batches of 32 drawn with replacement, the optimiser at
    the protocol's learning rate. Both layers start at the same matrix, see the same data, and have no bias to learn.

    Args:
        name: the layer.
        optimizer: what trains it.
        d: 2 or 3.
        steps: optimiser steps.
        seed: of start, target, data and batches.
    """
    rep, rng = vectors(VECTORS, d), np.random.default_rng([d, seed])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vn = _Flat((ComplexVNLinear if d == 2 else VNLinear)(rep, rep).double())
    layer = vn
    if name == "dense_layer":
        dense = DenseLinear(rep, rep).double()
        with torch.no_grad():
            dense.linear.weight.copy_(vn.matrix())
            dense.linear.bias.zero_()
        layer = _Flat(dense)
    start = off_commutant(layer.matrix(), d)
    mixing = np.kron(rng.normal(size=(VECTORS, VECTORS)), np.eye(d))
    x = rng.normal(size=(SAMPLES, VECTORS * d))
    y = x @ mixing.T + NOISE * rng.normal(size=x.shape)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    optimizers = build_optimizer(optimizer, layer)
    for rows in torch.from_numpy(rng.integers(0, SAMPLES, (steps, BATCH))):
        loss = (layer(inputs[rows]) - labels[rows]).square().mean()
        optimizers.zero_grad()
        loss.backward()
        optimizers.step()
    return layer, start
