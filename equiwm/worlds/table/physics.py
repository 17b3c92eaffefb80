"""MuJoCo for the table: a T with all its freedom and a pusher above a plane, placed exactly and stepped.

A plane and boxes, a ball against boxes: MuJoCo finds these contacts in closed form, and nothing in them has a direction
of the laboratory. Whatever stands or is bounded (a table's rim, a wall, joint limits) would have one, so there is none:
the table is an infinite plane.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from equiwm.checks import as_finite
from equiwm.errors import DataError, MissingExtraError
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.shapes import broadcast_shape
from equiwm.worlds.body.physics import quaternions, rotations
from equiwm.worlds.table.config import TableConfig

# Columns of a state: SI units. The orientation is a unit quaternion (w, x, y, z), the spin is in the T's frame; the
# pusher and the tag are where they are in the plane.
POSITION, ORIENTATION, PUSHER = slice(0, 3), slice(3, 7), slice(7, 9)
VELOCITY, SPIN, PUSHER_VELOCITY, TAG = slice(9, 12), slice(12, 15), slice(15, 17), slice(17, 19)
STATE_SIZE = 19

PUSH_SPEED = 0.5
"""m/s that an action of norm 1 drives the pusher to."""
PUSHER_RADIUS, PUSHER_HEIGHT = 0.02, 0.03
"""Metres; the arm holds the pusher's centre at this height."""
GRAVITY, FRICTION = 9.81, 0.5
TOUCH = 0.002
"""Metres within which two surfaces count as touching. MuJoCo's friction lifts what slides by up to 1 mm."""
_TIMESTEP, _SUBSTEPS = 0.005, 20
CONTROL_PERIOD = _TIMESTEP * _SUBSTEPS
"""Seconds of a control step."""


class Box(NamedTuple):
    """A box of the T; metres and kilograms.

    Attributes:
        half: half extents.
        centre: in the T's frame, whose origin is the centre of mass.
        mass: of the box.
    """

    half: np.ndarray
    centre: np.ndarray
    mass: float

    @property
    def corners(self) -> np.ndarray:
        """(8, 3) in the T's frame."""
        signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        return self.centre + signs * self.half


def _boxes() -> tuple[Box, Box]:
    """The bar along x, and the stem towards -y, of one density."""
    bar = Box(np.array([0.1, 0.025, 0.02]), np.zeros(3), 0.4)
    stem = Box(np.array([0.025, 0.075, 0.02]), np.array([0.0, -0.1, 0.0]), 0.3)
    middle = (bar.mass * bar.centre + stem.mass * stem.centre) / (bar.mass + stem.mass)
    return bar._replace(centre=bar.centre - middle), stem._replace(centre=stem.centre - middle)


BAR, STEM = BOXES = _boxes()
"""A T, 20 cm wide and 4 cm high: its own mirror image, x -> -x."""

HALF_HEIGHT = float(BAR.half[2])
"""Metres."""

REST_HEIGHT = HALF_HEIGHT - 6e-5
"""Metres; the height of the T's centre of mass where it lies at rest. Contacts are soft; a T that only just touches
would leave it to rounding which corners do."""

CORNERS = np.concatenate([box.corners for box in BOXES])
"""(16, 3) corners of the T, in its frame."""

OUTLINE = np.concatenate([box.corners[box.corners[:, 2] > 0.0][[0, 1, 3, 2]] for box in BOXES])
"""(8, 3) the upper corners of bar and stem, each around its rectangle."""

STEM_AXIS, UP_AXIS = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
"""The axes of the T that are observed, in its frame; both are in its plane of reflection, so that they are vectors
under reflections too."""


def _mjcf(config: TableConfig) -> str:
    boxes = "".join(
        f'<geom type="box" size="{_text(box.half)}" pos="{_text(box.centre)}" mass="{box.mass}"/>' for box in BOXES
    )
    lean = math.radians(config.slope)
    gravity = _text(np.array([GRAVITY * math.sin(lean), 0.0, -GRAVITY * math.cos(lean)]))
    # No warm start and a tolerance of 1e-12: see `equiwm.worlds.body.physics`. The servo is stiff (10 ms), and its
    # damping is integrated implicitly. The arm holds the pusher up, so it meets neither gravity nor the table.
    return f"""
    <mujoco>
      <option gravity="{gravity}" timestep="{_TIMESTEP}" cone="{config.cone}" solver="Newton" tolerance="1e-12"
        iterations="{config.iterations}" integrator="implicitfast">
        <flag warmstart="disable"/>
      </option>
      <default><geom condim="3" friction="{FRICTION} 0.005 0.0001"/></default>
      <worldbody>
        <geom type="plane" size="0 0 1"/>
        <body name="T"><freejoint/>{boxes}</body>
        <body name="pusher" pos="0 0 {PUSHER_HEIGHT}" gravcomp="1">
          <joint name="x" type="slide" axis="1 0 0"/>
          <joint name="y" type="slide" axis="0 1 0"/>
          <geom type="sphere" size="{PUSHER_RADIUS}" mass="1"/>
        </body>
      </worldbody>
      <contact><exclude body1="world" body2="pusher"/></contact>
      <actuator><velocity joint="x" kv="100"/><velocity joint="y" kv="100"/></actuator>
    </mujoco>"""


