"""An EGNN of one's own, and the probe that says what it should do: `equiwm audit examples/egnn_probe.py:probe`.

The other probes are the same network with one thing broken in it: `axis`, `constant`, `clamp`.
"""

import torch
from torch import Tensor, nn

from equiwm import Probe


class Layer(nn.Module):
    """Messages from distances; points move along their differences (Satorras, Hoogeboom and Welling 2021)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.message = nn.Sequential(nn.Linear(1 + 2 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.gate = nn.Linear(width, 1)
        self.update = nn.Linear(2 * width, width)

    def forward(self, points: Tensor, features: Tensor, axis: float = 0.0) -> tuple[Tensor, Tensor]:
        difference = points[:, :, None] - points[:, None]
        size = difference.square().sum(-1, keepdim=True)
        n = points.shape[1]
        pairs = features[:, :, None].expand(-1, -1, n, -1), features[:, None].expand(-1, n, -1, -1)
        message = self.message(torch.cat([size, *pairs], -1))
        if axis:
            message = message * (1 + axis * torch.tanh(difference[..., :1]))
        moved = points + (difference * self.gate(message)).mean(2)
        return moved, self.update(torch.cat([features, message.sum(2)], -1))


class EGNN(nn.Module):
    """Three layers; `broken` is `axis`, `constant`, `clamp`, or nothing."""

    def __init__(self, width: int = 16, broken: str = "") -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(3))
        self.broken = broken

    def forward(self, positions: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        features = self.embedding(numbers)
        for k, layer in enumerate(self.layers):
            positions, features = layer(positions, features, 0.3 if self.broken == "axis" and k == 1 else 0.0)
            if self.broken == "constant" and k == 1:
                positions = positions + torch.tensor([0.0, 0.0, 0.3]).to(positions)
            if self.broken == "clamp" and k == 1:
                positions = positions.clamp(-1.5, 1.5)
        return {"positions": positions, "features": features}


def made(broken: str = "") -> Probe:
    """Weights and 64 clouds of 6 points from a seed."""
    torch.manual_seed(0)
    model = EGNN(broken=broken).eval()
    clouds = {"positions": torch.randn(64, 6, 3), "numbers": torch.randint(0, 5, (64, 6))}
    return Probe(
        model,
        inputs=clouds,
        group="e3",
        takes={"positions": "p", "numbers": "same"},
        gives={"positions": "p", "features": "16x0e"},
        call="**",
    )


def probe() -> Probe:
    """As it should be."""
    return made()


def axis() -> Probe:
    """A gate of the second layer sees the x axis."""
    return made("axis")


def constant() -> Probe:
    """A constant vector after the second layer."""
    return made("constant")


def clamp() -> Probe:
    """A clamp by component after the second layer."""
    return made("clamp")
