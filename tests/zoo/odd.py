"""Functions that mislead a check: of strange sizes, with state, with noise, of data that span little."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

CALLS = {"count": 0}
"""State that a network of the zoo keeps outside itself."""


def norms(v: Tensor) -> Tensor:
    """Safe lengths, (..., 1)."""
    return (v.square().sum(-1, keepdim=True) + 1e-12).sqrt()


def swirl(v: Tensor) -> Tensor:
    """A smooth equivariant map of vectors (B, C, 3) under o3."""
    gram = v @ v.mT
    return torch.tanh(gram) @ v


def tilted(v: Tensor, size: float) -> Tensor:
    """The same, z scaled by 1 + size."""
    out = swirl(v)
    return out * torch.tensor([1.0, 1.0, 1.0 + size], dtype=v.dtype)


def unit(v: Tensor) -> Tensor:
    """Of no scale: v / |v|."""
    return v / v.norm(dim=-1, keepdim=True)


def unit_swirl(v: Tensor) -> Tensor:
    """Of inputs of all sizes: a smooth map of their directions."""
    return swirl(unit(v))


def mixed_sizes(v: Tensor) -> tuple[Tensor, Tensor]:
    """Large vectors, and a small scalar that sees x."""
    return 1e6 * swirl(v), 1e-6 * v[..., 0, :1]


def half_filled(v: Tensor) -> tuple[Tensor, Tensor]:
    """A second output that nobody filled."""
    return swirl(v), torch.zeros_like(v)


def handed(v: Tensor, size: float) -> Tensor:
    """Vectors with a share of pseudovectors."""
    return swirl(v) + size * torch.linalg.cross(v, v.roll(1, -2), dim=-1)


def drifting(points: Tensor) -> Tensor:
    """Offsets from the centroid, with a share of the absolute positions."""
    return points - (1 - 1e-4) * points.mean(-2, keepdim=True)


def far_only(v: Tensor) -> Tensor:
    """Broken where vectors are longer than 20."""
    return swirl(unit(v)) + (norms(v) > 20) * v.abs()


def eigenvector(v: Tensor) -> Tensor:
    """The principal axis of four vectors, as the solver gives it."""
    return torch.linalg.eigh(v.mT @ v)[1][..., -1]


def longest(v: Tensor) -> Tensor:
    """The longest of the vectors."""
    return v.gather(-2, norms(v).argmax(-2, keepdim=True).expand(-1, 1, 3))[:, 0]


def first_by_x(v: Tensor) -> Tensor:
    """The vector of the largest x."""
    return v.gather(-2, v[..., :1].argmax(-2, keepdim=True).expand(-1, 1, 3))[:, 0]


def one_silent(v: Tensor) -> Tensor:
    """Five channels, of which one is zero."""
    return torch.cat([swirl(v), torch.zeros_like(v[:, :1])], 1)


def counted(v: Tensor) -> Tensor:
    """Drifts with the number of calls."""
    CALLS["count"] += 1
    return swirl(v) * (1 + 1e-3 * CALLS["count"])


def alternating(period: int) -> Callable[[Tensor], Tensor]:
    """Another answer at every so many calls."""
    calls = itertools.count(1)
    return lambda v: swirl(v) * (1.1 if next(calls) % period == 0 else 1.0)


class Stale(nn.Module):
    """Adds a tenth of its last input, kept in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def forward(self, v: Tensor) -> Tensor:
        out = swirl(v) if self.last is None else swirl(v) + 0.1 * self.last.to(v)
        self.last = v.detach().clone()
        return out


def padded(points: Tensor, there: Tensor) -> Tensor:
    """Offsets from the centroid of the points that are there; zero for padding."""
    weight = there[..., None].to(points)
    return (points - (points * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)) * weight


def one_place(points: Tensor) -> Tensor:
    """Offsets from the centroid, and one of thousands is broken by 1e-3."""
    offset = points - points.mean(1, keepdim=True)
    return torch.cat([offset[:, :7], offset[:, 7:8] + 1e-3 * offset[:, 7:8].abs(), offset[:, 8:]], 1)


def only_float32(v: Tensor, size: float) -> Tensor:
    """Refuses other dtypes."""
    if v.dtype != torch.float32:
        raise TypeError("float32 alone")
    return tilted(v, size)


def total(v: Tensor) -> float:
    """A number, and no tensor."""
    return float(v.square().sum())


def python_noise(v: Tensor) -> Tensor:
    """Noise of Python's generator."""
    return swirl(v) * (1 + 1e-3 * random.gauss(0.0, 1.0))


def numpy_noise(v: Tensor) -> Tensor:
    """Noise of numpy's global generator."""
    return swirl(v) * float(1 + 1e-3 * np.random.standard_normal())  # noqa: NPY002  what others draw from


def torch_noise(v: Tensor) -> Tensor:
    """Noise of torch's generator, of every entry."""
    return swirl(v) + 1e-3 * torch.randn_like(v)


def in_place(v: Tensor) -> Tensor:
    """Changes its argument."""
    v *= 2
    return v


def spiky(v: Tensor) -> Tensor:
    """A narrow bump in an invariant."""
    return v * (1 + 5 * torch.exp(-((norms(v) - 1.5) / 0.02).square()))


