"""Elements of groups that act on space and on an axis of items, and the rotations they are made of.

An element is g = (R, t, p): it acts on points as x -> R x + t, on vectors as v -> R v, and moves item i of a list of
n items to place p[i]. Elements are built in float64 and cast once, where they are applied (`Rep.transform`): a
rotation built in float32 is orthogonal only to 1e-7, and that error would be read as the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.printable import quoted
from equiwm.symmetry.shapes import broadcast_shape

Seed = int | np.random.Generator
"""A seed, or a generator that is drawn from (and so advanced)."""


def drawing(n: int, seed: Seed) -> np.random.Generator:
    """The stream that `n` things are drawn from.

    Args:
        n: how many, 0 or more.
        seed: a seed, or the stream itself.

    Raises:
        GroupError: a count or a seed that is none.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise GroupError(f"got n = {quoted(n)}, expected how many elements to draw: an integer from 0.")
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise GroupError(f"got seed = {quoted(seed)}, expected an integer from 0, or a numpy Generator.")
    return np.random.default_rng(seed)


@dataclass(frozen=True, eq=False)
class Elements:
    """A batch of group elements g = (R, t, p).

    Attributes:
        linear: R, orthogonal, shape (..., d, d), float64; d = 0 for a group that only permutes.
        translation: t, shape (..., d), float64; zero where the group has no translations.
        permutation: p, shape (..., n), int64: item i goes to place p[i], so (g x)[p[i]] = x[i]; None where no items
            are permuted, which counts as the identity.
    """

    linear: Tensor
    translation: Tensor
    permutation: Tensor | None = None

    @property
    def d(self) -> int:
        """Dimension of the space the elements act on."""
        return self.linear.shape[-1]

    @property
    def items(self) -> int:
        """Number n of items they permute; 0 for none."""
        return 0 if self.permutation is None else self.permutation.shape[-1]

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
        vector = (*index, slice(None))
        permutation = None if self.permutation is None else self.permutation[vector]
        return Elements(self.linear[(*vector, slice(None))], self.translation[vector], permutation)

    def __matmul__(self, other: Elements) -> Elements:
        """Compose: (g @ h) x = g (h x), hence (R_g R_h, R_g t_h + t_g, p_g o p_h). Batch shapes broadcast."""
        moved = (self.linear @ other.translation[..., None])[..., 0]
        linear, first, second = self.linear @ other.linear, self.permutation, other.permutation
        if first is not None and second is not None:
            lead = broadcast_shape(first.shape[:-1], second.shape[:-1])
            second = first.expand(*lead, -1).gather(-1, second.expand(*lead, -1))
        permutation = first if second is None else second
        if permutation is not None:
            permutation = permutation.expand(*linear.shape[:-2], -1)
        return Elements(linear, moved + self.translation, permutation)

    def inverse(self) -> Elements:
        """g^-1 = (R^T, -R^T t, p^-1)."""
        transpose = self.linear.transpose(-1, -2)
        permutation = None if self.permutation is None else self.permutation.argsort(-1)
        return Elements(transpose, -(transpose @ self.translation[..., None])[..., 0], permutation)

    @property
    def determinant(self) -> Tensor:
        """det R, exactly +1 or -1, shape (...)."""
        return torch.linalg.det(self.linear).sign()

    @property
    def angle_deg(self) -> Tensor:
        """Geodesic angle in degrees from the identity, in [0, 180]; of det(R) R where R reflects (d = 3).

        Raises:
            GroupError: a space of more than three dimensions.
        """
        if self.d < 2:
            return self.linear.new_zeros(self.shape)
        if self.d > 3:
            raise GroupError(f"angles are those of rotations of the plane and of space; got d = {self.d}.")
        rotation = self.linear * (self.determinant[..., None, None] if self.d == 3 else 1.0)
        if self.d == 2:
            return torch.rad2deg(torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0]).abs())
        magnitude = Rotation.from_matrix(rotation.reshape(-1, 3, 3).numpy()).magnitude()
        return torch.rad2deg(torch.from_numpy(np.atleast_1d(magnitude)).reshape(self.shape))

    @property
    def moves(self) -> Tensor:
        """Whether t is not zero, to 1e-9, bool of shape (...)."""
        return (self.translation.abs() > 1e-9).any(-1)

    @property
    def turns(self) -> Tensor:
        """Whether R is not the identity, to 1e-9, bool of shape (...)."""
        return ((self.linear - torch.eye(self.d, dtype=self.linear.dtype)).abs() > 1e-9).flatten(-2).any(-1)

    @property
    def permutes(self) -> Tensor:
        """Whether p is not the identity, bool of shape (...)."""
        if self.permutation is None:
            return torch.zeros(self.shape, dtype=torch.bool)
        return (self.permutation != torch.arange(self.items)).any(-1)

    @property
    def motion(self) -> str:
        """What a single element does, in words: `rotation`, `reflection and permutation`, ..., or `identity`."""
        turn = "reflection" if float(self.determinant) < 0 else "rotation"
        does = {turn: self.turns, "translation": self.moves, "permutation": self.permutes}
        return " and ".join(name for name, done in does.items() if bool(done)) or "identity"

    def acting_on(self, d: int, items: int) -> Elements:
        """The same elements, of a space of d dimensions and of `items` items where they act on none as yet.

        Raises:
            GroupError: they act on a space of another dimension, or on another number of items.
        """
        if self.d not in (0, d) or self.items not in (0, items):
            raise GroupError(
                f"elements of {self.d} dimensions and {self.items} permuted items do not act on {d} dimensions and "
                f"{items} items."
            )
        fitted = self
        if self.d != d:
            still = identities(d, self.shape)
            fitted = Elements(still.linear, still.translation, self.permutation)
        if fitted.permutation is None and items:
            fitted = Elements(fitted.linear, fitted.translation, torch.arange(items).expand(*self.shape, items))
        return fitted

    @staticmethod
    def cat(parts: Sequence[Elements]) -> Elements:
        """Batches of shape (n_1,), (n_2,), ... one after another."""
        items = max(part.items for part in parts)
        parts = [part.acting_on(part.d, items) for part in parts]
        permutations = [part.permutation for part in parts if part.permutation is not None]
        return Elements(
            torch.cat([part.linear for part in parts]),
            torch.cat([part.translation for part in parts]),
            torch.cat(permutations) if permutations else None,
        )

    def __repr__(self) -> str:
        items = "" if self.permutation is None else f", permuting {self.items} items"
        shape = "x".join(map(str, self.linear.shape[:-2])) or "one"
        return f"Elements({shape} in {self.d} dimensions{items})"


