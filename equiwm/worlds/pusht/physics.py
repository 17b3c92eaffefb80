"""The physics of gym-pusht without its reward and drawing: exact placement, stepping, and a state's geometry.

A state is a float64 row of `STATE_SIZE` numbers in gym-pusht's pixels, seconds and radians:

| columns | what |
|---|---|
| `AGENT` | agent position |
| `AGENT_VELOCITY` | agent velocity |
| `BLOCK` | block position: the T's origin, the middle of its bar's outer edge |
| `ANGLE` | block angle: the body's y axis, R(angle) (0, 1), is the T's stem |
| `BLOCK_VELOCITY`, `SPIN` | velocity of the block's centre of gravity, and its angular velocity |

The block's velocity belongs to the state although gym-pusht damps everything away (`space.damping = 0`):
pymunk moves bodies first and solves contacts last, so the velocity that a contact leaves behind moves the
block in the next substep. Restarting an exploration in its middle without it misses the next position of a
moving block by 0.60 px on average, with it by 0.06 px; the rest is the solver's memory (cached impulses,
bias velocities), which pymunk hides.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import shapely
import torch
from pymunk._chipmunk_cffi import lib as chipmunk

from equiwm.checks import as_finite
from equiwm.errors import DataError
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import vectors

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "pkg_resources is deprecated")
    from gym_pusht.envs.pusht import PushTEnv as GymPushT

AGENT, AGENT_VELOCITY, BLOCK, ANGLE = slice(0, 2), slice(2, 4), slice(4, 6), 6
BLOCK_VELOCITY, SPIN = slice(7, 9), 9
STATE_SIZE = 10
REACH = 100.0
"""Pixels from the agent to the target of its controller, for an action of norm 1."""
CONTROL_PERIOD: float = 1 / GymPushT.metadata["render_fps"]
"""Seconds of a control step."""
POSITION_SCALE, VELOCITY_SCALE = 256.0, 512.0  # px and px/s of one unit of an observation
AXIS_ANGLE = {"stem": np.pi / 2, "body_x": 0.0}
"""Angle from the body's x axis to the axis of the block that is observed."""
GUARD = {"block": "wall: block outside the guard", "agent": "wall: agent outside the guard"}
"""Why a step is excluded, by what left the guard."""

_WALL, _AGENT, _BLOCK = 1, 2, 3  # collision types; type 0 is slow: gym-pusht counts its contacts


@dataclass(frozen=True, eq=False)
class Geometry:
    """Shapes of gym-pusht, read from its own objects.

    Attributes:
        centre: (2,) centre of the arena, px.
        clearance: distance from the centre to the walls' inner faces, px.
        agent_radius: px.
        rectangles: (2, 2, 2) lowest and highest corner of the T's bar and stem in the body's frame, px.
    """

    centre: np.ndarray
    clearance: float
    agent_radius: float
    rectangles: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """(8, 2) corners of the bar and the stem in the body's frame, px."""
        return np.array([(x, y) for xs, ys in self.rectangles.transpose(0, 2, 1) for x in xs for y in ys])

    @cached_property
    def middle(self) -> np.ndarray:
        """(2,) middle of the corners in the body's frame, px."""
        return np.asarray(self.corners.mean(0))

    @cached_property
    def rings(self) -> np.ndarray:
        """(2, 4, 2) corners of the bar and of the stem, each along its outline."""
        (left, top), (right, bottom) = self.rectangles.transpose(1, 2, 0)
        x, y = [left, right, right, left], [top, top, bottom, bottom]
        return np.stack([np.stack(x, 1), np.stack(y, 1)], -1)

    @cached_property
    def area(self) -> float:
        """Of the T, px^2: its bar and stem do not overlap."""
        return float(np.prod(self.rectangles[:, 1] - self.rectangles[:, 0], axis=1).sum())

    @cached_property
    def lever(self) -> float:
        """Distance from the block's position to its farthest corner, px per radian of turn."""
        return float(np.linalg.norm(self.corners, axis=1).max())


@cache
def geometry() -> Geometry:
    """The geometry of gym-pusht's arena, agent and block."""
    arena = GymPushT()
    arena._setup()
    walls = list(arena.space.static_body.shapes)
    ends = np.array([end for wall in walls for end in (wall.a, wall.b)])
    low, high = ends.min(0), ends.max(0)
    (circle,) = arena.agent.shapes
    rectangles = [np.array(shape.get_vertices()) for shape in arena._block_shapes]
    return Geometry(
        centre=(low + high) / 2,
        clearance=float((high - low).min() / 2 - walls[0].radius),
        agent_radius=float(circle.radius),
        rectangles=np.array([[corners.min(0), corners.max(0)] for corners in rectangles]),
    )


