"""Exploration of the whole arena: block and agent anywhere in it, pushes from every side."""

from __future__ import annotations

import numpy as np

from equiwm.worlds.pusht.physics import (
    AGENT,
    ANGLE,
    AXIS_ANGLE,
    BLOCK,
    REACH,
    STATE_SIZE,
    PushTPhysics,
    agent_inside,
    block_inside,
    gap,
    geometry,
)

_BLOCK_RADIUS = 190.0
"""The block lies this far from the arena's centre at most, px: farther and no angle keeps all of it inside."""
_AGENT_NEAR = (20.0, 180.0)
"""Distance of the agent from the block's middle, px."""
_LONGEST = 6
"""Steps that an action is held, at most."""
_TOWARDS = 0.5
"""Probability that an action aims at a point of the block; any other one is uniform in the unit disk."""


def arena_starts(draws: list[np.random.Generator], frames: np.ndarray) -> np.ndarray:
    """(n, STATE_SIZE) states at rest, the stem along `frames` (radians): agent and block apart, both inside the guard.

    The guard is a disk, and the draws are of it: a scene and its turned copy are both drawn, or neither.
    """
    return np.array([_start(rng, frame) for rng, frame in zip(draws, frames, strict=True)])


def _start(rng: np.random.Generator, frame: float) -> np.ndarray:
    middle, state = geometry().middle, np.zeros(STATE_SIZE)
    state[ANGLE] = frame - AXIS_ANGLE["stem"]
    axes = _axes(state[ANGLE])
    while True:
        radius, around, towards = _BLOCK_RADIUS * np.sqrt(rng.random()), *(frame + 2 * np.pi * rng.random(2))
        state[BLOCK] = geometry().centre + radius * np.array([np.cos(around), np.sin(around)])
        away = rng.uniform(*_AGENT_NEAR) * np.array([np.cos(towards), np.sin(towards)])
        state[AGENT] = state[BLOCK] + axes @ middle + away
        if gap(state) > geometry().agent_radius and block_inside(state) and agent_inside(state):
            return state


def _axes(angle: float) -> np.ndarray:
    """The body's axes as columns."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def explore(
    draws: list[np.random.Generator], starts: np.ndarray, frames: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Episodes of random pushes, each action held for 1 to 6 steps.

    Half of the actions aim at a point of the block, as far as the agent sees it there, with a speed of 0.1 to 1; the
    others are uniform in the unit disk. What is drawn is drawn in the block's frame or in that of the scene, so an
    exploration turns with its scene.

    Args:
        draws: one generator an episode, which is drawn from.
        starts: (n, STATE_SIZE).
        frames: (n,) orientations of the scenes, radians.
        steps: H.

    Returns:
        States (n, H + 1, STATE_SIZE), actions (n, H, 2) and (n, H) whether the block had touched a wall by then.
    """
    physics = PushTPhysics()
    episodes = [
        _episode(physics, rng, start, frame, steps) for rng, start, frame in zip(draws, starts, frames, strict=True)
    ]
    states, actions, touched = zip(*episodes, strict=True)
    return np.array(states), np.array(actions), np.array(touched)


def _episode(
    physics: PushTPhysics, rng: np.random.Generator, start: np.ndarray, frame: float, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    physics.reset(start)
    states, actions, touched = [physics.state], [], []
    action, held = np.zeros(2), 0
    for _ in range(steps):
        if not held:
            held = int(rng.integers(1, _LONGEST + 1))
            action = _action(rng, states[-1], frame)
        held -= 1
        physics.act(action)
        states.append(physics.state)
        actions.append(action)
        touched.append(physics.touched_wall)
    return np.array(states), np.array(actions), np.array(touched, dtype=bool)


def _action(rng: np.random.Generator, state: np.ndarray, frame: float) -> np.ndarray:
    (left, top), (right, bottom) = geometry().corners.min(0), geometry().corners.max(0)
    aimed, speed, radius, around = rng.random() < _TOWARDS, rng.uniform(0.1, 1.0), np.sqrt(rng.random()), rng.random()
    point = np.array([rng.uniform(left, right), rng.uniform(top, bottom)])
    if not aimed:
        angle = frame + 2 * np.pi * around
        return np.asarray(radius * np.array([np.cos(angle), np.sin(angle)]))
    way = state[BLOCK] + _axes(state[ANGLE]) @ point - state[AGENT]
    return np.asarray(speed * way / max(float(np.linalg.norm(way)), 1.0 / REACH))
