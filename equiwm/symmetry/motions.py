"""What a group does to a space as a whole: where it translates, and whether it turns it every way."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group

_DRAWS = 16
_CLEAN = 1e-9


def translated_directions(group: Group | None, d: int) -> Tensor | None:
    """The projector (d, d), float64, onto the directions in which a group translates; None for all of them.

    Args:
        group: the group; None is one that translates everywhere.
        d: dimension of the space.
    """
    if group is None:
        return None
    shifts = group.sample(_DRAWS, 0).translation
    values, directions = torch.linalg.eigh(shifts.mT @ shifts)
    kept = directions[:, values > _CLEAN * max(1.0, float(values.max()))]
    if kept.shape[1] == d:
        return None
    projector = kept @ kept.mT
    whole = projector.round()
    return torch.where((projector - whole).abs() < _CLEAN, whole, projector)


def turns_every_way(group: Group | None) -> bool:
    """Whether a group has all rotations, as SO(d), O(d), SE(d) and E(d) have; a group that is not given has them."""
    if group is None:
        return True
    if group.d < 2:
        return False
    turns = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).normal(size=(_DRAWS, group.d, group.d)))).Q
    turns[..., 0] *= torch.linalg.det(turns).sign()[:, None]
    return bool(group.contains(Elements(turns, turns.new_zeros(_DRAWS, group.d))).all())