def turn(states: np.ndarray, g: Elements) -> np.ndarray:
    """The states g s: the whole scene turned or mirrored about the arena's centre c.

    Positions act as p -> c + R (p - c), velocities as v -> R v. The T is its own mirror image in its stem
    axis, so a reflection acts on it too: with alpha the angle of R e_x, a stem at psi = angle + pi/2 goes to
    alpha + psi under a rotation and to alpha - psi under a reflection.

    Args:
        states: (..., STATE_SIZE) float64.
        g: elements of SO(2) or O(2) whose batch shape broadcasts against the leading axes of `states`.

    Returns:
        (..., STATE_SIZE) float64, with the leading axes broadcast.
    """
    centre = geometry().centre
    positions = [states[..., AGENT] - centre, states[..., BLOCK] - centre]
    moved = np.stack([*positions, states[..., AGENT_VELOCITY], states[..., BLOCK_VELOCITY]], -2)
    turned = vectors(4, 2).transform(torch.from_numpy(moved), g).numpy()
    sign, alpha = g.determinant.numpy(), torch.atan2(g.linear[..., 1, 0], g.linear[..., 0, 0]).numpy()
    result = np.empty((*turned.shape[:-2], STATE_SIZE))
    result[..., AGENT] = turned[..., 0, :] + centre
    result[..., BLOCK] = turned[..., 1, :] + centre
    result[..., AGENT_VELOCITY] = turned[..., 2, :]
    result[..., BLOCK_VELOCITY] = turned[..., 3, :]
    result[..., ANGLE] = sign * states[..., ANGLE] + alpha + (sign - 1.0) * np.pi / 2
    result[..., SPIN] = sign * states[..., SPIN]
    return result


def block_inside(states: np.ndarray) -> np.ndarray:
    """Whether |v - centre| < clearance for every corner v of the T, (...) bool; invariant under SO(2)."""
    return np.asarray((_corners(states) ** 2).sum(0).max(-1) < geometry().clearance ** 2)


def block_in_arena(states: np.ndarray) -> np.ndarray:
    """Whether every corner of the T lies within the four walls, (...) bool."""
    return np.asarray(np.abs(_corners(states)).max((0, -1)) < geometry().clearance)


def _corners(states: np.ndarray) -> np.ndarray:
    """(2, ..., 8) x and y of the T's corners, from the arena's centre."""
    shape, cos, sin = geometry(), np.cos(states[..., ANGLE, None]), np.sin(states[..., ANGLE, None])
    x, y = shape.corners.T
    offset = states[..., BLOCK] - shape.centre
    return np.stack([offset[..., :1] + cos * x - sin * y, offset[..., 1:] + sin * x + cos * y])


def agent_inside(states: np.ndarray) -> np.ndarray:
    """Whether |p - centre| + radius < clearance for the agent, (...) bool; invariant under SO(2)."""
    shape = geometry()
    distance = np.linalg.norm(states[..., AGENT] - shape.centre, axis=-1)
    return distance + shape.agent_radius < shape.clearance


def gap(states: np.ndarray) -> np.ndarray:
    """Distance from the agent's centre to the T, (...) px: overlap below the agent's radius, 0 inside."""
    shape, cos, sin = geometry(), np.cos(states[..., ANGLE]), np.sin(states[..., ANGLE])
    x, y = np.moveaxis(states[..., AGENT] - states[..., BLOCK], -1, 0)
    agent = np.stack([cos * x + sin * y, cos * y - sin * x], -1)[..., None, :]
    nearest = np.clip(agent, shape.rectangles[:, 0], shape.rectangles[:, 1])
    return np.linalg.norm(agent - nearest, axis=-1).min(-1)


def coverage(pose: Sequence[float] | np.ndarray, goal: Sequence[float] | np.ndarray) -> float:
    """Share of a goal that the block covers: area(T(pose) and T(goal)) / area(T), gym-pusht's `_get_coverage`.

    That one takes the T's two shapes from a set, in an order that depends on where they lie in memory, and with it the
    last bits; here bar and stem are always in the same one. Goals are kept, and poses too far apart to touch cost
    nothing.

    Args:
        pose: x, y (px) and angle (radians) of the block, as in `BLOCK` and `ANGLE`.
        goal: the same of the goal.
    """
    if np.hypot(pose[0] - goal[0], pose[1] - goal[1]) > 2 * geometry().lever:
        return 0.0
    shared = shapely.intersection(_outline(*pose)[:, None], _goal_outline(*map(float, goal)))
    return float(shapely.area(shared).sum() / geometry().area)


