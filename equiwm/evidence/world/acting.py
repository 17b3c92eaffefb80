"""How a group element acts on rows of numbers: by a rep, by a function of the user's, or by one map of order two."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from equiwm.errors import DataError
from equiwm.evidence.world.shifts import Shifts
from equiwm.evidence.world.simulator import row
from equiwm.foreign import called
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.laws import check_rep
from equiwm.symmetry.named import parse_group
from equiwm.symmetry.reps import Rep

Acting = Callable[[np.ndarray, Elements], np.ndarray]
"""From a row (S,) and a single element to the row under it."""

MIRROR = "mirror"
"""The name of a group of order two whose one motion is said by the probe's own functions, or read off a model."""


SHIFT = "shift"
"""What names of groups of translations begin with."""


def group_of(name: Group | str) -> Group:
    """The group of a name; `mirror` is the reflection y -> -y, `shiftxy` the translations of space along x and y.

    Raises:
        GroupError: no such group.
    """
    if isinstance(name, Group):
        return name
    if name.startswith(SHIFT):
        return Shifts(name.removeprefix(SHIFT))
    return parse_group("mirrory" if name == MIRROR else name)


def acting(given: Any, group: Group, what: str) -> Acting:
    """The action that a probe says.

    Args:
        given: a rep, its text, a function of (row, element), or of a row alone: the action of the one motion of a group
            of order two.
        group: the group.
        what: what is acted on, for errors.

    Raises:
        DataError: something else, or a function of a row alone for a group of more elements.
        RepError: a rep that cannot be read.
    """
    if isinstance(given, str | Rep):
        rep = check_rep(given if isinstance(given, Rep) else Rep.parse(given, group.d), group)
        return lambda x, g: rep.transform(torch.from_numpy(row(x, what, rep.dim)), g).numpy()
    if not callable(given):
        raise DataError(
            f"the action on a {what} is a {type(given).__name__}; expected a rep such as '2x1o+0e', or a function of "
            f"(a {what}, g)."
        )
    name = f"the function that acts on a {what}"
    if _arguments(given) > 1:
        return lambda x, g: row(called(given, name, x.copy(), g), f"what {name} gives", len(x))
    if group.order != 2:
        raise DataError(
            f"{name} takes a {what} alone, and {group} has more than one motion: expected a function of (a {what}, g), "
            "or the group 'mirror'."
        )

    def by_motion(x: np.ndarray, g: Elements) -> np.ndarray:
        still = not bool(g.turns | g.moves | g.permutes)
        return x.copy() if still else row(called(given, name, x.copy()), f"what {name} gives", len(x))

    return by_motion


def _arguments(function: Callable[..., Any]) -> int:
    """How many arguments a function takes at least; two where it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 2
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return len([each for each in places if each.default is each.empty])


def motions(group: Group, n: int, seed: int, sigma: float) -> tuple[Elements, list[str]]:
    """`n` elements that are not the identity, one motion at a time and together, and what each does.

    Args:
        group: the group.
        n: how many.
        seed: of the draw.
        sigma: standard deviation of the translations.
    """
    parts = list(group.cosets(4 * n, seed, sigma=sigma).values())
    whole = group.sample(n, seed + 1, sigma=sigma).acting_on(group.d, group.items)
    moving = whole[whole.turns | whole.moves | whole.permutes]
    pools = [*parts, moving] if len(parts) > 1 and len(moving) else parts
    if not pools:
        raise DataError(f"the group {group} has no element but the identity.")
    chosen = [pools[k % len(pools)][[(k // len(pools)) % len(pools[k % len(pools)])]] for k in range(n)]
    elements = Elements.cat(chosen)
    return elements, [elements[k].motion for k in range(n)]
