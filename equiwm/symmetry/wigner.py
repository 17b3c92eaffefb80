"""Rotations of spherical harmonics: the matrices D_l(R) of every degree l.

**Basis.** The real solid harmonics S_l(v) = (S_{l,-l}, ..., S_{l,l})(v), homogeneous polynomials of degree l in
v = (x, y, z), polar axis z, without the Condon-Shortley phase, normalised so that |S_l(v)| = |v|^l:

    S_1 = (y, z, x),   S_2 = (r3 xy, r3 yz, (2 z^2 - x^2 - y^2) / 2, r3 xz, r3 (x^2 - y^2) / 2),   r3 = sqrt(3)

D_l(R) is the orthogonal matrix with S_l(R v) = D_l(R) S_l(v), for rotations R. Under R(theta) about z, the pair
(S_{l,m}, S_{l,-m}) turns by m theta. A vector, the kind `1o`, is kept in the order x, y, z all the same.

**Method.** The gradient of a harmonic polynomial of degree l is three harmonic polynomials of degree l - 1, which gives
an isometry C_l of degree l into (vector) x (degree l - 1) that commutes with rotations. Hence the recursion

    D_0 = 1,   D_l(R) = C_l^T (R x D_{l-1}(R)) C_l        (x the Kronecker product)

whose rounding grows like l and not with the angles, and which needs neither angles nor cases. Compare Ivanic and
Ruedenberg 1996, who sum the same products entry by entry.
"""

from __future__ import annotations

from functools import cache
from math import sqrt

import torch
from torch import Tensor


@cache
@torch.inference_mode(False)
def _real_basis(l: int) -> Tensor:  # noqa: E741
    """U with S_l = U Y_l, Y_l the complex harmonics with the Condon-Shortley phase, (2 l + 1, 2 l + 1)."""
    basis = [[0j] * (2 * l + 1) for _ in range(2 * l + 1)]
    basis[l][l] = 1.0 + 0j
    for m in range(1, l + 1):
        sign, half = (-1.0) ** m, sqrt(0.5)
        # conj(Y_m) = (-1)^m Y_{-m}: the cosine is (-1)^m sqrt(2) Re Y_m, the sine (-1)^m sqrt(2) Im Y_m.
        basis[l + m][l + m], basis[l + m][l - m] = sign * half + 0j, half + 0j
        basis[l - m][l + m], basis[l - m][l - m] = -1j * sign * half, 1j * half
    return torch.tensor(basis, dtype=torch.complex128)


@cache
@torch.inference_mode(False)
def _isometry(l: int) -> Tensor:  # noqa: E741
    """C_l, (3 (2 l - 1), 2 l + 1): the gradient of S_l in vectors times S_{l-1}, made an isometry, float64.

    With solid harmonics Y_m sqrt(1 / ((l - m)! (l + m)!)) the derivatives are d/dz: (l, m) -> (l - 1, m),
    d/dx + i d/dy: -> (l - 1, m + 1), d/dx - i d/dy: -> -(l - 1, m - 1).
    """
    lower = l - 1
    up, down, along = (torch.zeros(2 * l + 1, 2 * lower + 1, dtype=torch.complex128) for _ in range(3))
    for m in range(-l, l + 1):
        if abs(m) <= lower:
            along[l + m, lower + m] = sqrt((l - m) * (l + m))
        if abs(m + 1) <= lower:
            up[l + m, lower + m + 1] = sqrt((l - m) * (l - m - 1))
        if abs(m - 1) <= lower:
            down[l + m, lower + m - 1] = -sqrt((l + m) * (l + m - 1))
    gradient = torch.stack([(up + down) / 2, (up - down) / 2j, along])
    real = (_real_basis(l) @ gradient @ _real_basis(lower).mH).real
    flat = real.permute(0, 2, 1).flatten(0, 1)
    return flat / sqrt(l * (2 * l - 1))


def harmonics(l: int, v: Tensor) -> Tensor:  # noqa: E741
    """S_l(v), the real solid harmonics of degree l: vectors (..., 3) -> (..., 2 l + 1), in the dtype of v.

    By the same recursion: S_l = sqrt((2 l - 1) / l) C_l^T (v x S_{l-1}).
    """
    values = torch.ones_like(v[..., :1])
    for degree in range(1, l + 1):
        outer = (v[..., :, None] * values[..., None, :]).flatten(-2)
        values = outer @ _isometry(degree).to(v) * sqrt((2 * degree - 1) / degree)
    return values


def wigner(l: int, rotation: Tensor) -> Tensor:  # noqa: E741
    """D_l(R) of rotation matrices (..., 3, 3), float64 -> (..., 2 l + 1, 2 l + 1).

    Args:
        l: degree, at least 0.
        rotation: R, determinant 1; of a reflection R take det(R) R and the parity by itself.
    """
    matrix = torch.ones_like(rotation[..., :1, :1])
    for degree in range(1, l + 1):
        isometry = _isometry(degree).to(rotation)
        matrix = isometry.mT @ kronecker(rotation, matrix) @ isometry
    return matrix


def kronecker(a: Tensor, b: Tensor) -> Tensor:
    """Kronecker product of batches of matrices, row-major: entry (i k, j l) is a_ij b_kl."""
    blocks = a[..., :, None, :, None] * b[..., None, :, None, :]
    return blocks.flatten(-2).flatten(-3, -2)
