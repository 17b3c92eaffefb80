"""How rotations, translations and mirrors act on the state and action of a MuJoCo model, read off the model itself.

An isometry x -> R (x - c) + c + t of space takes every body to another or to itself. Of the bodies that stand in the
world the free joint, or slides and a hinge, take up the motion; joints further down keep their values under rotations.
Under a mirror each joint goes to the joint of its mirror image, with a sign: a hinge's axis is a pseudovector, a
slide's a vector. Fixed geometry does not move: where that matters is what is to be found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from equiwm.errors import GroupError
from equiwm.evidence.world.pairs import paired
from equiwm.symmetry.elements import Elements

FREE, BALL, SLIDE, HINGE = range(4)
NEAR = 0.02
"""How far an axis or a place may be from its mirror image, and the two still be a pair that is only not quite alike."""


@dataclass(frozen=True, eq=False)
class Joint:
    """One joint: where its values stand, and where it is at the reference pose."""

    number: int
    name: str
    kind: int
    body: int
    qpos: slice
    dofs: slice
    axis: np.ndarray
    anchor: np.ndarray


@dataclass(frozen=True, eq=False)
class Image:
    """What a joint's mirror image is: a joint, and the sign of its value."""

    joint: Joint
    sign: float


class ModelAction:
    """The action of isometries on a model's states (qpos, qvel) and actions (ctrl).

    Args:
        model: a MuJoCo model whose actuators drive joints.
        reflection: (3,) signs of the base reflection, as (1, -1, 1); improper elements are it, turned.
        file: the model's XML, for repairs in the file's own units.

    Raises:
        GroupError: the model's joints or actuators cannot take the motion up; the message names them.
    """

    def __init__(
        self, model: Any, reflection: tuple[float, float, float] = (1.0, -1.0, 1.0), file: str | None = None
    ) -> None:
        import mujoco

        self._mujoco, self.model = mujoco, model
        self.base = np.diag(reflection)
        data = mujoco.MjData(model)
        data.qpos[:] = model.qpos0
        mujoco.mj_forward(model, data)
        self.data = data
        self.bodies = [model.body(k).name or f"body {k}" for k in range(model.nbody)]
        self.joints = [self._joint(k) for k in range(model.njnt)]
        self.roots = [k for k in range(1, model.nbody) if model.body_parentid[k] == 0]
        self.centre = self._centre()
        self.pairs = paired(model, data, self.base, self.centre, self.bodies)
        self.file = file
        if int(model.na):
            raise GroupError("the model's actuators have a state of their own (muscles): give a WorldProbe instead.")

    def _joint(self, k: int) -> Joint:
        model, kind = self.model, int(self.model.jnt_type[k])
        wide, turns = {FREE: (7, 6), BALL: (4, 3), SLIDE: (1, 1), HINGE: (1, 1)}[kind]
        q, v = int(model.jnt_qposadr[k]), int(model.jnt_dofadr[k])
        name = model.joint(k).name or f"joint {k}"
        body = int(model.jnt_bodyid[k])
        axis, anchor = self.data.xaxis[k].copy(), self.data.xanchor[k].copy()
        return Joint(k, name, kind, body, slice(q, q + wide), slice(v, v + turns), axis, anchor)

    def of(self, body: int) -> list[Joint]:
        """The joints of a body, in order."""
        return [joint for joint in self.joints if joint.body == body]

    def _centre(self) -> np.ndarray:
        """The point that rotations fix: the place of an arm that only turns in place, else the origin."""
        for body in self.roots:
            joints = self.of(body)
            if joints and joints[0].kind == HINGE and abs(joints[0].axis[2]) > 1 - 1e-9:
                return np.asarray(joints[0].anchor * [1.0, 1.0, 0.0])
        return np.zeros(3)

    # Which motions exist

    @property
    def horizontal(self) -> tuple[str, ...]:
        """Axes along which every moving root can be moved, without limits."""
        found: list[str] = []
        for joint in self.joints:
            if joint.kind == SLIDE and joint.body in self.roots and self.model.jnt_limited[joint.number]:
                return ()
        for k, axis in enumerate("xy"):
            shift = np.zeros(3)
            shift[k] = 1.0
            try:
                self.check_motion(Elements(torch.eye(3, dtype=torch.float64), torch.from_numpy(shift)))
            except GroupError:
                continue
            found.append(axis)
        return tuple(found)

    @property
    def turns(self) -> bool:
        """Whether everything that stands in the world can be turned about the vertical."""
        try:
            linear = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
            self.check_motion(Elements(linear, torch.zeros(3, dtype=torch.float64)))
        except GroupError:
            return False
        return True

    def check_motion(self, g: Elements) -> None:
        """Refuse an element that the model's joints cannot take up.

        Raises:
            GroupError: such an element; the message names the joint.
        """
        rng = np.random.default_rng(0)
        state = np.concatenate(
            [self.model.qpos0 + 0.1 * rng.normal(size=self.model.nq), rng.normal(size=self.model.nv)]
        )
        self.on_state(state, g)
        self.on_action(rng.normal(size=self.model.nu), g)

    def images(self) -> dict[int, Image]:
        """joint -> its image under the base reflection.

        Raises:
            GroupError: a joint has none; the message names it.
        """
        size = max(float(self.model.stat.extent), 1e-6)
        found = {}
        for joint in self.joints:
            if joint.kind == FREE or (joint.kind == BALL):
                partner = self.pairs.get(joint.body)
                others = [] if partner is None else [o for o in self.of(partner) if o.kind == joint.kind]
                if not others:
                    raise GroupError(f"joint '{joint.name}' has no mirror image: its body has no partner.")
                found[joint.number] = Image(others[0], 1.0)
                continue
            sign = np.linalg.det(self.base) if joint.kind == HINGE else 1.0
            axis = sign * self.base @ joint.axis
            anchor = self.base @ (joint.anchor - self.centre) + self.centre
            best: tuple[float, Image] | None = None
            for other in self.of(self.pairs.get(joint.body, -1)):
                if other.kind != joint.kind:
                    continue
                along = float(axis @ other.axis)
                off = float(np.linalg.norm(axis - np.sign(along) * other.axis))
                if joint.kind == HINGE:
                    apart = anchor - other.anchor
                    off = max(off, float(np.linalg.norm(apart - (apart @ other.axis) * other.axis)) / size)
                if best is None or off < best[0]:
                    best = off, Image(other, float(np.sign(along)))
            if best is None or best[0] > NEAR:
                raise GroupError(
                    f"joint '{joint.name}' has no mirror image under {self.words()}: no joint of its kind stands where "
                    "it would be."
                )
            found[joint.number] = best[1]
        return found

    def words(self) -> str:
        """The base reflection in words: `y -> -y`."""
        axis = "xyz"[int(np.argmin(np.diag(self.base)))]
        return f"{axis} -> -{axis}"

    # The file

    @cached_property
    def spec(self) -> Any:
        """The model's file, to be edited; None where it is not known."""
        return None if self.file is None else self._mujoco.MjSpec.from_file(self.file)

    @property
    def degrees(self) -> bool:
        """Whether the file's angles are in degrees."""
        return self.spec is not None and bool(self.spec.compiler.degree)

    def straightened(self, geom: int, image: int) -> str:
        """The setting that makes geom `image` the mirror image of `geom`; empty where the file does not say how."""
        name = self.model.geom(image).name
        here, there = (None if self.spec is None else self.spec.geom(self.model.geom(k).name) for k in (geom, image))
        if not name or here is None or there is None or not np.isfinite(np.array(here.fromto)).all():
            return ""
        body = int(self.model.geom_bodyid[geom])
        frame = self._frame(body)
        ends = np.array(here.fromto).reshape(2, 3)
        mirrored = ends @ frame.T
        if geom == image:
            mirrored = (mirrored + ends) / 2
        return f"geom.{name}.fromto=" + ",".join(f"{float(x):.6g}" for x in mirrored.ravel())

    # The action

    def on_state(self, state: np.ndarray, g: Elements) -> np.ndarray:
        """g on a state (qpos, qvel), (nq + nv,)."""
        model = self.model
        linear, shift = g.linear.numpy(), g.translation.numpy()
        qpos, qvel = state[: model.nq], state[model.nq :]
        new_qpos, new_qvel = qpos.copy(), qvel.copy()
        improper = float(np.linalg.det(linear)) < 0
        turn = linear @ self.base if improper else linear  # the rotation that is left: base is its own inverse
        images = self.images() if improper else {joint.number: Image(joint, 1.0) for joint in self.joints}
        for body in self.roots:
            self._root(body, linear, turn, shift, improper, images, qpos, qvel, new_qpos, new_qvel)
        for joint in self.joints:
            if improper and joint.body not in self.roots:
                self._inner(joint, images[joint.number], qpos, qvel, new_qpos, new_qvel)
        return np.concatenate([new_qpos, new_qvel])

    def _inner(
        self, joint: Joint, image: Image, qpos: np.ndarray, qvel: np.ndarray, new_qpos: np.ndarray, new_qvel: np.ndarray
    ) -> None:
        """A joint that no motion of the whole reaches: its mirror image takes its value, with a sign."""
        there, zero = image.joint, self.model.qpos0
        if joint.kind == BALL:
            frame = self._frame(joint.body)
            new_qpos[there.qpos] = _mirrored(qpos[joint.qpos], frame)
            new_qvel[there.dofs] = np.linalg.det(frame) * frame @ qvel[joint.dofs]
            return
        new_qpos[there.qpos] = zero[there.qpos] + image.sign * (qpos[joint.qpos] - zero[joint.qpos])
        new_qvel[there.dofs] = image.sign * qvel[joint.dofs]

    def _frame(self, body: int) -> np.ndarray:
        """The mirror in the frames of a body and its partner, (3, 3) with determinant -1."""
        here, there = (self.data.xmat[k].reshape(3, 3) for k in (body, self.pairs[body]))
        return np.asarray(there.T @ self.base @ here)

    def _root(
        self,
        body: int,
        linear: np.ndarray,
        turn: np.ndarray,
        shift: np.ndarray,
        improper: bool,
        images: dict[int, Image],
        qpos: np.ndarray,
        qvel: np.ndarray,
        new_qpos: np.ndarray,
        new_qvel: np.ndarray,
    ) -> None:
        """The joints of a body that stands in the world take up the motion of the whole."""
        joints, zero = self.of(body), self.model.qpos0
        if not joints:
            return
        partner = self.pairs[body] if improper else body
        if joints[0].kind == FREE:
            free, there = joints[0], images[joints[0].number].joint
            frame = self._frame(body) if improper else np.eye(3)
            q, v = qpos[free.qpos], qvel[free.dofs]
            new_qpos[there.qpos] = np.concatenate(
                [linear @ (q[:3] - self.centre) + self.centre + shift, _turned(q[3:], linear, self.base, frame)]
            )
            new_qvel[there.dofs] = np.concatenate([linear @ v[:3], np.linalg.det(frame) * frame @ v[3:]])
            return
        slides = [joint for joint in joints if joint.kind == SLIDE]
        image_slides = [images[joint.number].joint for joint in slides] if improper else slides
        start, end = self.data.xpos[body], self.data.xpos[partner]
        if slides:
            axes = np.stack([joint.axis for joint in slides], 1)
            out = np.stack([joint.axis for joint in image_slides], 1)
            q = np.array([qpos[joint.qpos][0] - zero[joint.qpos][0] for joint in slides])
            v = np.array([qvel[joint.dofs][0] for joint in slides])
            place = linear @ (start + axes @ q - self.centre) + self.centre + shift - end
            moved, speed = (np.linalg.lstsq(out, each, rcond=None)[0] for each in (place, linear @ axes @ v))
            if not (np.allclose(out @ moved, place, atol=1e-9) and np.allclose(out @ speed, linear @ axes @ v)):
                raise self._cannot(slides[0], "slides in too few directions")
            for k, there in enumerate(image_slides):
                new_qpos[there.qpos] = zero[there.qpos] + moved[k]
                new_qvel[there.dofs] = speed[k]
        elif not np.allclose(linear @ (start - self.centre) + self.centre + shift, end, atol=NEAR):
            raise self._cannot(joints[0], "is fixed in the world")
        hinges = [joint for joint in joints if joint.kind in (HINGE, BALL)]
        angle = float(np.arctan2(turn[1, 0], turn[0, 0]))
        about_z = np.allclose(turn[2], [0.0, 0.0, 1.0], atol=1e-12)
        still = np.allclose(turn, np.eye(3), atol=1e-12)
        if not still and not hinges and not (about_z and self._round(body)):
            raise self._cannot(slides[0], "does not turn")
        if not still and hinges:
            first = images[hinges[0].number].joint
            if not about_z or first.kind != HINGE or abs(first.axis[2]) < 1 - 1e-9:
                raise self._cannot(hinges[0], "does not turn about the vertical")
        for k, joint in enumerate(hinges):
            if joint.kind == BALL:
                raise self._cannot(joint, "is a ball joint on the world")
            there, sign = images[joint.number].joint, images[joint.number].sign
            turned = angle * np.sign(there.axis[2]) if k == 0 and not still else 0.0
            new_qpos[there.qpos] = zero[there.qpos] + sign * (qpos[joint.qpos] - zero[joint.qpos]) + turned
            new_qvel[there.dofs] = sign * qvel[joint.dofs]

    def _round(self, body: int) -> bool:
        """Whether a body is one of balls and upright cylinders about its own vertical."""
        geoms = [k for k in range(self.model.ngeom) if self.model.geom_bodyid[k] == body]
        types = self._mujoco.mjtGeom
        for k in geoms:
            on_axis = np.allclose(self.data.geom_xpos[k][:2], self.data.xpos[body][:2], atol=1e-9)
            upright = abs(self.data.geom_xmat[k][8]) > 1 - 1e-9
            kind = int(self.model.geom_type[k])
            ball, post = kind == types.mjGEOM_SPHERE, kind in (types.mjGEOM_CYLINDER, types.mjGEOM_CAPSULE)
            if not on_axis or not (ball or (post and upright)):
                return False
        return True

    def _cannot(self, joint: Joint, why: str) -> GroupError:
        return GroupError(f"joint '{joint.name}' {why}: the motion does not act on this model.")

    def on_action(self, action: np.ndarray, g: Elements) -> np.ndarray:
        """g on an action (nu,): motors follow the joints that they drive."""
        if float(np.linalg.det(g.linear.numpy())) > 0:
            return action.copy()
        new, images, gear = action.copy(), self.images(), self.model.actuator_gear[:, 0]
        by_joint = {int(self.model.actuator_trnid[k, 0]): k for k in range(self.model.nu)}
        for k in range(self.model.nu):
            if int(self.model.actuator_trntype[k]) != int(self._mujoco.mjtTrn.mjTRN_JOINT):
                raise GroupError(f"actuator {k} drives no joint: how a mirror acts on it is not known.")
            image = images[int(self.model.actuator_trnid[k, 0])]
            there = by_joint.get(image.joint.number)
            if there is None:
                raise GroupError(f"joint '{image.joint.name}' has no actuator, its mirror image has one.")
            new[there] = image.sign * np.sign(gear[k] * gear[there]) * action[k]
        return new


def _turned(quaternion: np.ndarray, linear: np.ndarray, base: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The quaternion of R Q M^T, where Q has that of a body: of the body's image.

    With B the base reflection it is (R B) (B Q B) (B M^T), a product of three rotations; by quaternions, the middle one
    with the vector part of Q as a pseudovector, and so without the jumps of sign that a matrix has on its way back.
    """
    if np.linalg.det(linear) > 0:
        return _product(_quaternion(linear), quaternion)
    return _product(_product(_quaternion(linear @ base), _mirrored(quaternion, base)), _quaternion(base @ frame.T))


def _quaternion(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(Rotation.from_matrix(matrix).as_quat(canonical=True, scalar_first=True))


def _product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    w = p[0] * q[0] - p[1:] @ q[1:]
    return np.concatenate([[w], p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:])])


def _mirrored(quaternion: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The quaternion of M Q M^-1, M improper: its axis is a pseudovector."""
    return np.concatenate([quaternion[:1], np.linalg.det(frame) * frame @ quaternion[1:]])
