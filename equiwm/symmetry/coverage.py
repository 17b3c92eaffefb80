"""What training has seen of a group, as a value: which elements, how to draw them, what is left.

A world draws its training scenes by turning them with elements g of a coverage C. A sweep then asks, for an element h,
how much of the turned set h C lies in C: all of it, some, or nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.elements import Elements, Seed, drawing, haar_rotations, planar_rotations, rotations

Overlap = Literal["full", "partial", "none"]

_DRAWS = 512
_ROUNDS = 1000
_SLACK_DEG = 1e-6


class Coverage(ABC):
    """A set C of group elements that training has seen. A user's own needs `d`, `label`, `contains` and `sample`.

    Attributes:
        d: dimension of the space the elements act on.
    """

    d: int

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is in a few words, as a caption says it."""

    @abstractmethod
    def contains(self, g: Elements) -> Tensor:
        """Which elements lie in it, bool of shape g.shape."""

    @abstractmethod
    def sample(self, n: int, seed: Seed) -> Elements:
        """`n` elements of it, of the distribution training draws them from."""

    @property
    def complement(self) -> Coverage:
        """The rotations that are not in it, by the Haar measure.

        Raises:
            GroupError: there are none.
        """
        return Complement(self)

    def overlap(self, g: Elements) -> Overlap:
        """How much of g C lies in C, for a single element: `full`, `partial` or `none`; judged on 512 draws."""
        inside = self.contains(g @ self.sample(_DRAWS, 0))
        return "full" if bool(inside.all()) else "partial" if bool(inside.any()) else "none"

    def distance_deg(self, g: Elements) -> float:
        """Geodesic angle in degrees from the middle of g C to C, 0 inside it; between 512 draws.

        The middle is the draw whose farthest other draw is nearest. Reflections are compared as `proper`.
        """
        drawn = self.sample(_DRAWS, 0)
        apart = (drawn[:, None].inverse() @ drawn).angle_deg
        middle = drawn[int(apart.max(1).values.argmin())]
        return float((drawn.inverse() @ (proper(g) @ middle)).angle_deg.min())

    def _fits(self, g: Elements) -> Tensor:
        """Which elements rotate and nothing else."""
        if g.d != self.d:
            raise GroupError(f"'{self.label}' covers rotations of d = {self.d}; got elements of d = {g.d}.")
        return (g.determinant > 0) & ~g.moves & ~g.permutes


def proper(g: Elements) -> Elements:
    """The element with a rotation in place of a reflection: -R in space, R diag(-1, 1) in the plane."""
    mirrored = (g.determinant < 0)[..., None, None]
    flip = -torch.eye(3, dtype=g.linear.dtype) if g.d == 3 else torch.diag(g.linear.new_tensor([-1.0, 1.0]))
    return Elements(torch.where(mirrored, g.linear @ flip, g.linear), g.translation, g.permutation)