def _outline(x: float, y: float, angle: float) -> np.ndarray:
    """The T's bar and stem as two polygons, where the block has that pose."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = geometry().rings @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(shapely.polygons(turned + np.array([x, y])))


_goal_outline = lru_cache(maxsize=64)(_outline)


class PushTPhysics:
    """gym-pusht's simulator, placed exactly and stepped without its reward.

    Trajectories are bitwise those of gym-pusht's `env.step`: space, bodies and controller gains are its own.

    Args:
        arena: a gym-pusht environment to take over; None makes one.

    Attributes:
        arena: the gym-pusht environment that holds them, for drawing and coverage.
    """

    def __init__(self, arena: Any = None) -> None:
        self.arena = GymPushT(render_mode="rgb_array") if arena is None else arena
        self._substeps = int(1 / (self.arena.dt * self.arena.control_hz))
        self._contacts: dict[str, bool] = {"touched": False}

    @property
    def state(self) -> np.ndarray:
        """(STATE_SIZE,) the present state."""
        agent, block = self.arena.agent, self.arena.block
        moving = (*block.velocity, block.angular_velocity)
        return np.array([*agent.position, *agent.velocity, *block.position, block.angle, *moving])

    @property
    def touched_wall(self) -> bool:
        """Whether the block has touched a wall since the last reset. (The agent passes through walls.)"""
        return self._contacts["touched"]

    def reset(self, state: np.ndarray) -> None:
        """Place agent and block exactly, in a fresh space, without a step of the physics.

        Unlike gym-pusht's `reset_to_state`, which sets the position before the angle (pymunk then turns the
        block about its centre of gravity, and so moves it), steps once, and knows no velocities.

        Args:
            state: (STATE_SIZE,) float64.

        Raises:
            DataError: the state is not STATE_SIZE finite numbers, or the simulator cannot hold it to 1e-9.
        """
        state = as_finite(state, (STATE_SIZE,), "PushT state", single=True).numpy()
        arena = self.arena
        arena._setup()  # a new space: cached contacts would leak from the last episode into this one
        agent, block, space = arena.agent, arena.block, arena.space
        agent.position, agent.velocity = tuple(state[AGENT]), tuple(state[AGENT_VELOCITY])
        block.angle = float(state[ANGLE])
        block.position = tuple(state[BLOCK])
        block.velocity, block.angular_velocity = tuple(state[BLOCK_VELOCITY]), float(state[SPIN])
        for body in (agent, block):
            space.reindex_shapes_for_body(body)
        error = np.abs(self.state - state).max()
        if not error <= 1e-9:
            raise DataError(f"the simulator holds it to {error:.1e}, expected 1e-9: stay in the arena.")
        for body, kind in ((space.static_body, _WALL), (agent, _AGENT), (block, _BLOCK)):
            for shape in body.shapes:
                shape.collision_type = kind
        handler = space.add_collision_handler(_WALL, _BLOCK)
        handler.begin = _note_contact
        self._contacts = handler.data
        self._contacts["touched"] = False

    def step(self, x: float, y: float) -> None:
        """One control step, ten substeps: v += (k_p (target - p) - k_v v) dt for the agent, then the physics.

        Works on pymunk's C objects in plain floats, in gym-pusht's order of operations: the same bits
        without the temporary vectors, which take most of the time of `env.step` once the coverage is gone.

        Args:
            x, y: target of the agent, px.
        """
        arena = self.arena
        agent, space, dt, k_p, k_v = arena.agent._body, arena.space._space, arena.dt, arena.k_p, arena.k_v
        get_position, get_velocity = chipmunk.cpBodyGetPosition, chipmunk.cpBodyGetVelocity
        set_velocity, advance = chipmunk.cpBodySetVelocity, chipmunk.cpSpaceStep
        for _ in range(self._substeps):
            p, v = get_position(agent), get_velocity(agent)
            vx = v.x + (k_p * (x - p.x) + k_v * (0.0 - v.x)) * dt
            vy = v.y + (k_p * (y - p.y) + k_v * (0.0 - v.y)) * dt
            set_velocity(agent, (vx, vy))
            advance(space, dt)

    def act(self, action: np.ndarray) -> None:
        """One control step that aims the agent at p + REACH a.

        Args:
            action: (2,) in the unit disk.
        """
        x, y = self.arena.agent.position
        self.step(x + REACH * float(action[0]), y + REACH * float(action[1]))

    def coverage(self) -> float:
        """Share of gym-pusht's goal that the block covers, `coverage` of the two poses."""
        block = self.arena.block
        return coverage((*block.position, block.angle), self.arena.goal_pose)

    def rollout(self, start: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place `start`, then `act` once for every action.

        Args:
            start: (STATE_SIZE,).
            actions: (H, 2) in the unit disk.

        Returns:
            (H + 1, STATE_SIZE) states, and (H,) bool: whether the block had touched a wall by the end of
            each step.

        Raises:
            DataError: as `reset`.
        """
        self.reset(start)
        states, touched = [self.state], []
        for action in actions:
            self.act(action)
            states.append(self.state)
            touched.append(self.touched_wall)
        return np.array(states), np.array(touched, dtype=bool)


def _note_contact(arbiter: Any, space: Any, data: dict[str, bool]) -> bool:
    data["touched"] = True
    return True
