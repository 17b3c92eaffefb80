"""The agent's controller over a control step, and the velocities that it implies where a recording shows none."""

from __future__ import annotations

from functools import cache

import numpy as np

from equiwm.errors import DataError
from equiwm.worlds.pusht.physics import GymPushT

_OFF = 1.0
"""px/s between the velocity that a step ends with and the one that the next begins with. Positions kept in float32 put
1e-3 between them."""


@cache
def control_step() -> tuple[np.ndarray, np.ndarray]:
    """A (2, 2) and b (2,) with [p', v'] = A [p, v] + b u: one coordinate of the agent over a control step.

    gym-pusht moves its agent by v += (k_p (u - p) - k_v v) dt, p += v dt, ten times. Nothing that it meets changes
    that: it is a kinematic body.
    """
    arena = GymPushT()
    gain, damping, dt = float(arena.k_p), float(arena.k_v), float(arena.dt)
    kick = np.array([[1.0, 0.0], [-gain * dt, 1.0 - damping * dt]])
    move = np.array([[1.0, dt], [0.0, 1.0]])
    once, push = move @ kick, move @ np.array([0.0, gain * dt])
    whole, pushed = np.eye(2), np.zeros(2)
    for _ in range(int(1 / (dt * arena.control_hz))):
        whole, pushed = once @ whole, once @ pushed + push
    return whole, pushed


def agent_velocities(positions: np.ndarray, targets: np.ndarray, ends: np.ndarray, name: str) -> np.ndarray:
    """The velocities (n, 2) that the controller had, px/s: v = (p' - A_pp p - b_p u) / A_pv.

    They follow from a position, the target and the position after it. An episode's last row, which no position follows,
    has what the step before it ends with; one of a single row is at rest.

    Args:
        positions: (n, 2) of the agent, px.
        targets: (n, 2) that it was sent to in each row, px.
        ends: (E,) index after each episode's last row.
        name: of the recording, for messages.

    Raises:
        DataError: positions that this controller does not lead to with these targets.
    """
    whole, pushed = control_step()
    last = np.zeros(len(positions), bool)
    last[ends - 1] = True
    rows = np.flatnonzero(~last)
    velocity = np.zeros_like(positions)
    velocity[rows] = (positions[rows + 1] - whole[0, 0] * positions[rows] - pushed[0] * targets[rows]) / whole[0, 1]
    reached = whole[1, 0] * positions[rows] + whole[1, 1] * velocity[rows] + pushed[1] * targets[rows]
    inner = ~last[rows + 1]
    off = np.linalg.norm(reached[inner] - velocity[rows + 1][inner], axis=-1)
    if not (off <= _OFF).all():
        at = int(rows[inner][int(np.argmax(~(off <= _OFF)))])
        raise DataError(
            f"{name}: from row {at} its agent does not move as gym-pusht's controller moves it to these targets "
            f"({off.max():.3g} px/s off); expected 'action' to be the absolute targets x, y (px) of steps of 0.1 s."
        )
    velocity[rows[~inner] + 1] = reached[~inner]
    return velocity
