"""What is observed of the table, and the states that are seen as it.

    3xp    the T's centre of mass, the pusher's centre, a tag stuck to the table            m
    4x1o   the axis of the T's stem and its upward axis (unit), the T's velocity and the pusher's   m/s
    1x1e   the T's spin, in the world's frame                                               rad/s
    3x0e   height of the T's lowest corner (m), whether it touches the pusher, whether it touches the table (1 or 0)

A latent holds no points: of these three it keeps where they are to each other. The tag is what does not move, so that a
predicted latent shows how far the T and the pusher have gone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import as_finite
from equiwm.errors import DataError
from equiwm.worlds.body.physics import quaternions, rotations
from equiwm.worlds.table.physics import (
    ORIENTATION,
    POSITION,
    PUSHER,
    PUSHER_HEIGHT,
    PUSHER_VELOCITY,
    SPIN,
    STATE_SIZE,
    STEM_AXIS,
    TAG,
    TOUCH,
    UP_AXIS,
    VELOCITY,
    gap,
    height,
)

REP = "3xp+4x1o+1x1e+3x0e"
BODY, HAND, MARK, STEM, UP, BODY_VELOCITY, HAND_VELOCITY, BODY_SPIN, HEIGHT, TOUCHES_HAND, TOUCHES_TABLE = range(11)
"""Channels. The first eight have three entries each, the others one."""
VECTORS = 8
"""Channels of three entries."""
WIDTH = 3 * VECTORS + 3
_FIT_TOLERANCE = 1e-3  # m, m/s and rad/s by which an observation may miss the nearest state; axes likewise


def vectors_of(observation: Tensor) -> Tensor:
    """The channels of three entries: (..., 27) -> (..., 8, 3)."""
    return observation[..., : 3 * VECTORS].unflatten(-1, (VECTORS, 3))


def observe(states: np.ndarray) -> Tensor:
    """Observations (..., 27) float64 of the states (..., STATE_SIZE)."""
    turns = rotations(states)
    lead = states.shape[:-1]
    zero, held = np.zeros((*lead, 1)), np.full((*lead, 1), PUSHER_HEIGHT)
    columns = [
        states[..., POSITION],
        np.concatenate([states[..., PUSHER], held], -1),
        np.concatenate([states[..., TAG], zero], -1),
        turns @ STEM_AXIS,
        turns @ UP_AXIS,
        states[..., VELOCITY],
        np.concatenate([states[..., PUSHER_VELOCITY], zero], -1),
        (turns @ states[..., SPIN, None])[..., 0],
        height(states)[..., None],
        (gap(states) < TOUCH)[..., None],
        (height(states) < TOUCH)[..., None],
    ]
    return torch.from_numpy(np.concatenate(columns, -1, dtype=np.float64))


def state_of(observation: object) -> np.ndarray:
    """The states (..., STATE_SIZE) seen as `observation` (..., 27), a tensor or an array.

    Inverts `observe`, up to the sign of the quaternion. The axes are made orthonormal, the upward one kept.

    Raises:
        DataError: another shape, numbers that are not finite, or what misses every state by more than 1e-3 (the
            pusher's height, axes that are not perpendicular unit vectors, another height of the T).
    """
    seen = as_finite(observation, (WIDTH,), "table observation")
    channels = vectors_of(seen).numpy()
    up, stem = channels[..., UP, :], channels[..., STEM, :]
    # Axes of norm zero give no numbers, which miss every state.
    with np.errstate(invalid="ignore", divide="ignore"):
        z = up / np.linalg.norm(up, axis=-1, keepdims=True)
        y = (stem * z).sum(-1, keepdims=True) * z - stem
        y /= np.linalg.norm(y, axis=-1, keepdims=True)
    turns = np.stack([np.cross(y, z), y, z], -1)
    _refuse(np.where(np.isfinite(turns).all((-1, -2)), 0.0, np.inf))
    states = np.zeros((*channels.shape[:-2], STATE_SIZE))
    states[..., POSITION], states[..., ORIENTATION] = channels[..., BODY, :], quaternions(turns)
    states[..., PUSHER], states[..., TAG] = channels[..., HAND, :2], channels[..., MARK, :2]
    states[..., VELOCITY], states[..., PUSHER_VELOCITY] = (
        channels[..., BODY_VELOCITY, :],
        channels[..., HAND_VELOCITY, :2],
    )
    states[..., SPIN] = (channels[..., BODY_SPIN, None, :] @ turns)[..., 0, :]
    # Whether surfaces touch is not asked for: rounding decides at the threshold.
    _refuse((observe(states) - seen)[..., :-2].abs().amax(-1).numpy())
    return states


def _refuse(miss: np.ndarray) -> None:
    worst = float(np.max(miss, initial=0.0))
    if worst > _FIT_TOLERANCE:
        raise DataError(f"an observation misses every state of the table by {worst:.2g}; expected at most 1e-3.")
