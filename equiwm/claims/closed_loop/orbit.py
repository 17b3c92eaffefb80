"""The orbit of a closed loop: which group elements every task is turned by."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch

from equiwm.errors import GroupError
from equiwm.symmetry.groups import SO2, Elements, Group
from equiwm.worlds.world import World

PLANE_ORBIT = "90,150,210,270,37,101.3,222.2"
"""The paper's four rotations, and three at which no coordinate axis meets another."""
RANDOM_ELEMENTS = 8
TRANSLATION_SIGMA = 0.5
"""Of each coordinate of a random translation: their mean length is 0.8, the paper's."""
MAX_ELEMENTS = 360
_RANDOM = re.compile(r"([a-zA-Z][^:,]*):(\d{1,6})")
_STREAM = 0x0B17
_DRAWS_OF_EACH = 64


@dataclass(frozen=True, eq=False)
class Orbit:
    """n elements other than the identity.

    Attributes:
        text: what it was parsed from.
        labels: a name for each, such as `101.3°` or `random 3`.
        elements: the elements.
    """

    text: str
    labels: list[str]
    elements: Elements


def _distinct(elements: Elements, n: int) -> Elements:
    """The first `n` elements that are not the identity, each once: a finite group soon repeats itself."""
    kept: list[int] = []
    for k in range(len(elements)):
        change = elements[kept].inverse() @ elements[k]
        if elements[k].motion != "identity" and bool((change.turns | change.moves | change.permutes).all()):
            kept.append(k)
        if len(kept) == n:
            break
    return elements[kept]


def parse_orbit(text: str | None, world: World, seed: int) -> Orbit:
    """An orbit from `90,150,37.5` (degrees, in the plane) or `se3:8` (random elements of a subgroup of the world's).

    Args:
        text: None is `PLANE_ORBIT` in the plane, and 8 random elements of the world's group in space.
        world: the world whose tasks are turned.
        seed: of the random elements; translations are N(0, 0.5^2) a coordinate.

    Raises:
        GroupError: a text that is neither, an element that is the identity, or a group that does not fit the world.
    """
    group = world.group
    default = PLANE_ORBIT if SO2 in group else f"{group.name}:{RANDOM_ELEMENTS}"
    text = (default if text is None else text).strip()
    own = re.fullmatch(rf"({re.escape(group.name)}):(\d{{1,6}})", text)  # whatever stands in its name
    random = own or _RANDOM.fullmatch(text)
    if random:
        asked, n = group if random[1] == group.name else Group.parse(random[1]), int(random[2])
        if asked not in group:
            raise GroupError(
                f"--orbit {text}: {asked} is no subgroup of {group}, under which the tasks of '{world.name}' turn; "
                f"pass --orbit {group.name}:{n}."
            )
        if not 1 <= n <= MAX_ELEMENTS:
            raise GroupError(f"--orbit {text}: got {n} elements, expected 1 to {MAX_ELEMENTS}.")
        rng = np.random.default_rng([_STREAM, seed])
        if asked.is_finite:
            elements = _distinct(asked.sample(_DRAWS_OF_EACH * n, rng), n)
            if not len(elements):
                raise GroupError(f"--orbit {text}: {asked} has no element but the identity, which changes nothing.")
        else:
            elements = asked.sample(n, rng, sigma=TRANSLATION_SIGMA)
        return Orbit(text, [f"random {k}" for k in range(1, len(elements) + 1)], elements)
    parts = [part.strip() for part in text.split(",")]
    try:
        angles = [float(part) for part in parts]
    except ValueError:
        example = PLANE_ORBIT if group.d == 2 else default
        raise GroupError(f"--orbit: cannot read '{text}', expected something like {example}.") from None
    if group.d != 2:
        raise GroupError(f"--orbit {text}: angles name rotations of the plane, not of {group}; pass --orbit {default}.")
    if len(angles) > MAX_ELEMENTS or not all(abs(angle) < 1e6 and angle % 360.0 for angle in angles):
        raise GroupError(
            f"--orbit {text}: expected at most {MAX_ELEMENTS} angles in degrees, none of them a full turn, which "
            "changes nothing."
        )
    return Orbit(text, [f"{angle:g}°" for angle in angles], group.rotation(torch.tensor(angles, dtype=torch.float64)))