def _text(numbers: np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)


def turn(states: np.ndarray, g: Elements) -> np.ndarray:
    """The states g s: points x -> R x + t, velocities v -> R v, orientation Q -> R Q, spin (in the T's frame) as it is.

    Under a reflection Q -> R Q M with M = diag(-1, 1, 1), the T's own, and a spin w -> -M w.

    Args:
        states: (..., STATE_SIZE) float64.
        g: elements of E(2) about the vertical, whose batch shape broadcasts against the leading axes of `states`.

    Returns:
        (..., STATE_SIZE) float64, with the leading axes broadcast.
    """
    lead = broadcast_shape(states.shape[:-1], g.shape)
    states = np.broadcast_to(states, (*lead, STATE_SIZE))
    linear, shift = g.linear.expand(*lead, 3, 3).numpy(), g.translation.expand(*lead, 3).numpy()
    flat, sideways = linear[..., :2, :2], shift[..., :2]
    result = states.copy()
    for part, matrix in ((POSITION, linear), (VELOCITY, linear), (PUSHER, flat), (PUSHER_VELOCITY, flat), (TAG, flat)):
        result[..., part] = (matrix @ states[..., part, None])[..., 0]
    result[..., POSITION] += shift
    result[..., PUSHER] += sideways
    result[..., TAG] += sideways
    mirrored = np.linalg.det(linear)[..., None] < 0
    mirror = np.where(mirrored, [-1.0, 1.0, 1.0], 1.0)
    result[..., ORIENTATION] = quaternions(linear @ rotations(states) * mirror[..., None, :])
    result[..., SPIN] = np.where(mirrored, -mirror, mirror) * states[..., SPIN]
    return result


def outline(states: np.ndarray) -> np.ndarray:
    """The upper corners of bar and stem, (..., 8, 3) metres."""
    return states[..., None, POSITION] + OUTLINE @ rotations(states).swapaxes(-1, -2)


def height(states: np.ndarray) -> np.ndarray:
    """Height of the T's lowest corner above the table, (...) metres; negative where they overlap."""
    return states[..., 2] + (CORNERS @ rotations(states)[..., 2, :, None])[..., 0].min(-1)


def gap(states: np.ndarray) -> np.ndarray:
    """Distance from the pusher's surface to the T's, (...) metres; negative where they overlap."""
    held = np.full((*states.shape[:-1], 1), PUSHER_HEIGHT)
    offset = np.concatenate([states[..., PUSHER], held], -1) - states[..., POSITION]
    local = (offset[..., None, :] @ rotations(states))[..., 0, :]
    distances = []
    for box in BOXES:
        outside = np.abs(local - box.centre) - box.half
        distances.append(np.linalg.norm(np.maximum(outside, 0.0), axis=-1) + np.minimum(outside.max(-1), 0.0))
    return np.min(distances, axis=0) - PUSHER_RADIUS


class TablePhysics:
    """MuJoCo's simulation of the T and the pusher; the tag is only seen.

    Args:
        config: friction cone, slope of the table and iterations of the solver.

    Raises:
        MissingExtraError: MuJoCo is not installed.
    """

    def __init__(self, config: TableConfig) -> None:
        try:
            import mujoco
        except ImportError:
            raise MissingExtraError("the world 'table' needs MuJoCo: pip install 'equiwm[mujoco]'") from None
        self._mujoco = mujoco
        self._model = mujoco.MjModel.from_xml_string(_mjcf(config))
        self._data = mujoco.MjData(self._model)
        self._tag = np.zeros(2)

    @cached_property
    def bodies(self) -> tuple[str, ...]:
        """Names of the bodies, by their number."""
        return tuple(self._model.body(number).name for number in range(self._model.nbody))

    @property
    def state(self) -> np.ndarray:
        """(STATE_SIZE,) the present state."""
        return np.concatenate([self._data.qpos, self._data.qvel, self._tag])

    @property
    def touching(self) -> list[str]:
        """What is in contact now, as `T-world`."""
        bodies = self._model.geom_bodyid
        pairs = {tuple(sorted(self.bodies[bodies[geom]] for geom in contact.geom)) for contact in self._data.contact}
        return sorted("-".join(pair) for pair in pairs)

    def reset(self, state: np.ndarray) -> None:
        """Place T and pusher exactly, in data as good as new.

        Args:
            state: (STATE_SIZE,) float64.

        Raises:
            DataError: not STATE_SIZE finite numbers, or an orientation that is no unit quaternion.
        """
        state = as_finite(state, (STATE_SIZE,), "table state", single=True).numpy()
        norm = float(np.linalg.norm(state[ORIENTATION]))
        if abs(norm - 1.0) > 1e-6:
            raise DataError(f"a table state's orientation is a unit quaternion; got one of norm {norm:.6g}.")
        self._mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:], self._data.qvel[:], self._tag = state[:9], state[9:17], state[TAG].copy()

    def act(self, action: np.ndarray) -> None:
        """One control step: a servo drives the pusher to the velocity 0.5 m/s a.

        Args:
            action: a, (2,), in the unit disk.
        """
        self._data.ctrl[:] = PUSH_SPEED * action
        for _ in range(_SUBSTEPS):
            self._mujoco.mj_step(self._model, self._data)
