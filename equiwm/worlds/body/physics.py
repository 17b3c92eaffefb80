"""MuJoCo for the body world: a free rigid body and a pusher without gravity, placed exactly and stepped."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from equiwm.checks import as_finite
from equiwm.errors import DataError, MissingExtraError
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.shapes import broadcast_shape

# Columns of a state: SI units; the orientation is a unit quaternion (w, x, y, z), the spin is in the body's frame.
POSITION, ORIENTATION, PUSHER = slice(0, 3), slice(3, 7), slice(7, 10)
VELOCITY, SPIN, PUSHER_VELOCITY = slice(10, 13), slice(13, 16), slice(16, 19)
STATE_SIZE = 19

FORCE, TORQUE, PUSH_SPEED = 5.0, 2.0, 2.0  # of an action of norm 1: N, N m, and m/s the pusher is driven towards
PUSHER_RADIUS = 0.15
DAMPING = 1.5
"""Drag of the body, N s/m and N m s, equal on all axes."""
_TIMESTEP, _SUBSTEPS = 0.005, 20
CONTROL_PERIOD = _TIMESTEP * _SUBSTEPS
"""Seconds of a control step."""


class Part(NamedTuple):
    """A shape of the body; metres and kilograms.

    Attributes:
        kind: MuJoCo's geom type.
        size: half extents (box), radius and half length along its z axis (capsule), radius (sphere).
        position: its centre; the body's frame has its origin at the centre of mass, see `parts`.
        euler_deg: its turns about its own x, y and z axes, in this order.
        mass: of the part.
        marks: points of its surface that are observed, in its own frame.
    """

    kind: Literal["box", "capsule", "sphere"]
    size: tuple[float, ...]
    position: np.ndarray
    euler_deg: tuple[float, float, float]
    mass: float
    marks: np.ndarray

    @property
    def rotation(self) -> Rotation:
        """From the part's frame to the body's."""
        return Rotation.from_euler("XYZ", self.euler_deg, degrees=True)


def _parts() -> tuple[Part, ...]:
    box, capsule, ball = np.array([0.6, 0.28, 0.16]), (0.14, 0.35), 0.24
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) * box
    ends = np.array([(0, 0, 1), (0, 0, -1)]) * (capsule[0] + capsule[1])
    sides = np.array([(1, 0, 0), (0, 1, 0)]) * capsule[0]
    poles = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 0, 1)]) * ball
    raw = (
        Part("box", tuple(box), np.zeros(3), (0.0, 0.0, 0.0), 0.6, corners),
        Part("capsule", capsule, np.array([0.5, 0.4, 0.1]), (60.0, 20.0, 0.0), 0.25, np.concatenate([ends, sides])),
        Part("sphere", (ball,), np.array([-0.6, 0.1, 0.25]), (0.0, 0.0, 0.0), 0.25, poles),
    )
    centre = sum(part.mass * part.position for part in raw) / sum(part.mass for part in raw)
    return tuple(part._replace(position=part.position - centre) for part in raw)


PARTS = _parts()
"""A box with a slanted capsule and a ball: no two principal axes alike, and no mirror symmetry.

Boxes, capsules and spheres only: MuJoCo's contacts of ellipsoids come from an iterative solver, good to 6e-6.
"""

MASS = sum(part.mass for part in PARTS)
"""kg"""

MARKS = np.concatenate([part.rotation.apply(part.marks) + part.position for part in PARTS])
"""(12, 3) observed points of the body, in its frame."""

POINTS = len(MARKS)
"""Observed points of the body."""

BODY_RADIUS = float(
    max(
        np.linalg.norm(part.position) + (np.linalg.norm(part.size) if part.kind == "box" else sum(part.size))
        for part in PARTS
    )
)
"""Metres; the body lies within this distance of its centre of mass."""


def _mjcf(cone: str) -> str:
    geoms = "\n".join(
        f'<geom type="{part.kind}" size="{_text(part.size)}" pos="{_text(part.position)}" '
        f'euler="{_text(part.euler_deg)}" mass="{part.mass}"/>'
        for part in PARTS
    )
    # No warm start: a step depends on the state alone. Newton's method does not depend on the frame, but stops where a
    # cost falls by less than the tolerance, and two turned copies may stop at either side of it; at 1e-12 instead of
    # MuJoCo's 1e-8 that is rounding, as it is at 0, which takes five times as long.
    # Drag keeps an unattended body from drifting off; equal on all axes, it has no direction of its own.
    # The pusher slides along three axes and never turns: a spin would be a part of the state that nobody sees.
    return f"""
    <mujoco>
      <compiler angle="degree" eulerseq="xyz" autolimits="true"/>
      <option gravity="0 0 0" timestep="{_TIMESTEP}" cone="{cone}" solver="Newton" tolerance="1e-12">
        <flag warmstart="disable"/>
      </option>
      <default><geom condim="3" friction="0.5 0.005 0.0001"/></default>
      <worldbody>
        <body name="body"><joint type="free" damping="{DAMPING}"/>{geoms}</body>
        <body name="pusher">
          <joint name="x" type="slide" axis="1 0 0"/>
          <joint name="y" type="slide" axis="0 1 0"/>
          <joint name="z" type="slide" axis="0 0 1"/>
          <geom type="sphere" size="{PUSHER_RADIUS}" mass="0.5"/>
        </body>
      </worldbody>
      <actuator>
        <velocity joint="x" kv="20"/><velocity joint="y" kv="20"/><velocity joint="z" kv="20"/>
      </actuator>
    </mujoco>"""


def _text(numbers: tuple[float, ...] | np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)


def turn(states: np.ndarray, g: Elements) -> np.ndarray:
    """The states g s: positions p -> R p + t, velocities v -> R v, orientation Q -> R Q, spin (body frame) as it is.

    Args:
        states: (..., STATE_SIZE) float64.
        g: elements of SE(3) whose batch shape broadcasts against the leading axes of `states`.

    Returns:
        (..., STATE_SIZE) float64, with the leading axes broadcast.
    """
    lead = broadcast_shape(states.shape[:-1], g.shape)
    states = np.broadcast_to(states, (*lead, STATE_SIZE))
    linear, shift = g.linear.expand(*lead, 3, 3).numpy(), g.translation.expand(*lead, 3).numpy()
    result = states.copy()
    for part in (POSITION, PUSHER, VELOCITY, PUSHER_VELOCITY):
        result[..., part] = (linear @ states[..., part, None])[..., 0]
    for part in (POSITION, PUSHER):
        result[..., part] += shift
    result[..., ORIENTATION] = quaternions(linear @ rotations(states))
    return result


def rotations(states: np.ndarray) -> np.ndarray:
    """Orientations (..., 3, 3) of states (..., STATE_SIZE): from the body's frame to the world's."""
    flat = states[..., ORIENTATION].reshape(-1, 4)
    return Rotation.from_quat(flat, scalar_first=True).as_matrix().reshape(*states.shape[:-1], 3, 3)


def quaternions(matrices: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4), w first, of rotations (..., 3, 3)."""
    flat = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat(scalar_first=True)
    return flat.reshape(*matrices.shape[:-2], 4)


