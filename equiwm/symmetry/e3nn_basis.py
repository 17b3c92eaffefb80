"""From our basis of the kinds of degree l to e3nn's, and back.

e3nn uses the same polynomials as `equiwm.symmetry.wigner` with y as the polar axis: its harmonics at v are ours at P v,
P (x, y, z) = (z, x, y), up to a constant. So a tensor of degree l is carried over by D_l(P), and vectors, which both
keep as x, y, z, by nothing. The text of irreps, `8x0e+4x1o+2x2e`, means the same in both: `Rep.parse(str(irreps), 3)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.symmetry.kinds import Irreducible, Kind, Scalar, Vector
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.wigner import wigner

_CYCLE = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def to_e3nn(l: int) -> Tensor:  # noqa: E741
    """Q, orthogonal (2 l + 1, 2 l + 1), float64: a tensor x of our kind of degree l is Q x in e3nn's basis.

    The identity for l = 1. Back by the transpose; D_e3nn(R) = Q D_l(R) Q^T.

    Raises:
        RepError: a negative degree.
    """
    if l < 0:
        raise RepError(f"a degree is at least 0; got {l}.")
    if l == 1:
        return torch.eye(3, dtype=torch.float64)
    return wigner(l, torch.tensor(_CYCLE, dtype=torch.float64))


def rep_to_e3nn(rep: Rep) -> Tensor:
    """Q, orthogonal (dim, dim), float64: a flat tensor x of the rep is Q x of e3nn's irreps of the same text.

    Raises:
        RepError: a rep that is not of space, or holds kinds that e3nn has no irrep for.
    """
    if rep.d != 3:
        raise RepError(f"e3nn's irreps are those of space (d = 3); got rep {rep} with d = {rep.d}.")
    blocks = [to_e3nn(_degree(kind)) for count, kind in rep.terms for _ in range(count)]
    return torch.block_diag(*blocks) if blocks else torch.zeros(0, 0, dtype=torch.float64)


def _degree(kind: Kind) -> int:
    if isinstance(kind, Irreducible):
        return kind.degree
    if isinstance(kind, Scalar):
        return 0
    if isinstance(kind, Vector) and not kind.translates:
        return 1
    raise RepError(f"e3nn has no irrep for the kind '{kind}'.")