@dataclass(frozen=True)
class Arc(Coverage):
    """The wedge: rotations by an angle in [low, high) degrees, of the plane or about an axis of space.

    Attributes:
        low: the first angle.
        high: the last angle, low < high <= low + 360.
        d: 2 for the plane, 3 for space.
        axis: x, y or z, the axis of space.
    """

    low: float
    high: float
    d: int = 2
    axis: str = "z"

    def __post_init__(self) -> None:
        if not self.low < self.high <= self.low + 360.0:
            raise GroupError(f"a wedge needs low < high <= low + 360 degrees; got [{self.low:g}, {self.high:g}).")
        if self.d not in (2, 3) or self.axis not in ("x", "y", "z"):
            raise GroupError(f"a wedge lies in d = 2, or about x, y or z in d = 3; got d = {self.d}, '{self.axis}'.")

    @property
    def label(self) -> str:
        about = f" about {self.axis}" if self.d == 3 else ""
        return f"angles of [{self.low:g}, {self.high:g}) degrees{about}"

    def _angles(self, g: Elements) -> tuple[Tensor, Tensor]:
        """The angle of every element in [0, 360) degrees, and whether it is a rotation about the axis at all."""
        about = self._fits(g)
        if self.d == 2:
            first, second = g.linear[..., 0, 0], g.linear[..., 1, 0]
        else:
            axis = "xyz".index(self.axis)
            i, j = (axis + 1) % 3, (axis + 2) % 3
            about &= (g.linear[..., [i, j], axis].abs() <= 1e-9).all(-1) & (g.linear[..., axis, axis] > 0)
            first, second = g.linear[..., i, i], g.linear[..., j, i]
        return torch.rad2deg(torch.atan2(second, first)) % 360.0, about

    def contains(self, g: Elements) -> Tensor:
        angle, about = self._angles(g)
        return about & ((angle - self.low + _SLACK_DEG) % 360.0 < self.high - self.low + _SLACK_DEG)

    def sample(self, n: int, seed: Seed) -> Elements:
        return rotations(drawing(n, seed).uniform(self.low, self.high, n), self.d, self.axis)

    @property
    def complement(self) -> Coverage:
        """In the plane the other arc; in space all rotations, for those about the axis have measure zero."""
        if self.d == 3:
            return Complement(self)
        if self.high == self.low + 360.0:
            raise GroupError(f"'{self.label}' is the whole circle: nothing is unseen.")
        return Arc(self.high, self.low + 360.0)

    def overlap(self, g: Elements) -> Overlap:
        """`partial` where g turns about the axis by less than the width either way, `full` where by nothing."""
        angle, about = (value.item() for value in self._angles(g))
        width = self.high - self.low
        if not about:
            return "none"
        if width >= 360.0 or min(angle, 360.0 - angle) < _SLACK_DEG:
            return "full"
        return "partial" if min(angle, 360.0 - angle) < width - _SLACK_DEG else "none"

    def distance_deg(self, g: Elements) -> float:
        """Geodesic angle in degrees from R_g R_mid, R_mid the arc's middle, to the nearest of 361 angles of the arc."""
        scenes = rotations(np.linspace(self.low, self.high, 361), self.d, self.axis)
        turned = proper(g) @ rotations(0.5 * (self.low + self.high), self.d, self.axis)
        return float((scenes.inverse() @ turned).angle_deg.min())


@dataclass(frozen=True)
class Shell(Coverage):
    """Rotations by a geodesic angle in [inner, outer] degrees, by the Haar measure restricted to them.

    The density of the angle is uniform in the plane and proportional to 1 - cos(angle) in space.

    Attributes:
        inner: the least angle.
        outer: the largest, 0 <= inner < outer <= 180.
        d: 2 or 3.
    """

    inner: float
    outer: float
    d: int = 3

    def __post_init__(self) -> None:
        if not 0.0 <= self.inner < self.outer <= 180.0:
            raise GroupError(f"a ball needs 0 <= inner < outer <= 180 degrees; got [{self.inner:g}, {self.outer:g}].")
        if self.d not in (2, 3):
            raise GroupError(f"a ball of rotations lies in d = 2 or 3; got d = {self.d}.")

    @property
    def label(self) -> str:
        return f"rotations by {self.inner:g} to {self.outer:g} degrees"

    def contains(self, g: Elements) -> Tensor:
        angle = g.angle_deg
        return self._fits(g) & (angle >= self.inner - _SLACK_DEG) & (angle <= self.outer + _SLACK_DEG)

    def sample(self, n: int, seed: Seed) -> Elements:
        rng = drawing(n, seed)
        low, high = np.deg2rad([self.inner, self.outer])
        if self.d == 2:
            linear = planar_rotations(rng.uniform(low, high, n) * rng.choice([-1.0, 1.0], n))
            return Elements(linear, linear.new_zeros(n, 2))
        axis = rng.normal(size=(n, 3))
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
        # Exact by rejection: 1 - cos(x) <= x^2 / 2, and a density proportional to x^2 is inverted in closed form.
        angles = np.empty(0)
        while len(angles) < n:
            proposal = np.cbrt(rng.uniform(low**3, high**3, 2 * n + 8))
            keep = rng.uniform(0.0, 0.5 * proposal**2) < 1.0 - np.cos(proposal)
            angles = np.concatenate([angles, proposal[keep]])
        linear = torch.from_numpy(Rotation.from_rotvec(angles[:n, None] * axis).as_matrix())
        return Elements(linear, linear.new_zeros(n, 3))

    @property
    def complement(self) -> Coverage:
        if self.inner == 0.0:
            if self.outer == 180.0:
                raise GroupError(f"'{self.label}' are all rotations: nothing is unseen.")
            return Shell(self.outer, 180.0, self.d)
        return Ball(self.inner, self.d) if self.outer == 180.0 else Complement(self)


