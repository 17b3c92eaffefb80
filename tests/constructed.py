"""Worlds of a few lines whose continuous symmetries are known: what `discover` has to find, and what not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.worlds.scene import Scene
from equiwm.worlds.world import Transitions

H = 0.2
"""Time step."""
Parts = tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """A world and its truth.

    Attributes:
        name: of the case.
        d: dimension of the space.
        state: rep of the state.
        action: rep of the action.
        step: from the channels of a state and of an action, each (B, d), to the channels of the next state.
        dimension: of its algebra.
        names: of the generators, beginnings are enough.
        low: the smallest coordinate of a start.
        high: the largest.
        flat: whether starts and actions lie in the plane z = 0.
    """

    name: str
    d: int
    state: str
    action: str
    step: Callable[[Parts, Parts], list[Tensor]]
    dimension: int
    names: tuple[str, ...]
    low: float = -1.5
    high: float = 1.5
    flat: bool = False

    @property
    def world(self) -> Scene:
        """The world."""
        return Constructed(self)


class Constructed(Scene):
    """The world of a case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.group: Any = f"so{case.d}"
        self.observation_rep, self.action_rep = case.state, case.action
        super().__init__(None)
        self.name = case.name

    def start(self, rng: np.random.Generator) -> np.ndarray:
        drawn = rng.uniform(self.case.low, self.case.high, (self.observation_rep.multiplicity, self.case.d))
        return drawn * self._plane

    def action(self, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(size=self.action_shape) * self._plane

    def transitions(self, n: int, *, seed: int, orientations: str = "seen", progress: Any = None) -> Transitions:
        before, actions = self.starts(n, seed), self.plans(n, 1, seed)[:, 0]
        return Transitions(before, actions, self.step(before, actions), episode=torch.arange(n))

    @property
    def _plane(self) -> np.ndarray:
        return np.array([1.0, 1.0, 0.0])[: self.case.d] if self.case.flat else np.ones(self.case.d)

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        actions = action.reshape(len(action), -1, self.case.d)
        return torch.stack(self.case.step(observation.unbind(1), actions.unbind(1)), 1)


def square(x: Tensor) -> Tensor:
    """|x|^2, (B, 1)."""
    return x.square().sum(-1, keepdim=True)


def axis(x: Tensor, k: int) -> Tensor:
    """The k-th unit vector."""
    return torch.eye(x.shape[-1], dtype=x.dtype)[k].expand_as(x)


def _second(x: Tensor, v: Tensor, force: Tensor) -> list[Tensor]:
    v = v + H * force
    return [x + H * v, v]


def central(s: Parts, a: Parts, *, pull: float = 0.0, centre: tuple[float, ...] = ()) -> list[Tensor]:
    x, v = s
    there = x - torch.tensor(centre, dtype=x.dtype) if centre else x
    return _second(x, v, -2 * there * torch.exp(-square(there) / 2) + a[0] - pull * axis(x, 1) * x[:, 1:2])


def without_action(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    return _second(x, v, -2 * x * torch.exp(-square(x) / 2))


def linear(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    return _second(x, v, -x - 0.3 * v + a[0])


def two_axes(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    return _second(x, v, -torch.stack([x[:, 0] ** 3, 2 * x[:, 1]], -1) + a[0])


def falling(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    return _second(x, v, -v * square(v).sqrt() - axis(v, 1) + a[0])


def free(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    return [x + H * v, v + H * a[0]]


def saturated(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    return [x + H * v, v + H * a[0] / (1 + square(a[0]))]


def pair(s: Parts, a: Parts, *, ground: float) -> list[Tensor]:
    x, y, v, w = s
    force = (y - x) * (square(y - x) - 1) / (1 + square(y - x)) + 0.5 * (w - v)
    v, w = v + H * (force + a[0] - ground * v), w + H * (-force - ground * w)
    return [x + H * v, y + H * w, v, w]


def magnet(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    turn = torch.linalg.cross(v, axis(v, 2)) * (1 + square(x))
    return _second(x, v, turn - x * square(x) + a[0])


def homogeneous(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    return _second(x, v, -x * (square(v) / (square(x) + 0.1 * square(a[0]) + 0.1 * square(v))).sqrt() + a[0])


def weighted(s: Parts, a: Parts) -> list[Tensor]:
    return [s[0] + H * a[0] * square(a[0]).sqrt()]


def minkowski(s: Parts, a: Parts) -> list[Tensor]:
    x = s[0]
    return [x + H * a[0] * (x[:, :1] ** 2 - x[:, 1:] ** 2)]


def sheared(s: Parts, a: Parts) -> list[Tensor]:
    x, b = s[0], a[0]
    return [x + H * (b * torch.sin(x[:, 1:]) - x * torch.tanh(x[:, 1:] * b[:, 1:]))]


def walls(s: Parts, a: Parts) -> list[Tensor]:
    return [(s[0] + H * a[0]).clamp(-1, 1)]


def stairs(s: Parts, a: Parts) -> list[Tensor]:
    return [s[0] + H * a[0] + 0.3 * torch.floor(s[0])]


def spinning(s: Parts, a: Parts) -> list[Tensor]:
    v, spin = s
    return [v + H * torch.linalg.cross(spin, v), spin + H * a[0]]


def polynomial(s: Parts, a: Parts) -> list[Tensor]:
    x, v = s
    return _second(
        x, v, torch.stack([-(x[:, 0] ** 3) + x[:, 1] * v[:, 1], x[:, 0] * x[:, 1] - v[:, 1] ** 3], -1) + a[0]
    )


ROTATION, SHIFTS = ("rotation",), ("translation along x", "translation along y")
SO3 = ("rotation about z", "rotation about y", "rotation about x")
CASES = (
    Case("central", 2, "2x1o", "1o", central, 1, ROTATION),
    Case("central in space", 3, "2x1o", "1o", central, 3, SO3),
    Case(
        "central, off the origin", 2, "p+1o", "1o", partial(central, centre=(1.0, 2.0)), 1, ("rotation through (1, 2)",)
    ),
    Case("central, broken by 1e-3", 2, "2x1o", "1o", partial(central, pull=1e-3), 0, ()),
    Case("without action", 2, "2x1o", "1o", without_action, 1, ROTATION),
    Case("linear", 2, "2x1o", "1o", linear, 4, ("rotation", "scaling", "hyperbolic boost", "squeeze")),
    Case("two axes", 2, "2x1o", "1o", two_axes, 1, ("scaling of y",)),
    Case("falling", 2, "p+1o", "1o", falling, 2, SHIFTS),
    Case("free", 2, "p+1o", "1o", free, 8, (*SHIFTS, "boost along x", "boost along y", "rotation", "scaling")),
    Case("saturated", 2, "p+1o", "1o", saturated, 5, (*SHIFTS, "boost along x", "boost along y", "rotation")),
    Case(
        "pair",
        2,
        "2xp+2x1o",
        "1o",
        partial(pair, ground=0.0),
        5,
        (*SHIFTS, "boost along x", "boost along y", "rotation"),
    ),
    Case("pair on the ground", 2, "2xp+2x1o", "1o", partial(pair, ground=0.5), 3, (*SHIFTS, "rotation")),
    Case("magnet", 3, "2x1o", "1o", magnet, 1, ("rotation about z",)),
    Case("homogeneous", 2, "2x1o", "1o", homogeneous, 2, ("rotation", "scaling (state 1, action 1)")),
    Case("weighted", 2, "p", "1o", weighted, 4, (*SHIFTS, "rotation", "scaling (state 2, action 1)")),
    Case("minkowski", 2, "1o", "1o", minkowski, 2, ("scaling (state 1, action -1)", "hyperbolic boost xy")),
    Case("sheared", 2, "1o", "1o", sheared, 2, ("shear of x along y", "scaling of x")),
    Case("spinning", 3, "1o+1e", "1e", spinning, 4, (*SO3, "scaling (state 1o 1)")),
    Case("polynomial", 2, "2x1o", "1o", polynomial, 0, ()),
    Case("seen in a plane", 3, "2x1o", "1o", central, 3, SO3, flat=True),
)
"""Twenty, as smooth as derivatives need."""
JUMPS = (
    Case("walls", 2, "p", "1o", walls, 0, (), low=-1.2, high=1.2),
    Case("stairs", 2, "p", "1o", stairs, 0, ()),
)
"""Where derivatives say more than is true."""
