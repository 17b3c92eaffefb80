"""Which part of a body is the mirror image of which: by name (left and right) and by place, read off a MuJoCo model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

_SIDES = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))
_LETTERS = re.compile(r"(?<![A-Za-z])([lLrR])(?=[_\d-]|$)|(?<=_)([lLrR])(?![A-Za-z])")
_NAMED = 0.02
"""What a name that says left or right is worth, as a share of the body's size, where places do not decide."""


def other_side(name: str) -> set[str]:
    """Names that the part on the other side may have: `left_knee` -> `right_knee`; `foot_left` -> `foot` too."""
    found = set()
    for one, other in _SIDES:
        for a, b in ((one, other), (other, one)):
            if a in name:
                found.add(name.replace(a, b))
                found.add(re.sub(f"_?{a}_?", lambda hit: "_" if hit[0][0] == hit[0][-1] == "_" else "", name))
    swapped = _LETTERS.sub(lambda hit: hit[0].translate(str.maketrans("lrLR", "rlRL")), name)
    if swapped != name:
        found.add(swapped)
    return found


def are_sides(a: str, b: str) -> bool:
    """Whether two names are those of a left and a right part."""
    return a != b and (b in other_side(a) or a in other_side(b))


def paired(model: Any, data: Any, base: np.ndarray, centre: np.ndarray, names: Sequence[str]) -> dict[int, int]:
    """body -> the body that its mirror image is, from the roots down.

    Args:
        model: the MuJoCo model.
        data: its data at the reference pose.
        base: (3, 3) the reflection.
        centre: (3,) a point that it fixes.
        names: of the bodies.
    """
    size = max(float(np.ptp(data.xpos, axis=0).max()), float(model.stat.extent) * 0.1, 1e-6)
    pairs = {0: 0}
    queue = [(0, 0)]
    while queue:
        body, partner = queue.pop()
        here = [k for k in range(1, model.nbody) if model.body_parentid[k] == body]
        there = [k for k in range(1, model.nbody) if model.body_parentid[k] == partner]
        if len(here) != len(there):
            continue
        if not here:
            continue
        cost = np.zeros((len(here), len(there)))
        for i, a in enumerate(here):
            image = base @ (data.xpos[a] - centre) + centre
            for j, b in enumerate(there):
                cost[i, j] = np.linalg.norm(image - data.xpos[b]) / size
                cost[i, j] += np.abs(_middle(model, data, a, base, centre) - _middle(model, data, b)).max() / size
                cost[i, j] += 10.0 * (model.body_jntnum[a] != model.body_jntnum[b])
                cost[i, j] -= _NAMED * are_sides(names[a], names[b])
        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            pairs[here[i]] = there[j]
            queue.append((here[i], there[j]))
    return pairs


def _middle(
    model: Any, data: Any, body: int, base: np.ndarray | None = None, centre: np.ndarray | None = None
) -> np.ndarray:
    """Centre of mass of everything below a body, at the reference pose; mirrored where a reflection is given."""
    middle: np.ndarray = data.subtree_com[body]
    return middle if base is None or centre is None else base @ (middle - centre) + centre