@dataclass(frozen=True, init=False)
class Ball(Shell):
    """Rotations by at most `radius` degrees, 0 < radius <= 180, by the Haar measure restricted to them."""

    def __init__(self, radius: float, d: int = 3) -> None:
        object.__setattr__(self, "inner", 0.0)
        object.__setattr__(self, "outer", radius)
        object.__setattr__(self, "d", d)
        self.__post_init__()

    @property
    def radius(self) -> float:
        """The largest angle."""
        return self.outer

    @property
    def label(self) -> str:
        return f"rotations by at most {self.radius:g} degrees"

    def overlap(self, g: Elements) -> Overlap:
        """The ball turned by g meets it where the angle of g is below twice the radius; its middle is the identity."""
        angle = float(g.angle_deg)
        if not bool(self._fits(g)):
            return "none"
        if self.radius >= 180.0 or angle < _SLACK_DEG:
            return "full"
        return "partial" if angle < 2.0 * self.radius - _SLACK_DEG else "none"

    def distance_deg(self, g: Elements) -> float:
        """The angle of g (of `proper` g where it reflects) beyond the radius."""
        return max(0.0, float(g.angle_deg) - self.radius)


@dataclass(frozen=True)
class Whole(Coverage):
    """All rotations of the plane (d = 2) or of space (d = 3), by the Haar measure: nothing is unseen."""

    d: int

    @property
    def label(self) -> str:
        return "all rotations"

    def contains(self, g: Elements) -> Tensor:
        return self._fits(g)

    def sample(self, n: int, seed: Seed) -> Elements:
        linear = haar_rotations(n, drawing(n, seed), self.d)
        return Elements(linear, linear.new_zeros(n, self.d))

    @property
    def complement(self) -> Coverage:
        raise GroupError(f"'{self.label}': nothing is unseen.")

    def overlap(self, g: Elements) -> Overlap:
        """`full` for every rotation; a reflection or translation leads out of it."""
        return "full" if bool(self._fits(g)) else "none"

    def distance_deg(self, g: Elements) -> float:
        """0: every rotation is in it."""
        return 0.0


@dataclass(frozen=True)
class Complement(Coverage):
    """The rotations that are not in another coverage, by the Haar measure.

    Attributes:
        of: the coverage that is left out.
    """

    of: Coverage

    @property
    def d(self) -> int:  # type: ignore[override]
        """Dimension of the space."""
        return self.of.d

    @property
    def label(self) -> str:
        return f"all but {self.of.label}"

    def contains(self, g: Elements) -> Tensor:
        return self._fits(g) & ~self.of.contains(g)

    def sample(self, n: int, seed: Seed) -> Elements:
        """By rejection from all rotations.

        Raises:
            GroupError: no draw lies outside.
        """
        rng = drawing(n, seed)
        kept = Whole(self.d).sample(0, rng)
        for _ in range(_ROUNDS):
            drawn = Whole(self.d).sample(max(n, 1), rng)
            kept = Elements.cat([kept, drawn[~self.of.contains(drawn)]])
            if len(kept) >= n:
                return kept[:n]
        raise GroupError(
            f"'{self.of.label}' leaves {len(kept)} of {n * _ROUNDS} rotations: (almost) nothing is unseen."
        )

    @property
    def complement(self) -> Coverage:
        return self.of
