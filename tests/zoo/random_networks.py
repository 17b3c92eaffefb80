"""Random networks that are exactly equivariant by construction, of any depth, width and scale; and breaks of 1e-3."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from equiwm.audit.probe import Probe

from .vectors import Half

MOST_DEPTH, MOST_WIDTH = 30, 16
DECADES = 6.0
"""Scales of inputs, and of all weights together, lie within so many powers of ten of one."""


def lengths(v: Tensor) -> Tensor:
    """Lengths that are safe at zero at any scale: (..., 1)."""
    return torch.linalg.vector_norm(v, dim=-1, keepdim=True)


def bounded(v: Tensor) -> Tensor:
    """v / (1 + |v|)."""
    return v / (1 + lengths(v))


def gated(v: Tensor) -> Tensor:
    """v (0.2 + sigmoid(1 - |v|)): what is long is not silenced."""
    return v * (0.2 + torch.sigmoid(1 - lengths(v)))


def thresholded(v: Tensor) -> Tensor:
    """v where it is longer than the mean of its sample, a tenth of it elsewhere."""
    n = lengths(v)
    return v * torch.where(n > n.mean(-2, keepdim=True), 1.0, 0.1).to(v)


def normed(v: Tensor) -> Tensor:
    """Divided by the RMS length of the sample's channels."""
    return v / (lengths(v).square().mean(-2, keepdim=True).sqrt() + torch.finfo(torch.float32).tiny)


def crossed(v: Tensor) -> Tensor:
    """Cross products with the next channel, bounded: proper rotations alone."""
    u = bounded(v)
    return u + torch.linalg.cross(u, u.roll(1, -2), dim=-1)


NONLINEARITIES: tuple[Callable[[Tensor], Tensor], ...] = (bounded, gated, thresholded, normed, crossed)


class Mixing(nn.Module):
    """Channels are mixed by a matrix of a given scale."""

    def __init__(self, a: int, b: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(b, a) / a**0.5)

    def forward(self, v: Tensor) -> Tensor:
        return self.weight @ v


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, v: Tensor) -> Tensor:
        return self.function(v)


class RandomNetwork(nn.Module):
    """A chain of mixings and nonlinearities, with invariants beside the vectors where asked for."""

    def __init__(self, rng: np.random.Generator, out: int, scalars: bool) -> None:
        super().__init__()
        depth = int(rng.integers(1, MOST_DEPTH + 1))
        widths = [int(width) for width in rng.integers(2, MOST_WIDTH + 1, depth)]
        scales = 10.0 ** (rng.uniform(-DECADES, DECADES, depth + 1) / (depth + 1))
        parts: list[nn.Module] = []
        for a, b, scale in zip([self.inputs, *widths[:-1]], widths, scales[:-1], strict=True):
            parts.append(Mixing(a, b, float(scale)))
            pick = int(rng.integers(len(NONLINEARITIES) + 1))
            parts.append(Half(b) if pick == len(NONLINEARITIES) else Apply(NONLINEARITIES[pick]))
        self.body = nn.Sequential(*parts)
        self.last = Mixing(widths[-1], out, float(scales[-1]))
        self.scalars = scalars

    inputs = 4

    def forward(self, v: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        vectors = self.last(self.body(v))
        return (vectors, torch.asinh(lengths(vectors)[..., 0]).cumsum(-1)) if self.scalars else vectors


def random_probe(seed: int, dtype: torch.dtype = torch.float32, samples: int = 16) -> Probe:
    """An exact network under so3 and inputs for it."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(10.0 ** rng.uniform(-DECADES, DECADES) * rng.normal(size=(samples, RandomNetwork.inputs, 3)))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        scalars = bool(rng.integers(2))
        model = RandomNetwork(rng, 3, scalars).to(dtype).eval()
    return Probe(model, x.to(dtype), "so3", "4x1o", ("3x1o", "3x0e") if scalars else "3x1o")


# Breaks


def scaled(v: Tensor, size: float) -> Tensor:
    """z is longer."""
    return v * (1 + size * torch.tensor([0.0, 0.0, 1.0], dtype=v.dtype))


def shifted(v: Tensor, size: float) -> Tensor:
    """A constant along y, of the size of the channel."""
    scale = _size(v)
    return v + size * scale * torch.tensor([0.0, 1.0, 0.0], dtype=v.dtype)


def clamped(v: Tensor, size: float) -> Tensor:
    """A share of the vector, its components through a sign."""
    return v + size * _size(v) * v.sign()


def _size(v: Tensor) -> Tensor:
    """Of each sample by itself: a mean over the batch would be another break."""
    return v.square().mean((-2, -1), keepdim=True).sqrt().detach()


def exchanged(v: Tensor, size: float) -> Tensor:
    """A share of the vector, its components in another order."""
    return v + size * v.roll(1, -1)


BREAKS: tuple[Callable[[Tensor, float], Tensor], ...] = (scaled, shifted, clamped, exchanged)


class Planted(nn.Module):
    """A network, one of whose output channels is broken."""

    def __init__(self, inner: nn.Module, channel: int, broken: Callable[[Tensor, float], Tensor], size: float) -> None:
        super().__init__()
        self.inner, self.channel, self.broken, self.size = inner, channel, broken, size
        self.factors = nn.Parameter(torch.logspace(-3, 3, 256)[torch.randperm(256), None])

    def forward(self, v: Tensor) -> Tensor:
        out = self.inner(v) * self.factors
        k = self.channel
        return torch.cat([out[:, :k], self.broken(out[:, k : k + 1], self.size), out[:, k + 1 :]], 1)


def planted_probe(seed: int, dtype: torch.dtype = torch.float32, samples: int = 16) -> Probe:
    """256 vectors of sizes from 1e-3 to 1e3, one of them broken by 1e-3 of its own size."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(samples, RandomNetwork.inputs, 3))).to(dtype)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inner = RandomNetwork(rng, 256, False)
        model = Planted(inner, int(rng.integers(256)), BREAKS[int(rng.integers(len(BREAKS)))], 1e-3).to(dtype).eval()
    return Probe(model, x, "so3", "4x1o", "256x1o")