def identities(d: int, shape: Sequence[int] = (), items: int = 0) -> Elements:
    """The identity of a space of d dimensions and a list of `items` items, repeated over a batch shape."""
    return Elements(
        torch.eye(d, dtype=torch.float64).expand(*shape, d, d),
        torch.zeros(*shape, d, dtype=torch.float64),
        torch.arange(items).expand(*shape, items) if items else None,
    )


def planar_rotations(angles_rad: np.ndarray) -> Tensor:
    """Matrices (..., 2, 2) of rotations of the plane by angles (...) in radians, float64."""
    cos, sin = torch.as_tensor(np.cos(angles_rad)), torch.as_tensor(np.sin(angles_rad))
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def rotations(angles_deg: float | np.ndarray | Sequence[float] | Tensor, d: int, axis: str = "z") -> Elements:
    """Rotations by angles (...) in degrees: of the plane (d = 2), or about the `axis` x, y or z of space (d = 3).

    Raises:
        GroupError: another dimension, or another axis.
    """
    radians = np.deg2rad(np.asarray(angles_deg, dtype=np.float64))
    if d == 2:
        linear = planar_rotations(radians)
    elif d == 3 and axis in ("x", "y", "z"):
        matrices = Rotation.from_euler(axis, radians.reshape(-1, 1)).as_matrix()
        linear = torch.from_numpy(matrices.reshape(*radians.shape, 3, 3))
    else:
        raise GroupError(f"rotations are of the plane, or about the axis x, y or z of space; got d = {d}, '{axis}'.")
    return Elements(linear, torch.zeros(linear.shape[:-1], dtype=torch.float64))


def haar_rotations(n: int, rng: np.random.Generator, d: int) -> Tensor:
    """`n` rotation matrices (n, d, d) from the Haar measure of SO(d), d = 2 or 3, float64."""
    if d == 2:
        return planar_rotations(rng.uniform(0.0, 2 * np.pi, n))
    return torch.from_numpy(Rotation.random(n, rng=rng).as_matrix())