def shell(v: Tensor) -> Tensor:
    """Jumps with an invariant: inside a sphere one sign, outside the other."""
    return v * torch.where(norms(v) < 1.5, 1.0, -0.5).to(v)


def hashed(v: Tensor, rate: float) -> Tensor:
    """A fast wave of an invariant."""
    return v * torch.sin(rate * norms(v))


def one_of_many(v: Tensor, size: float = 0.0) -> Tensor:
    """Zero but where the first vector is very long."""
    return tilted(v, size) * (norms(v)[..., :1, :] > 3.2).to(v)


def neighbours(points: Tensor) -> Tensor:
    """How many points lie within 1.5 of each: whole numbers, as floats."""
    offset = points[..., :, None, :] - points[..., None, :, :]
    return (offset.norm(dim=-1) < 1.5).to(points).sum(-1, keepdim=True)


def sorted_edges(points: Tensor, cap: int = 3) -> Tensor:
    """The first few neighbours in the order of x."""
    order = points[..., 0].argsort(-1)
    rank = order.argsort(-1)
    offset = points[..., None, :, :] - points[..., :, None, :]
    near = offset.norm(dim=-1) < 1.2
    place = torch.where(near, rank[..., None, :], points.shape[-2])
    kept = near & (place.argsort(-1).argsort(-1) <= cap)
    return (offset * kept[..., None]).sum(-2)


def clipped_far(v: Tensor, limit: float) -> Tensor:
    """Clamped by component where a component is large."""
    return swirl(v.clamp(-limit, limit))


def triple(v: Tensor) -> Tensor:
    """The triple product of three vectors, a pseudoscalar."""
    return torch.linalg.det(v[..., :3, :])[..., None]


def reduced(v: Tensor) -> Tensor:
    """In float32 whatever comes in."""
    return swirl(v.float()).to(v.dtype)


def bfloat(v: Tensor) -> Tensor:
    """In bfloat16 inside."""
    return swirl(v.bfloat16()).to(v.dtype)


def by_products(points: Tensor) -> Tensor:
    """Distances by matrix products: |a|^2 - 2 a.b + |b|^2."""
    squares = points.square().sum(-1)
    found = squares[..., :, None] + squares[..., None, :] - 2 * points @ points.mT
    return torch.exp(-found.clamp(min=0) / 3).sum(-1, keepdim=True)


def quantised(v: Tensor, step: float) -> Tensor:
    """Rounded component by component to a step."""
    return (swirl(v) / step).round() * step


def small_ones_broken(v: Tensor) -> Tensor:
    """Broken where vectors are short: a sample of long ones does not see it."""
    return torch.where(norms(v) < 1e3, v.abs(), v)


def lift(v: Tensor) -> Tensor:
    """A vector along z, of a length that turns about z leave alone."""
    height = norms(v[..., :2])
    return torch.cat([torch.zeros_like(v[..., :2]), height], -1)


def lattice_sum(points: Tensor) -> Tensor:
    """Offsets to the neighbours at a distance of at most one."""
    offset = points[..., None, :, :] - points[..., :, None, :]
    near = (offset.square().sum(-1) <= 1.0).to(points)
    weight = torch.exp(offset.square().sum(-1) / 5)
    return (offset * (near * weight)[..., None]).sum(-2)


def squares_in_plane(v: Tensor, size: float = 0.0) -> Tensor:
    """(x + iy)^2, of frequency two; `size` bends it."""
    x, y = v.unbind(-1)
    return torch.stack([x * x - y * y + size * x, 2 * x * y], -1)


@torch.inference_mode()
def inferred(v: Tensor) -> Tensor:
    """Under inference mode."""
    return swirl(v)


class Cached(nn.Module):
    """Keeps a constant of its first call, in the dtype of that call, in no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor | None = None

    def forward(self, v: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = torch.linspace(0.1, 1.0, v.shape[-2], dtype=v.dtype)[:, None] / 3
        return swirl(v) * self.kept


class SingleNormed(nn.Module):
    """One vector a row, its length normalised over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def forward(self, v: Tensor) -> Tensor:
        return v * (1 + self.norm(norms(v)))


class BatchNormed(nn.Module):
    """Lengths are normalised over the batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, v: Tensor) -> Tensor:
        return v / norms(v) * (1 + self.norm(norms(v)[..., 0]))[..., None]


class Dropped(nn.Module):
    """Gates under dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.3)

    def forward(self, v: Tensor) -> Tensor:
        return v * self.drop(torch.sigmoid(norms(v)))


class Counting(nn.Module):
    """Counts its calls in a buffer, and drifts with it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, v: Tensor) -> Tensor:
        self.calls += 1
        return swirl(v) * (1 + 1e-3 * self.calls)


class DeepRelu(nn.Module):
    """Invariants through many ReLU layers, and back onto vectors."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        widths = [channels * channels, *[32] * depth, channels * channels]
        parts: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            parts += [nn.Linear(a, b), nn.ReLU()]
        self.net = nn.Sequential(*parts[:-1])

    def forward(self, v: Tensor) -> Tensor:
        gram = (v @ v.mT).flatten(-2)
        return self.net(gram).unflatten(-1, (v.shape[-2], v.shape[-2])) @ v
