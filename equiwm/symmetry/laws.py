"""The laws of groups and representations, tried on drawn elements: what refuses a user's own that breaks them."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.groups import TOLERANCE, Group

_DRAWS = 32


def check_group(group: Group, *, seed: int = 0) -> Group:
    """The group itself, if 32 drawn elements keep the laws of a group.

    They are float64 and finite, of the group's dimension and items, orthogonal to 1e-9, contained in the group, and so
    are their products, their inverses and the identity.

    Raises:
        GroupError: one line that names the group and the law.
    """
    name, d = getattr(group, "name", None), getattr(group, "d", None)
    if not isinstance(group, Group) or not isinstance(name, str) or not isinstance(d, int):
        raise GroupError(f"{type(group).__name__} is no group: expected a subclass of Group that sets `name` and `d`.")
    drawn = group.sample(_DRAWS, seed)
    if not isinstance(drawn, Elements):
        raise GroupError(f"group '{name}': sample has to give Elements; got {type(drawn).__name__}.")
    expected = ((_DRAWS, d, d), (_DRAWS, d))
    found = (tuple(drawn.linear.shape), tuple(drawn.translation.shape))
    if found != expected:
        raise GroupError(f"group '{name}': {_DRAWS} elements have shapes {expected}; sample gave {found}.")
    if drawn.items not in (0, group.items):
        raise GroupError(f"group '{name}': it permutes {group.items} items; sample permutes {drawn.items}.")
    if drawn.linear.dtype != torch.float64 or drawn.translation.dtype != torch.float64:
        raise GroupError(f"group '{name}': elements are float64; sample gave {drawn.linear.dtype}.")
    if not bool(torch.isfinite(drawn.linear).all() and torch.isfinite(drawn.translation).all()):
        raise GroupError(f"group '{name}': a sampled element holds NaN or infinity.")
    off = float((drawn.linear.mT @ drawn.linear - torch.eye(d, dtype=torch.float64)).abs().max()) if d else 0.0
    if not off <= TOLERANCE:
        raise GroupError(
            f"group '{name}': a sampled element is not orthogonal (R^T R - 1 is {off:.1e}, expected at most 1e-9)."
        )
    places = drawn.permutation
    if places is not None and not torch.equal(places.sort(-1).values, torch.arange(drawn.items).expand_as(places)):
        raise GroupError(f"group '{name}': a sampled permutation does not hold 0 to {drawn.items - 1} once each.")
    for what, g in {
        "the identity": group.identity(1),
        "a sampled element": drawn,
        "the inverse of a sampled element": drawn.inverse(),
        "the product of two sampled elements": drawn[::2] @ drawn[1::2],
    }.items():
        if not bool(_contained(group, g).all()):
            raise GroupError(f"group '{name}': {what} is not in it (its `contains` says no).")
    return group


def _contained(group: Group, g: Elements) -> Tensor:
    inside = group.contains(g)
    if not isinstance(inside, Tensor) or inside.dtype != torch.bool or inside.shape != g.shape:
        shape = tuple(inside.shape) if isinstance(inside, Tensor) else type(inside).__name__
        raise GroupError(f"group '{group.name}': contains has to give bool of shape {tuple(g.shape)}; got {shape}.")
    return inside
