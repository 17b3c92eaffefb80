"""Small networks trained side by side: what data say of the next state, with and without turned copies."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

_WIDTH, _STEPS, _BATCH, _RATE, _DECAY = 96, 1500, 256, 5e-3, 1e-3


class Ensemble(nn.Module):
    """K networks x -> y with two hidden layers and a linear path, side by side: (K, n, i) -> (K, n, o).

    Args:
        count: K.
        inputs: i.
        outputs: o.
        seed: of the weights. Gaussian weights favour no direction.
    """

    def __init__(self, count: int, inputs: int, outputs: int, seed: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        sizes = (inputs, _WIDTH, _WIDTH, outputs)
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.randn(1, a, b, generator=draw).repeat(count, 1, 1) / a**0.5) for a, b in pairs]
        )
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(count, 1, b)) for _, b in pairs])
        self.straight = nn.Parameter(torch.zeros(count, inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The K outputs."""
        straight = x @ self.straight
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if k + 1 < len(self.weights):
                x = nn.functional.silu(x)
        return straight + x

    def one(self, k: int, x: Tensor) -> Tensor:
        """Network k alone: (n, i) -> (n, o)."""
        straight = x @ self.straight[k]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight[k] + bias[k, 0]
            if layer + 1 < len(self.weights):
                x = nn.functional.silu(x)
        return straight + x


def trained(inputs: list[Tensor], outputs: list[Tensor], seed: int) -> Ensemble:
    """Networks that all begin alike, each fitted to its own rows: (n_k, i) and (n_k, o), standardised.

    Args:
        inputs: rows of each network.
        outputs: what they are followed by.
        seed: of weights and batches.
    """
    count = len(inputs)
    network = Ensemble(count, inputs[0].shape[1], outputs[0].shape[1], seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS, pct_start=0.1)
    x, y = [part.float() for part in inputs], [part.float() for part in outputs]
    draw = torch.Generator().manual_seed(seed)
    for _ in range(_STEPS):
        chosen = [torch.randint(len(rows), (_BATCH,), generator=draw) for rows in x]
        given = torch.stack([rows[at] for rows, at in zip(x, chosen, strict=True)])
        wanted = torch.stack([rows[at] for rows, at in zip(y, chosen, strict=True)])
        loss = (network(given) - wanted).square().mean((1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.double().eval().requires_grad_(False)
