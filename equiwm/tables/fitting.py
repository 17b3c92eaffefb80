"""How columns share the room that there is: of a terminal in characters, of a page in points."""

from __future__ import annotations

import math
from collections.abc import Sequence


def side_by_side(least: Sequence[float], room: float, between: float, keys: int = 1) -> list[list[int]]:
    """Which columns stand side by side: all of them, or several groups that begin with the same ones.

    Args:
        least: how narrow each column may become.
        room: of all.
        between: what each column takes besides.
        keys: columns that every group begins with; only the first one, where they would leave no room for another.

    Returns:
        Indices of columns, in as few groups as possible, which are about as wide as one another. A group has the keys
        and at least one of the others.
    """
    taken = [narrow + between for narrow in least]
    if keys > 1 and sum(taken[:keys]) + max(taken[keys:], default=0.0) > room:
        keys = 1
    free = room - sum(taken[:keys])
    groups = _filled(taken, keys, free)
    for narrower in sorted({sum(taken[i:j]) for i in range(keys, len(taken)) for j in range(i + 1, len(taken) + 1)}):
        if narrower <= free and len(even := _filled(taken, keys, narrower)) == len(groups):
            return even
    return groups


def _filled(taken: Sequence[float], keys: int, free: float) -> list[list[int]]:
    """Groups that are filled one after another."""
    groups, left = [list(range(keys))], free
    for index, wide in enumerate(taken[keys:], start=keys):
        if left < wide and len(groups[-1]) > keys:
            groups.append(list(range(keys)))
            left = free
        groups[-1].append(index)
        left -= wide
    return groups


def allotted(least: Sequence[float], whole: Sequence[float], room: float) -> list[float]:
    """The width of each column: what it would take, or where all of them have no room, the widest ones less of it.

    Args:
        least: how narrow each column may become.
        whole: what each would take, at least as much.
        room: of all.

    Returns:
        Widths; they are `least` where even these have no room.
    """

    def at_most(limit: float) -> list[float]:
        return [min(most, max(narrow, limit)) for narrow, most in zip(least, whole, strict=True)]

    limits = range(math.ceil(max(whole, default=0)), 0, -1)
    return next((widths for widths in map(at_most, limits) if sum(widths) <= room), list(least))
