"""Kinds that hold an orientation: rotation matrices and unit quaternions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.errors import GroupError, RepError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.kinds import Kind, cast
from equiwm.symmetry.wigner import kronecker


@dataclass(frozen=True)
class RotationMatrix(Kind):
    """`rot`: a matrix M, d x d, flattened row after row, which turns as M -> R M (body to world frame).

    Under a reflection R M is no rotation any more: a mirrored body's frame needs a choice that only its maker knows.
    """

    name: str = "rot"
    parity = -1

    def dim(self, d: int) -> int:
        return d * d

    def matrix(self, g: Elements) -> Tensor:
        return kronecker(g.linear, torch.eye(g.d, dtype=torch.float64))

    def act(self, x: Tensor, g: Elements) -> Tensor:
        return (cast(g.linear, x)[..., None, :, :] @ x.unflatten(-1, (g.d, g.d))).flatten(-2)


@dataclass(frozen=True)
class Quaternion(Kind):
    """`quat`: a unit quaternion (w, x, y, z) of a body's orientation in space, q -> q_R q.

    q and -q are the same orientation, and q_R is taken with w >= 0: rho(g h) is rho(g) rho(h) up to sign. Compare two
    with `difference`, which is blind to the sign. Reflections have no quaternion and are refused.
    """

    name: str = "quat"
    sign_blind = True

    def dim(self, d: int) -> int:
        if d != 3:
            raise RepError(f"kind 'quat' lives in space (d = 3), not in d = {d}.")
        return 4

    def matrix(self, g: Elements) -> Tensor:
        """Left multiplication by q_R."""
        self.dim(g.d)
        if bool((g.determinant < 0).any()):
            raise GroupError(
                "kind 'quat' cannot be reflected: how a mirrored body stands depends on the body; use so3."
            )
        turns = Rotation.from_matrix(g.linear.reshape(-1, 3, 3).numpy()).as_quat(canonical=True)
        x, y, z, w = torch.from_numpy(turns).reshape(*g.shape, 4).unbind(-1)
        return left_product(torch.stack([w, x, y, z], -1))


def left_product(q: Tensor) -> Tensor:
    """The matrix (..., 4, 4) of p -> q p, of quaternions (..., 4) w first."""
    w, x, y, z = q.unbind(-1)
    rows = [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rotation_matrices(q: Tensor) -> Tensor:
    """The rotations of quaternions (..., 4) w first, of any length above 0, as `rot` has them: (..., 9), row by row.

    The same for q and -q; R(q_R q) = R R(q), so that what a quaternion says of an orientation turns as three vectors.
    """
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, -1)