def gap(states: np.ndarray) -> np.ndarray:
    """Distance from the pusher's surface to the body's, (...) metres; negative where they overlap."""
    offset = (states[..., PUSHER] - states[..., POSITION])[..., None, :] @ rotations(states)  # in the body's frame
    distances = []
    for part in PARTS:
        local = (offset[..., 0, :] - part.position) @ part.rotation.as_matrix()
        if part.kind == "box":
            outside = np.abs(local) - part.size
            distances.append(np.linalg.norm(np.maximum(outside, 0), axis=-1) + np.minimum(outside.max(-1), 0))
        else:
            radius, length = part.size if part.kind == "capsule" else (part.size[0], 0.0)
            local[..., 2] -= np.clip(local[..., 2], -length, length)
            distances.append(np.linalg.norm(local, axis=-1) - radius)
    return np.min(distances, axis=0) - PUSHER_RADIUS


class BodyPhysics:
    """MuJoCo's simulation of body and pusher.

    Args:
        cone: `elliptic`, or `pyramidal` (MuJoCo's default), whose basis of the tangent plane is arbitrary and breaks
            the symmetry on contact.

    Raises:
        MissingExtraError: MuJoCo is not installed.
    """

    def __init__(self, cone: Literal["elliptic", "pyramidal"] = "elliptic") -> None:
        try:
            import mujoco
        except ImportError:
            raise MissingExtraError("the world 'body' needs MuJoCo: pip install 'equiwm[mujoco]'") from None
        self._mujoco = mujoco
        self._model = mujoco.MjModel.from_xml_string(_mjcf(cone))
        self._data = mujoco.MjData(self._model)

    @property
    def state(self) -> np.ndarray:
        """(STATE_SIZE,) the present state."""
        return np.concatenate([self._data.qpos, self._data.qvel])

    def reset(self, state: np.ndarray) -> None:
        """Place body and pusher exactly, in data as good as new.

        Args:
            state: (STATE_SIZE,) float64.

        Raises:
            DataError: not STATE_SIZE finite numbers, or an orientation that is no unit quaternion.
        """
        state = as_finite(state, (STATE_SIZE,), "body state", single=True).numpy()
        norm = float(np.linalg.norm(state[ORIENTATION]))
        if abs(norm - 1.0) > 1e-6:
            raise DataError(f"a body state's orientation is a unit quaternion; got one of norm {norm:.6g}.")
        self._mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:], self._data.qvel[:] = state[:10], state[10:]

    def act(self, action: np.ndarray) -> bool:
        """One control step: a force and a torque at the centre of mass, and the velocity the pusher is driven to.

        Args:
            action: (3, 3) force, torque and pusher velocity, each in the unit ball.

        Returns:
            Whether body and pusher touched.
        """
        data, model, advance = self._data, self._model, self._mujoco.mj_step
        data.xfrc_applied[1, :3] = FORCE * action[0]
        data.xfrc_applied[1, 3:] = TORQUE * action[1]
        data.ctrl[:] = PUSH_SPEED * action[2]
        touched = False
        for _ in range(_SUBSTEPS):
            advance(model, data)
            touched = touched or data.ncon > 0
        return touched

    def rollout(self, start: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place `start`, then `act` once for every action.

        Args:
            start: (STATE_SIZE,).
            actions: (H, 3, 3), each vector in the unit ball.

        Returns:
            (H + 1, STATE_SIZE) states, and (H,) bool: whether body and pusher touched in each step.

        Raises:
            DataError: as `reset`.
        """
        self.reset(start)
        states, touched = [self.state], []
        for action in actions:
            touched.append(self.act(action))
            states.append(self.state)
        return np.array(states), np.array(touched, dtype=bool)
