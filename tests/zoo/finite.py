"""Networks of finite groups: sets, images under quarter turns, policies of bodies with a mirror, a robot on a plane."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equiwm.symmetry.elements import Elements
from equiwm.symmetry.kinds import Kind


@dataclass(frozen=True)
class Pixels(Kind):
    """The pixels of a square image: quarter turns of the plane exchange them.

    Attributes:
        side: pixels along a side.
    """

    side: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """`pixels4`."""
        return f"pixels{self.side}"

    def dim(self, d: int) -> int:
        return self.side**2

    def matrix(self, g: Elements) -> Tensor:
        line = torch.arange(self.side, dtype=torch.float64) - (self.side - 1) / 2
        places = torch.cartesian_prod(line, line)
        moved = places @ g.linear.mT
        return ((moved[..., None, :, :] - places[:, None, :]).norm(dim=-1) < 0.1).to(torch.float64)


class Kernel(nn.Module):
    """A convolution whose kernel is averaged over quarter turns, or not."""

    def __init__(self, a: int, b: int, averaged: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, 3, 3) / (9 * a) ** 0.5)
        self.averaged = averaged

    def forward(self, image: Tensor) -> Tensor:
        weight = self.weight
        if self.averaged:
            weight = sum(torch.rot90(weight, k, (-2, -1)) for k in range(4)) / 4
        return nn.functional.conv2d(image, weight, padding=1)


class Gradient(nn.Module):
    """Differences along rows and columns: a vector for every pixel, (B, 1, S, S) -> (B, S, S, 2)."""

    def forward(self, image: Tensor) -> Tensor:
        padded = nn.functional.pad(image, (1, 1, 1, 1))[:, 0]
        return torch.stack([padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1], padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]], -1)


class Steerable(nn.Module):
    """An image to a vector field, (B, S S) -> (B, S S 2)."""

    def __init__(self, side: int, break_: bool = False) -> None:
        super().__init__()
        self.side = side
        self.conv1, self.conv2 = Kernel(1, 6), Kernel(6, 1, averaged=not break_)
        self.gradient = Gradient()

    def forward(self, image: Tensor) -> Tensor:
        planes = torch.tanh(self.conv1(image.reshape(-1, 1, self.side, self.side)))
        return self.gradient(self.conv2(planes)).flatten(1)


class Pool(nn.Module):
    """The mean over items; `weighted` counts them by their place."""

    def __init__(self, items: int, weighted: bool) -> None:
        super().__init__()
        weights = torch.linspace(0.5, 1.5, items) if weighted else torch.ones(items)
        self.register_buffer("weights", weights / items)

    def forward(self, x: Tensor) -> Tensor:
        return (self.weights[:, None] * x).sum(-2, keepdim=True)


class SetNetwork(nn.Module):
    """Items with features, (B, N, C): a number each, and one for the set."""

    def __init__(self, items: int, break_: bool = False) -> None:
        super().__init__()
        self.own, self.shared = nn.Linear(3, 16), nn.Linear(3, 16)
        self.pool = Pool(items, break_)
        self.head, self.score = nn.Linear(16, 1), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.own(x) + self.shared(self.pool(x)))
        return self.head(h)[..., 0], self.score(h.mean(-2))


class Mirrored(nn.Module):
    """A policy averaged over a mirror: (pi(x) + S pi(S x)) / 2, exact whatever pi is.

    Args:
        observe, act: signed permutations, 1-based, as in `signed[...]`.
        wrong: one sign of the action's map is wrong.
    """

    def __init__(self, observe: tuple[int, ...], act: tuple[int, ...], wrong: bool = False) -> None:
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(len(observe), 32), nn.Tanh(), nn.Linear(32, len(act)))
        for name, map_ in (("observe", observe), ("act", act)):
            places = torch.tensor(map_)
            signs = places.sign().to(torch.float32)
            if wrong and name == "act":
                signs[-1] = -signs[-1]
            self.register_buffer(f"{name}_places", places.abs() - 1)
            self.register_buffer(f"{name}_signs", signs)

    def forward(self, x: Tensor) -> Tensor:
        seen = x[..., self.observe_places] * self.observe_signs
        return (self.policy(x) + self.policy(seen)[..., self.act_places] * self.act_signs) / 2


class Actor(nn.Module):
    """A legged robot on a plane: velocity and gravity as vectors, joints and contacts as numbers, a push as action.

    Args:
        north: the push also depends on the heading against a fixed direction.
    """

    def __init__(self, north: float = 0.0) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        self.north = Heading(north)

    def forward(self, velocity: Tensor, gravity: Tensor, joints: Tensor) -> dict[str, Tensor]:
        up = torch.tensor([0.0, 0.0, 1.0], dtype=velocity.dtype)
        scalars = torch.cat(
            [
                velocity[..., 2:],
                gravity[..., 2:],
                (velocity * gravity).sum(-1, keepdim=True),
                self.north(velocity),
                joints,
            ],
            -1,
        )
        a, b, c = self.gate(scalars).split(1, -1)
        turned = torch.linalg.cross(up.expand_as(velocity), velocity, dim=-1)
        return {"push": a * velocity + b * gravity + c * turned + up, "torques": torch.tanh(a * joints)}


class Heading(nn.Module):
    """The length of the velocity along the ground, with a share of its component along x."""

    def __init__(self, north: float) -> None:
        super().__init__()
        self.north = north

    def forward(self, velocity: Tensor) -> Tensor:
        return velocity[..., :2].square().sum(-1, keepdim=True) + self.north * velocity[..., :1]
