"""Networks of vectors and tensors (B, C, 3): vector neurons, degree-2 features, Cartesian tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from equiwm.symmetry.wigner import harmonics


class Mix(nn.Module):
    """Vectors are mixed across channels; `bias` adds a constant to every component, `tilt` scales z."""

    def __init__(self, a: int, b: int, bias: float = 0.0, tilt: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a) / a**0.5)
        self.register_buffer("bias", bias * torch.linspace(-1.0, 1.5, 3 * b).reshape(b, 3))
        self.register_buffer("tilt", torch.tensor([1.0, 1.0, 1.0 + tilt]))

    def forward(self, v: Tensor) -> Tensor:
        return (self.weight @ v) * self.tilt + self.bias


class NormGate(nn.Module):
    """v f(|v|), |v| with an epsilon under the root."""

    def forward(self, v: Tensor) -> Tensor:
        return v * torch.sigmoid(1 - (v.square().sum(-1, keepdim=True) + 1e-12).sqrt())


class Half(nn.Module):
    """The nonlinearity of vector neurons: what points away from a learned direction loses that part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.randn(width, width) / width**0.5)

    def forward(self, v: Tensor) -> Tensor:
        k = self.direction @ v
        along = (v * k).sum(-1, keepdim=True)
        return v - k * along.clamp(max=0.0) / (k.square().sum(-1, keepdim=True) + 1e-6)


class Relu(nn.Module):
    """A ReLU on components."""

    def forward(self, v: Tensor) -> Tensor:
        return v.relu()


class ComponentNorm(nn.Module):
    """A layer norm over x, y and z."""

    def forward(self, v: Tensor) -> Tensor:
        return nn.functional.layer_norm(v, v.shape[-1:])


class Cross(nn.Module):
    """Adds cross products of neighbouring channels: pseudovectors among vectors."""

    def forward(self, v: Tensor) -> Tensor:
        return v + torch.linalg.cross(v, v.roll(1, -2), dim=-1)


class OnlyCross(nn.Module):
    """Cross products of neighbouring channels."""

    def forward(self, v: Tensor) -> Tensor:
        return torch.linalg.cross(v, v.roll(1, -2), dim=-1)


class VectorNeurons(nn.Module):
    """A chain of mixings and nonlinearities; a break of a kind in the middle or at the end.

    Args:
        width: channels.
        break_: `relu`, `norm`, `cross`, `only cross`, `bias`, `last bias`, `tilt`, or None.
        size: of the break, where it has one.
        gate: the nonlinearity: `half` or `norm`.
    """

    def __init__(self, width: int = 8, break_: str | None = None, size: float = 0.0, gate: str = "half") -> None:
        super().__init__()

        def nonlinear() -> nn.Module:
            return Half(width) if gate == "half" else NormGate()

        planted = {"relu": Relu, "norm": ComponentNorm, "cross": Cross}.get(break_ or "", nn.Identity)()
        self.mix1 = Mix(4, width)
        self.act1 = nonlinear()
        self.mix2 = Mix(width, width, bias=size if break_ == "bias" else 0.0, tilt=size if break_ == "tilt" else 0.0)
        self.planted = planted
        self.act2 = nonlinear()
        self.mix3 = Mix(width, 3, bias=size if break_ == "last bias" else 0.0)
        self.end = OnlyCross() if break_ == "only cross" else nn.Identity()

    def forward(self, v: Tensor) -> Tensor:
        v = self.act1(self.mix1(v))
        return self.end(self.mix3(self.act2(self.planted(self.mix2(v)))))


class Spherical(nn.Module):
    """Harmonics of the edges of a cloud, weighted by length and gated by invariants: scalars, vectors, degree 2.

    Args:
        tilt: scales the first component of degree 2.
    """

    def __init__(self, tilt: float = 0.0) -> None:
        super().__init__()
        self.radial = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, 3))
        self.tilt = Tilt(tilt)

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        i, j = torch.triu_indices(points.shape[-2], points.shape[-2], 1)
        i, j = torch.cat([i, j]), torch.cat([j, i])
        offset = points[..., i, :] - points[..., j, :]
        squares = offset.square().sum(-1, keepdim=True)
        weight = self.radial(squares) * torch.exp(-squares / 4)
        centred = points[..., j, :] - points.mean(-2, keepdim=True)
        along = (centred * offset).sum(-1, keepdim=True)
        degree2 = self.tilt((weight[..., 2:] * harmonics(2, offset)).sum(-2))
        size = torch.sigmoid(degree2.square().sum(-1, keepdim=True).sqrt())
        return {
            "scalar": (weight[..., :1] * along).sum(-2),
            "vector": (weight[..., 1:2] * along * offset).sum(-2) * size,
            "degree2": degree2 * size,
        }


class Tilt(nn.Module):
    """One component of a tensor is scaled."""

    def __init__(self, tilt: float) -> None:
        super().__init__()
        self.tilt = tilt

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.ones(x.shape[-1], dtype=x.dtype)
        scale[2] += self.tilt
        return x * scale


class Stress(nn.Module):
    """A virial sum over pairs, (B, 3, 3); `skew` scales one entry off the diagonal."""

    def __init__(self, skew: float = 0.0) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.tensor(0.8))
        self.skew = skew

    def forward(self, points: Tensor) -> Tensor:
        offset = points[..., :, None, :] - points[..., None, :, :]
        weight = torch.exp(-self.decay * offset.square().sum(-1))
        stress = torch.einsum("bij,bijc,bijd->bcd", weight, offset, offset)
        factor = torch.ones(3, 3, dtype=stress.dtype)
        factor[0, 1] -= self.skew
        return stress * factor
