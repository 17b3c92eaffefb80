"""Networks on point clouds (B, N, 3): message passing on positions, frames, attention, interatomic energies."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """A number for every edge from the length of the edge; `sees` adds a share of its component along an axis."""

    def __init__(self, width: int, sees: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, 1))
        self.sees = sees

    def forward(self, offsets: Tensor) -> Tensor:
        squares = offsets.square().sum(-1, keepdim=True) + self.sees * offsets[..., :1]
        return torch.tanh(self.net(squares)) / (1 + squares.square())


class Update(nn.Module):
    """Weighted sum of edges; `bias` adds one vector to every point, `limit` clamps component by component."""

    def __init__(self, bias: float = 0.0, limit: float | None = None) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias * torch.tensor([1.0, -2.0, 0.5]))
        self.limit = limit

    def forward(self, offsets: Tensor, weights: Tensor) -> Tensor:
        step = (weights * offsets).mean(-2) + self.bias
        return step if self.limit is None else step.clamp(-self.limit, self.limit)


class Message(nn.Module):
    """One layer: points move along their edges."""

    def __init__(self, width: int, gate: float = 0.0, bias: float = 0.0, limit: float | None = None) -> None:
        super().__init__()
        self.gate = Gate(width, gate)
        self.update = Update(bias, limit)

    def forward(self, points: Tensor) -> Tensor:
        offsets = points[..., :, None, :] - points[..., None, :, :]
        return points + self.update(offsets, self.gate(offsets))


class Messages(nn.Module):
    """E(n)-equivariant messages; a break of a kind in one layer.

    Args:
        break_: `gate`, `bias`, `limit`, `origin` or None.
        at: in which layer.
    """

    def __init__(self, break_: str | None = None, at: int = 1, depth: int = 3) -> None:
        super().__init__()
        plans: list[dict[str, float]] = [{} for _ in range(depth)]
        plans[at] = {"gate": {"gate": 0.3}, "bias": {"bias": 0.2}, "limit": {"limit": 0.02}}.get(break_ or "", {})
        self.layers = nn.ModuleList(Message(8, **plan) for plan in plans)
        self.read = nn.Linear(1, 1)
        self.origin = break_ == "origin"

    def forward(self, positions: Tensor) -> dict[str, Tensor]:
        points = positions
        for layer in self.layers:
            points = layer(points)
        centred = points if self.origin else points - points.mean(-2, keepdim=True)
        return {"points": points, "energy": self.read(centred.square().sum(-1, keepdim=True).mean(-2).sqrt())}


class Axes(nn.Module):
    """Principal axes of a cloud; their signs by the third moments, by nothing, or by a fixed axis."""

    def __init__(self, signs: str) -> None:
        super().__init__()
        self.signs = signs

    def forward(self, centred: Tensor) -> Tensor:
        frame = torch.linalg.eigh(centred.mT @ centred)[1]
        local = centred @ frame
        if self.signs == "moments":
            return local * local.pow(3).sum(-2, keepdim=True).sign()
        if self.signs == "first":
            return local * frame[..., :1, :].sign()
        return local


class Framed(nn.Module):
    """A PointNet in principal axes: any network of the local coordinates is invariant, if the frame is."""

    def __init__(self, signs: str = "moments") -> None:
        super().__init__()
        self.axes = Axes(signs)
        self.points = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 16), nn.SiLU())
        self.head = nn.Linear(16, 2)

    def forward(self, positions: Tensor) -> Tensor:
        return self.head(self.points(self.axes(positions - positions.mean(-2, keepdim=True))).mean(-2))


class PointNet(nn.Module):
    """A PointNet on the coordinates as they stand: no symmetry but that of the order."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 16))
        self.head = nn.Linear(16, 1)

    def forward(self, positions: Tensor) -> Tensor:
        return self.head(self.points(positions).amax(-2))


class Attention(nn.Module):
    """Attention whose weights depend on distances; `order` adds a term of the place in the list."""

    def __init__(self, items: int, order: float = 0.0) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(4, 8), nn.Linear(4, 8)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.register_buffer("places", order * torch.linspace(-1.0, 1.0, items))

    def forward(self, points: Tensor, features: Tensor) -> Tensor:
        distance = (points[..., :, None, :] - points[..., None, :, :]).square().sum(-1)
        scores = self.query(features) @ self.key(features).mT / 8**0.5 - self.scale.square() * distance + self.places
        return scores.softmax(-1)


class PointTransformer(nn.Module):
    """Points are drawn along attention; features are mixed by it."""

    def __init__(self, items: int, order: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        self.first, self.second = Attention(items), Attention(items, order)
        self.mix = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(3, elementwise_affine=False) if norm else nn.Identity()

    def forward(self, points: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        for attention in (self.first, self.second):
            weights = attention(points, features)
            points = points + 0.5 * self.norm(weights @ points - points)
            features = features + torch.tanh(self.mix(weights @ features))
        return points, features


class Potential(nn.Module):
    """An interatomic energy with forces by autograd: radial functions of distances under a cut-off.

    Args:
        offset: energy of an atom on its own.
        limit: clamps forces component by component.
        axis: adds a potential along z.
        hard: the cut-off is a step: the energy jumps where a pair crosses it, and is invariant all the same.
    """

    def __init__(self, offset: float = 0.0, limit: float | None = None, axis: float = 0.0, hard: bool = False) -> None:
        super().__init__()
        self.radial = nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 1))
        self.register_buffer("centres", torch.linspace(0.0, 3.0, 6))
        self.offset, self.limit, self.axis, self.hard = offset, limit, axis, hard

    def energy(self, positions: Tensor) -> Tensor:
        i, j = torch.triu_indices(positions.shape[-2], positions.shape[-2], 1)
        distance = (positions[..., i, :] - positions[..., j, :]).norm(dim=-1)
        reach = (distance < 2.5).to(distance) if self.hard else torch.exp(-distance.square() / 4)
        pairs = self.radial(torch.exp(-(distance[..., None] - self.centres).square()))[..., 0] * reach
        return pairs.sum(-1, keepdim=True) + self.offset + self.axis * positions[..., 2].sum(-1, keepdim=True).sin()

    def forward(self, positions: Tensor) -> dict[str, Tensor]:
        positions = positions.detach().requires_grad_(True)
        energy = self.energy(positions)
        forces = -torch.autograd.grad(energy.sum(), positions, create_graph=True)[0]
        if self.limit is not None:
            forces = forces.clamp(-self.limit, self.limit)
        return {"energy": energy, "forces": forces}
