"""Bodies that touch and attract each other: forces between pairs, drag, and pushes from outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SUBSTEP, SUBSTEPS = 0.04, 5
"""A step is five of 0.04."""
STIFFNESS, PULL, DRAG, PUSH = 12.0, 1.0, 0.5, 4.0
"""Of the contact, of the attraction between unit masses, of the medium, and of a unit action."""
REACH, FLAT, APART = 1.5, 0.6, 0.45
"""Bodies start in a ball of this radius, flattened by this across its first axis, and at least so far apart."""
SPEED, DRIFT = 0.5, 0.5
"""Standard deviation of velocities, and what all have in common along the first axis."""


def pair_forces(position: Tensor, mass: Tensor, there: Tensor) -> Tensor:
    """F_i = sum_j [12 (1 - r^2)_+^2 - m_i m_j / (1 + r^2)^(3/2)] (x_i - x_j), r = |x_i - x_j|, over those there.

    Bodies of diameter 1 that push each other apart where they overlap, and attract each other by softened gravity.

    Args:
        position: (B, O, d).
        mass: (B, O).
        there: (B, O), 1 or 0.

    Returns:
        (B, O, d); what an empty place feels means nothing.
    """
    apart = position[..., :, None, :] - position[..., None, :, :]
    square = apart.square().sum(-1)
    contact = STIFFNESS * (1.0 - square).clamp(min=0.0).square()
    attraction = PULL * mass[..., :, None] * mass[..., None, :] / (1.0 + square) ** 1.5
    return (((contact - attraction) * there[..., None, :])[..., None] * apart).sum(-2)


def moved(position: Tensor, velocity: Tensor, mass: Tensor, push: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and velocities (B, O, d) after a step: v += dt (F + 4 a - v / 2) / m, x += dt v, five times."""
    for _ in range(SUBSTEPS):
        force = pair_forces(position, mass, there) + PUSH * push - DRAG * velocity
        velocity = velocity + SUBSTEP * force / mass[..., None]
        position = position + SUBSTEP * velocity
    return position, velocity


def placed(rng: np.random.Generator, count: int, d: int) -> NDArray[np.float64]:
    """`count` positions (count, d) uniform in a ball of radius 1.5, flattened to 0.6 of it in all axes but the first;
    none nearer than 0.45 to another, and in the order of the first axis, so that a scene shows how it is turned."""
    found: list[NDArray[np.float64]] = []
    reach = REACH * max(1.0, (count / 8.0) ** (1.0 / d))  # beyond eight bodies the ball grows, so that they fit
    axes = np.array([1.0] + [FLAT] * (d - 1))
    while len(found) < count:
        drawn = rng.uniform(-reach, reach, d)
        place = axes * drawn
        if np.linalg.norm(drawn) <= reach and all(np.linalg.norm(place - other) >= APART for other in found):
            found.append(place)
    return np.array(sorted(found, key=lambda place: float(place[0])))
