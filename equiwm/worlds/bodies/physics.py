"""Bodies that touch and attract each other: forces between pairs, drag, and pushes from outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SUBSTEP, SUBSTEPS = 0.04, 5
"""A step is five of 0.04."""
STIFFNESS, PULL, DRAG, PUSH = 12.0, 1.0, 0.5, 4.0
"""Of the contact, of the attraction between unit masses, of the medium, and of a unit action."""
REACH, APART, SPEED = 1.5, 0.6, 0.5
"""Radius of the ball that bodies start in, how far apart they are at least, standard deviation of their velocities."""


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
    """`count` positions (count, d) uniform in the ball of radius 1.5, none nearer than 0.6 to another."""
    found: list[NDArray[np.float64]] = []
    reach = REACH * max(1.0, (count / 10.0) ** (1.0 / d))  # beyond ten bodies the ball grows, so that they fit
    while len(found) < count:
        drawn = rng.uniform(-reach, reach, d)
        if np.linalg.norm(drawn) <= reach and all(np.linalg.norm(drawn - other) >= APART for other in found):
            found.append(drawn)
    return np.array(found)
