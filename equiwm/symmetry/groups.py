"""The matrix groups SO(2), O(2), SO(3), O(3), SE(2), SE(3) and batches of their elements.

An element is a pair g = (R, t): it acts on points as x -> R x + t and on vectors as v -> R v. Elements are built
in float64 and cast once, where they are applied (`Rep.transform`): a rotation built in float32 is orthogonal only
to 1e-7, and that error would be read as the model's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.errors import GroupError, nearest

Seed = int | np.random.Generator
"""A seed, or a generator that is drawn from (and so advanced)."""


@dataclass(frozen=True, eq=False)
class Elements:
    """A batch of group elements g = (R, t).

    Attributes:
        linear: R, orthogonal, shape (..., d, d), float64.
        translation: t, shape (..., d), float64; zero where the group has no translations.
    """

    linear: Tensor
    translation: Tensor

    @property
    def d(self) -> int:
        """Dimension of the space the elements act on."""
        return self.linear.shape[-1]

    @property
    def shape(self) -> torch.Size:
        """Batch shape: () for a single element."""
        return self.linear.shape[:-2]

    def __len__(self) -> int:
        return self.linear.shape[0] if self.shape else 1

    def __getitem__(self, index: object) -> Elements:
        """Index the batch shape, as a tensor of that shape would be indexed (`g[3]`, `g[:, None]`, `g[mask]`)."""
        index = index if isinstance(index, tuple) else (index,)
        if Ellipsis not in index:
            index = (*index, Ellipsis)
        return Elements(self.linear[(*index, slice(None), slice(None))], self.translation[(*index, slice(None))])

    def __matmul__(self, other: Elements) -> Elements:
        """Compose: (g @ h) x = g (h x), hence (R_g R_h, R_g t_h + t_g). Batch shapes broadcast."""
        moved = (self.linear @ other.translation[..., None])[..., 0]
        return Elements(self.linear @ other.linear, moved + self.translation)

    def inverse(self) -> Elements:
        """g^-1 = (R^T, -R^T t)."""
        transpose = self.linear.transpose(-1, -2)
        return Elements(transpose, -(transpose @ self.translation[..., None])[..., 0])

    @property
    def determinant(self) -> Tensor:
        """det R, exactly +1 or -1, shape (...)."""
        return torch.linalg.det(self.linear).sign()

    @property
    def angle_deg(self) -> Tensor:
        """Geodesic angle in degrees from the identity, in [0, 180]; of det(R) R where R reflects (d = 3)."""
        rotation = self.linear * (self.determinant[..., None, None] if self.d == 3 else 1.0)
        if self.d == 2:
            return torch.rad2deg(torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0]).abs())
        magnitude = Rotation.from_matrix(rotation.reshape(-1, 3, 3).numpy()).magnitude()
        return torch.rad2deg(torch.from_numpy(np.atleast_1d(magnitude)).reshape(self.shape))


def _planar(angles_rad: np.ndarray) -> Tensor:
    cos, sin = torch.as_tensor(np.cos(angles_rad)), torch.as_tensor(np.sin(angles_rad))
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


@dataclass(frozen=True)
class Group:
    """One of the six groups. Use the constants of this module or `Group.parse`.

    Attributes:
        name: lower-case name, as the command line takes it (`so2`).
        d: dimension of the space it acts on.
        reflections: whether R may have determinant -1.
        translations: whether t may be non-zero.
    """

    name: str
    d: int
    reflections: bool = False
    translations: bool = False

    @staticmethod
    def parse(name: str) -> Group:
        """The group of that name, in any case and with or without brackets: `so2`, `SO(2)`.

        Raises:
            GroupError: no such group.
        """
        key = name.lower().replace("(", "").replace(")", "").strip()
        if key not in GROUPS:
            raise GroupError(f"unknown group '{name}': {nearest(key, GROUPS)}")
        return GROUPS[key]

    def __str__(self) -> str:
        return f"{self.name[:-1].upper()}({self.d})"

    def __contains__(self, other: object) -> bool:
        """Whether `other` is a subgroup: `SO2 in SE2`."""
        return (
            isinstance(other, Group)
            and other.d == self.d
            and self.reflections >= other.reflections
            and self.translations >= other.translations
        )

    def elements(self, linear: Tensor, translation: Tensor | None = None) -> Elements:
        """Elements from matrices (..., d, d) and, if the group has them, translations (..., d).

        Raises:
            GroupError: a matrix that is not in the group (not orthogonal to 1e-9, or a reflection where there are
                none), or a translation where there are none.
        """
        linear = linear.to(torch.float64)
        if linear.shape[-2:] != (self.d, self.d):
            raise GroupError(f"{self} has {self.d} x {self.d} matrices; got shape {tuple(linear.shape)}.")
        identity = torch.eye(self.d, dtype=torch.float64)
        if not torch.allclose(linear.transpose(-1, -2) @ linear, identity.expand_as(linear), rtol=0, atol=1e-9):
            raise GroupError(f"not an element of {self}: the matrix is not orthogonal to 1e-9 (build it in float64).")
        if not self.reflections and bool((torch.linalg.det(linear) < 0).any()):
            raise GroupError(f"not an element of {self}: the matrix reflects (determinant -1).")
        if translation is None:
            translation = torch.zeros(linear.shape[:-1], dtype=torch.float64)
        elif not self.translations:
            raise GroupError(f"{self} has no translations; use se{self.d}.")
        return Elements(linear, translation.to(torch.float64).expand(linear.shape[:-1]))

    def identity(self, *shape: int) -> Elements:
        """The identity element, repeated over a batch shape."""
        return self.elements(torch.eye(self.d, dtype=torch.float64).expand(*shape, self.d, self.d))

    def rotation(self, angles_deg: float | np.ndarray | Tensor, axis: str = "z") -> Elements:
        """Rotations by `angles_deg` (degrees): of the plane, or about the `axis` x, y or z of space."""
        radians = np.deg2rad(np.asarray(angles_deg, dtype=np.float64))
        if self.d == 2:
            return self.elements(_planar(radians))
        matrices = Rotation.from_euler(axis, radians.reshape(-1, 1)).as_matrix()
        return self.elements(torch.from_numpy(matrices.reshape(*radians.shape, 3, 3)))

    def sample(self, n: int, seed: Seed, *, sigma: float = 1.0) -> Elements:
        """`n` elements: R from the Haar measure, and t ~ N(0, sigma^2 I) where the group has translations."""
        rng = np.random.default_rng(seed)
        if self.d == 2:
            linear = _planar(rng.uniform(0.0, 2 * np.pi, n))
        else:
            linear = torch.from_numpy(Rotation.random(n, rng=rng).as_matrix())
        return self._decorate(linear, rng, sigma)

    def _decorate(self, rotations: Tensor, rng: np.random.Generator, sigma: float) -> Elements:
        """Give rotations their random reflections and translations, whichever the group has."""
        n = len(rotations)
        if self.reflections:
            flip = torch.eye(self.d, dtype=torch.float64).repeat(n, 1, 1)
            flip[:, 0, 0] = torch.from_numpy(rng.choice([-1.0, 1.0], n))
            rotations = rotations @ flip
        translation = torch.from_numpy(rng.normal(0.0, sigma, (n, self.d))) if self.translations else None
        return self.elements(rotations, translation)

    def wedge(self, n: int, seed: Seed, *, low: float, high: float) -> Elements:
        """`n` rotations by an angle uniform in [low, high) degrees: of the plane, or about z in space.

        The complement of the wedge in the plane is the wedge `low=high, high=low + 360`.
        """
        if not low < high <= low + 360.0:
            raise GroupError(f"a wedge needs low < high <= low + 360 degrees; got [{low:g}, {high:g}).")
        return self.rotation(np.random.default_rng(seed).uniform(low, high, n))

    def ball(self, n: int, seed: Seed, *, outer: float, inner: float = 0.0) -> Elements:
        """`n` rotations from the Haar measure restricted to geodesic angles in [inner, outer] degrees.

        The complement of the ball `outer=theta` is `inner=theta, outer=180`. The density of the angle is uniform
        in the plane and proportional to 1 - cos(angle) in space.
        """
        if not 0.0 <= inner < outer <= 180.0:
            raise GroupError(f"a ball needs 0 <= inner < outer <= 180 degrees; got [{inner:g}, {outer:g}].")
        rng = np.random.default_rng(seed)
        low, high = np.deg2rad([inner, outer])
        if self.d == 2:
            return self.elements(_planar(rng.uniform(low, high, n) * rng.choice([-1.0, 1.0], n)))
        axis = rng.normal(size=(n, 3))
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
        # Exact by rejection: 1 - cos(x) <= x^2 / 2, and a density proportional to x^2 is inverted in closed form.
        angles = np.empty(0)
        while len(angles) < n:
            proposal = np.cbrt(rng.uniform(low**3, high**3, 2 * n + 8))
            keep = rng.uniform(0.0, 0.5 * proposal**2) < 1.0 - np.cos(proposal)
            angles = np.concatenate([angles, proposal[keep]])
        return self.elements(torch.from_numpy(Rotation.from_rotvec(angles[:n, None] * axis).as_matrix()))

    def orbit(self, n: int, seed: Seed = 0, *, sigma: float = 1.0) -> Elements:
        """`n` elements that spread over the group, the identity first.

        In the plane the rotations are by 360 k / n degrees, in space Haar draws from `seed`; reflections and
        translations, where the group has them, are drawn for all but the first.
        """
        rng = np.random.default_rng(seed)
        if self.d == 2:
            drawn = self._decorate(_planar(2 * np.pi * np.arange(n) / n), rng, sigma)
        else:
            drawn = self.sample(n, rng, sigma=sigma)
        first = self.identity(1)
        return Elements(
            torch.cat([first.linear, drawn.linear[1:]]), torch.cat([first.translation, drawn.translation[1:]])
        )


SO2 = Group("so2", 2)
O2 = Group("o2", 2, reflections=True)
SE2 = Group("se2", 2, translations=True)
SO3 = Group("so3", 3)
O3 = Group("o3", 3, reflections=True)
SE3 = Group("se3", 3, translations=True)
GROUPS = {group.name: group for group in (SO2, O2, SE2, SO3, O3, SE3)}
