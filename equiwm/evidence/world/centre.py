"""The point that a group fixes, found by what it does to a position: what distances in a region are measured from."""

from __future__ import annotations

import numpy as np
from numpy.linalg import lstsq, norm

from equiwm.evidence.world.columns import Column
from equiwm.evidence.world.probe import WorldProbe
from equiwm.symmetry.elements import Elements

_FIXED = 1e-6


def fixed_point(probe: WorldProbe, column: Column, state: np.ndarray, elements: Elements) -> np.ndarray:
    """The point of a channel that rotations of the group leave where it is; zero where there is none.

    Args:
        probe: the world.
        column: a channel of several entries.
        state: (S,) some state.
        elements: of the group; those that translate are passed by.
    """
    index, size = list(column.index), len(column.index)
    turns = elements[elements.turns & ~elements.moves]
    rows, sides = [], []
    for k in range(min(len(turns), 8)):
        zero = state.copy()
        zero[index] = 0.0
        shift = probe.acts_on_state(zero, turns[k])[index]
        matrix = np.empty((size, size))
        for j in range(size):
            unit = zero.copy()
            unit[index[j]] = 1.0
            matrix[:, j] = probe.acts_on_state(unit, turns[k])[index] - shift
        rows.append(np.eye(size) - matrix)
        sides.append(shift)
    if not rows:
        return np.zeros(size)
    whole, side = np.concatenate(rows), np.concatenate(sides)
    found = lstsq(whole, side, rcond=None)[0]
    good = norm(whole @ found - side) <= _FIXED * max(1.0, float(norm(side)))
    return np.asarray(found if good else np.zeros(size))
