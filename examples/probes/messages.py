"""Probes that a test suite keeps: `pytest examples/probes/` audits each of them.

Functions that return a probe are tests, and so are probes that stand here as values. What begins with an underscore is
a helper.
"""

import torch
from torch import Tensor, nn

from equiwm import Probe, symmetrise


class Messages(nn.Module):
    """Points that move along their differences, by weights that see their distances; in all by `drift` besides."""

    def __init__(self, drift: float = 0.0) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(1, 16), nn.SiLU(), nn.Linear(16, 1))
        self.drift = drift

    def forward(self, points: Tensor) -> Tensor:
        apart = points[..., :, None, :] - points[..., None, :, :]
        weights = self.weigh(apart.square().sum(-1, keepdim=True))
        return points + (weights * apart).mean(-2) + self.drift * torch.tanh(points)


def _probe(drift: float) -> Probe:
    torch.manual_seed(0)
    return Probe(Messages(drift).eval(), inputs=torch.randn(64, 6, 3), group="e3", takes="p", gives="p")


def messages() -> Probe:
    """Equivariant as it stands."""
    return _probe(0.0)


def repaired() -> Probe:
    """A break of one's own, averaged away over frames."""
    broken = _probe(0.1)
    return symmetrise(broken.model, "e3", ("p", "p")).probe(broken.inputs)
