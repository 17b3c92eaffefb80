"""Networks whose inputs are no single tensor: graphs of any size, graph data, dataclasses, numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .case import drawn


class Graph:
    """Graph data: positions, atomic numbers, edges and a name, as attributes."""

    def __init__(self, pos: Tensor, numbers: Tensor, edge_index: Tensor) -> None:
        self.pos, self.numbers, self.edge_index = pos, numbers, edge_index
        self.name = "molecule"


@dataclass(frozen=True)
class Prediction:
    """What an interatomic network gives."""

    energy: Tensor
    forces: Tensor
    steps: int = 1


class Pair(NamedTuple):
    """Energy and dipole."""

    energy: Tensor
    dipole: Tensor


def edges(n: int) -> Tensor:
    """Every ordered pair."""
    return torch.tensor([(i, j) for i in range(n) for j in range(n) if i != j]).T


def molecules(count: int, dtype: torch.dtype, *, sizes: tuple[int, int] = (4, 9), seed: int = 0) -> list[Graph]:
    """Graphs of different sizes."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        n = int(rng.integers(*sizes))
        numbers = torch.from_numpy(rng.integers(1, 4, n))
        found.append(Graph(drawn(n, 3, dtype=dtype, seed=100 + k), numbers, edges(n)))
    return found


class Squash(nn.Module):
    """tanh of the length, or of the components."""

    def __init__(self, by_component: bool) -> None:
        super().__init__()
        self.by_component = by_component

    def forward(self, v: Tensor) -> Tensor:
        if self.by_component:
            return torch.tanh(v)
        length = (v.square().sum(-1, keepdim=True) + 1e-8).sqrt()
        return v * torch.tanh(length) / length


class GraphNetwork(nn.Module):
    """Messages along edges, by index; forces on nodes and an energy.

    Args:
        by_component: the squash of the second layer acts on components.
        give: what the output is made of (energy, forces).
    """

    def __init__(self, by_component: bool = False, give: Callable[[Tensor, Tensor], Any] = Prediction) -> None:
        super().__init__()
        self.embed = nn.Embedding(4, 6)
        self.edge = nn.Sequential(nn.Linear(13, 16), nn.SiLU(), nn.Linear(16, 1))
        self.squash1, self.squash2 = Squash(False), Squash(by_component)
        self.read = nn.Linear(6, 1)
        self.give = give

    def forward(self, pos: Tensor, numbers: Tensor, edge_index: Tensor) -> Any:
        i, j = edge_index
        h = self.embed(numbers)
        v = torch.zeros_like(pos)
        for squash in (self.squash1, self.squash2):
            offset = pos[i] - pos[j]
            inputs = torch.cat([h[i], h[j], offset.square().sum(-1, keepdim=True)], -1)
            message = self.edge(inputs) * (offset + 0.3 * v[j])
            v = v + squash(torch.zeros_like(pos).index_add(0, i, message))
            h = h + 0.1 * v.square().sum(-1, keepdim=True)
        return self.give(self.read(h).sum(0), v)


class OnData(nn.Module):
    """The same on graph data."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, data: Graph) -> Any:
        return self.inner(data.pos, data.numbers, data.edge_index)


def springs(positions: np.ndarray, stretch: float = 0.0) -> np.ndarray:
    """Forces of springs in plain numpy; `stretch` makes them stiffer along z."""
    offset = positions[..., None, :, :] - positions[..., :, None, :]
    length = np.sqrt((offset**2).sum(-1, keepdims=True) + 0.1)
    forces = (offset * (1 - 1 / length)).sum(-2)
    return forces * np.asarray([1.0, 1.0, 1.0 + stretch], dtype=positions.dtype)


def periodic(positions: Tensor, cell: Tensor) -> Tensor:
    """Energy of a crystal: pairs with the neighbouring images; (B, N, 3) and (B, 3, 3), lattice vectors as rows."""
    images = torch.cartesian_prod(*[torch.arange(-1.0, 2.0)] * 3).to(positions) @ cell
    offset = positions[:, :, None, None] - positions[:, None, :, None] + images[:, None, None]
    return torch.exp(-2 * offset.square().sum(-1)).sum((1, 2, 3))[:, None]
