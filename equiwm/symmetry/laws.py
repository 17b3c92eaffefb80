"""The laws of groups and representations, tried on drawn elements: what refuses a user's own that breaks them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equiwm.errors import GroupError, RepError
from equiwm.foreign import called, is_ours, label
from equiwm.printable import check_component, quoted
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import TOLERANCE, Group
from equiwm.symmetry.kinds import Kind
from equiwm.symmetry.reps import Rep

_DRAWS = 32


def check_group(group: Group, *, seed: int = 0) -> Group:
    """The group itself, if 32 drawn elements keep the laws of a group.

    They are float64 and finite, of the group's dimension and items, orthogonal to 1e-9, contained in the group, and so
    are their products, their inverses and the identity.

    Raises:
        GroupError: one line that names the group and the law.
        DataError: what a user's group raises.
    """
    name, d = getattr(group, "name", None), getattr(group, "d", None)
    if not isinstance(group, Group) or not isinstance(name, str) or not isinstance(d, int):
        raise GroupError(f"{type(group).__name__} is no group: expected a subclass of Group that sets `name` and `d`.")
    if (wrong := check_component(name)) is not None:  # figures and results are called by it
        raise GroupError(f"group {quoted(name)}: its name has to be that of a file, {wrong}.")
    drawn = _asked(group, "sample", _DRAWS, seed)
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


def check_space(group: Group) -> Group:
    """The group itself, if it acts on a space, as that of a world does: its observations are vectors and points.

    Raises:
        GroupError: a group that only permutes.
    """
    if group.d == 0:
        raise GroupError(
            f"group '{group}' only permutes items; the group of a world acts on the plane or on space, as so2*{group} "
            f"or so3*{group} do."
        )
    return group


def changes(group: Group, rep: Rep, *, seed: int = 0) -> bool:
    """Whether some element of the group changes something that transforms as `rep`, tried on 32 drawn elements.

    Where it changes nothing that a map takes, every map is equivariant under it, and to measure one says nothing.
    """
    drawn = group.sample(_DRAWS, seed).acting_on(rep.d, group.items)
    x = torch.randn(rep.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).expand(_DRAWS, -1)
    return bool((rep.difference(rep.transform(x, drawn), x).abs() > TOLERANCE).any())


def _asked(value: Group | Kind, method: str, *arguments: Any) -> Any:
    """What a method gives; what a user's own raises becomes one line that names it."""
    function = getattr(value, method)
    return (
        function(*arguments) if is_ours(type(value)) else called(function, f"{label(type(value))}.{method}", *arguments)
    )


def _contained(group: Group, g: Elements) -> Tensor:
    inside = _asked(group, "contains", g)
    if not isinstance(inside, Tensor) or inside.dtype != torch.bool or inside.shape != g.shape:
        shape = tuple(inside.shape) if isinstance(inside, Tensor) else type(inside).__name__
        raise GroupError(f"group '{group.name}': contains has to give bool of shape {tuple(g.shape)}; got {shape}.")
    return inside


def check_rep(rep: Rep, group: Group, *, seed: int = 0) -> Rep:
    """The rep itself, if each of its kinds is a representation of the group, tried on 32 drawn elements.

    rho(g) is orthogonal, float64 and of the kind's width; rho(g h) = rho(g) rho(h), up to sign where the kind is known
    up to sign; and g (h x) = (g h) x with translations. To 1e-9.

    Raises:
        RepError: one line that names the kind and the law.
        DataError: what a user's kind raises.
        GroupError: elements of the group that a kind cannot be turned by, or a group of another dimension.
    """
    drawn = group.sample(_DRAWS, seed).acting_on(rep.d, group.items)
    g, h = drawn[::2], drawn[1::2]
    for kind in {kind: None for _, kind in rep.terms}:
        _check_kind(kind, group, g, h, rep.d)
    return rep


def _check_kind(kind: Kind, group: Group, g: Elements, h: Elements, d: int) -> None:
    width = kind.dim(d)
    left, right, both = (_asked(kind, "matrix", element) for element in (g, h, g @ h))
    shape = (*g.shape, width, width)
    if not isinstance(left, Tensor) or left.shape != shape or left.dtype != torch.float64:
        found = f"{tuple(left.shape)}, {left.dtype}" if isinstance(left, Tensor) else type(left).__name__
        raise RepError(f"kind '{kind.name}': its matrices have shape {shape}, float64; got {found}.")
    off = float((left.mT @ left - torch.eye(width, dtype=torch.float64)).abs().max())
    if not off <= TOLERANCE:
        raise RepError(f"kind '{kind.name}': its matrices are not orthogonal (off by {off:.1e}).")
    off = float(kind.difference((left @ right).mT, both.mT, d).abs().max())  # column by column
    if not off <= TOLERANCE:
        raise RepError(
            f"kind '{kind.name}' is no representation of {group}: rho(g h) differs from rho(g) rho(h) by {off:.1e}."
        )
    x = torch.linspace(-1.0, 1.0, width, dtype=torch.float64).expand(*g.shape, 1, width)
    scale = 1.0 + max(float(part.translation.abs().max()) for part in (g, h)) if d else 1.0
    off = float(kind.difference(kind.act(kind.act(x, h), g), kind.act(x, g @ h), d).abs().max()) / scale
    if not off <= TOLERANCE:
        raise RepError(f"kind '{kind.name}' is no action of {group}: g (h x) differs from (g h) x by {off:.1e}.")
