"""The point-cloud world: drift, torque and stretch of an anisotropic cloud, exactly SE(3)-equivariant, batched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.errors import DataError
from equiwm.symmetry.groups import SE3, SO3, Elements
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.checks import as_finite
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.world import Orientations, Progress, Sequences, SymmetryResidual, Transitions, check_orientations

DRIFT, TORQUE, STRETCH = 0.15, 0.15, 0.08  # of an action of norm 1: lengths, radians and lengths a step
ACTION_SIGMA = 0.6
TASK_STEPS = 12  # steps of the plan that reaches the goal of a task
_TEMPLATE_SCALES = (1.0, 0.55, 0.3)
_TEMPLATE_SEED = 2606
_JITTER, _LOWEST_SCALE, _HIGHEST_SCALE = 0.04, 0.85, 1.15
_TASK_NORM = (0.3, 1.0)
_SCENES, _SCALES, _ACTIONS, _TASK_DIRECTIONS, _TASK_NORMS, _RESIDUAL, _PLANS = range(
    7
)  # streams of random numbers that never meet


@dataclass(frozen=True, eq=False)
class CloudTasks:
    """n tasks: bring the cloud `start` to the cloud `goal`.

    Attributes:
        start: (n, P, 3).
        goal: (n, P, 3), the start after `action` was held for `TASK_STEPS` steps.
        action: (n, 3) or (n, 2, 3), each vector in the unit ball.
    """

    start: Tensor
    goal: Tensor
    action: Tensor

    def __len__(self) -> int:
        return len(self.start)


class Cloud:
    """A cloud of P points x_p driven by one action vector, or by a force and a torque of their own.

    With x~_p = x_p - mean(x) and, point by point, u_p = x~_p / |x~_p| (0 where x~_p = 0, which is no direction),

        x'_p = x_p + 0.15 f + 0.15 tau x x~_p + 0.08 <f, u_p> u_p,

    which commutes with every rotation and translation. `action="coupled"` is the paper's, f = tau = a: there the
    drift of the centroid already says how the cloud turns. `action="separate"` takes the two apart: a = (f, tau).
    It does not commute with reflections, since tau is given as a polar vector.

    With `breaking` g the world has a vertical: x'_p is less g <e_z, x~_p> e_z, e_z the last axis of the lab. What is
    left is SE(3) without its tilts. Nothing here turns an outcome, so every transition and sequence is the broken
    world's own, at whatever orientation it starts.

    A scene is a fixed anisotropic Gaussian template (scales 1, 0.55, 0.3, its mean taken off; part of the world, the
    same for every seed) with jitter 0.04 a coordinate and a scale in [0.85, 1.15) for each of its axes, turned as a
    whole about z by an angle of the wedge. It lies about the origin: translations enter through `transform` only.

    Args:
        config: kind of action, number of points, strength of the breaking, wedge of scene orientations.
    """

    name = "cloud"
    group = SE3
    components: Mapping[str, int] = {}
    """Empty: points have no names of their own."""

    Config = CloudConfig

    def __init__(self, config: CloudConfig | None = None) -> None:
        self.config = config or CloudConfig()
        self.equivariant = self.config.breaking == 0.0
        self.observation_rep = Rep(((self.config.points, "p"),), 3)
        self.action_rep = vectors(1 if self.config.action == "coupled" else 2, 3)
        template = np.random.default_rng(_TEMPLATE_SEED).normal(size=(self.config.points, 3)) * _TEMPLATE_SCALES
        self._template = template - template.mean(0)

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action: (3,), or (2, 3) for force and torque."""
        return (3,) if self.config.action == "coupled" else (2, 3)

    def check_observation(self, observation: object) -> Tensor:
        """`observation` (..., P, 3), a tensor or an array, as float64 on the CPU.

        Raises:
            DataError: an empty cloud, another number of points or coordinates, or numbers that are not finite.
        """
        return as_finite(observation, (self.config.points, 3), f"cloud of {self.config.points} points")

    def check_action(self, action: object) -> Tensor:
        """`action` (..., 3) or (..., 2, 3), a tensor or an array, as float64 on the CPU.

        Raises:
            DataError: another shape, or numbers that are not finite.
        """
        return as_finite(action, self.action_shape, "cloud world's action")

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """s' = T(s, a), see the class; differentiable.

        Args:
            observation: (..., P, 3) points; any float dtype, computed in float64.
            action: (..., 3) or (..., 2, 3) force and torque, of any length; leading axes broadcast.

        Returns:
            (..., P, 3) float64.

        Raises:
            DataError: as `check_observation` and `check_action`.
        """
        return self._advance(self.check_observation(observation), self.check_action(action))

    def _advance(self, points: Tensor, action: Tensor) -> Tensor:
        pair = action[..., None, :].expand(*action.shape[:-1], 2, 3) if self.config.action == "coupled" else action
        force, torque = pair[..., :1, :], pair[..., 1:, :]
        centred = points - points.mean(-2, keepdim=True)
        # 0 / tiny = 0: no direction, hence no stretch, at the centroid, and a finite gradient.
        directions = centred / centred.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        stretch = (directions * force).sum(-1, keepdim=True) * directions
        turn = torch.linalg.cross(*torch.broadcast_tensors(torque, centred))
        moved = points + DRIFT * force + TORQUE * turn + STRETCH * stretch
        if self.config.breaking:
            pull = torch.zeros_like(centred)
            pull[..., -1] = centred[..., -1]  # <e_z, x~_p> e_z
            moved = moved - self.config.breaking * pull
        return moved

    def rollout(self, observation: Tensor, actions: Tensor) -> Tensor:
        """Clouds (..., H + 1, P, 3) of the plans `actions` (..., H, 3) or (..., H, 2, 3), the start included.

        Raises:
            DataError: as `step`.
        """
        points, actions = self.check_observation(observation), self.check_action(actions)
        clouds = [points]
        for action in actions.unbind(-1 - len(self.action_shape)):
            clouds.append(self._advance(clouds[-1], action))
        return torch.stack(torch.broadcast_tensors(*clouds), -3)

    def sample_scenes(self, n: int, seed: int, orientations: Orientations = "seen") -> Tensor:
        """`n` scenes (n, P, 3) float64; the first m of them are those of `sample_scenes(m)`.

        Args:
            n: at least 1.
            seed: at least 0.
            orientations: `seen` turns them about z by angles of the wedge, `all` and `unseen` by Haar rotations of
                SO(3), which almost never lie in the wedge; SE(3) has no uniform measure, so none is moved. Shapes
                and jitter are the same for all.

        Raises:
            DataError: an argument that is not what is said above.
        """
        check_orientations(orientations)
        clouds, wedge, haar = self._draw_scenes(n, seed)
        return self.observation_rep.transform(clouds, wedge if orientations == "seen" else haar)

    def _draw_scenes(self, n: int, seed: int) -> tuple[Tensor, Elements, Elements]:
        """Clouds before they are turned, and how each is turned: in the wedge, and by Haar's measure."""
        if n < 1:
            raise DataError(f"scenes: got n = {n}, expected at least 1.")
        # One row a scene: what a scene draws does not depend on how many there are.
        points = self.config.points
        normal = _generator(_SCENES, seed).normal(size=(n, 3 * points + 4))
        uniform = _generator(_SCALES, seed).random((n, 4))
        jitter, quaternion = _JITTER * normal[:, :-4].reshape(n, points, 3), normal[:, -4:]
        scales = _LOWEST_SCALE + (_HIGHEST_SCALE - _LOWEST_SCALE) * uniform[:, None, :3]
        clouds = torch.from_numpy(scales * (self._template + jitter))
        low, high = self.config.wedge
        wedge = SO3.rotation(low + (high - low) * uniform[:, 3])
        return clouds, wedge, SO3.elements(torch.from_numpy(Rotation.from_quat(quaternion).as_matrix()))

    def _sample_actions(self, n: int, rng: np.random.Generator) -> Tensor:
        """(n, *action_shape) from N(0, 0.6^2), clipped to [-1, 1]: the clip alone depends on the axes."""
        actions = rng.normal(0.0, ACTION_SIGMA, (n, *self.action_shape))
        return torch.from_numpy(np.clip(actions, -1.0, 1.0))

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions, each from a scene of its own; the first m of them are those of `transitions(m)`.

        Actions are the paper's, N(0, 0.6^2) clipped to [-1, 1] coordinate by coordinate, which makes the data, not
        the world, slightly anisotropic. At `all` and `unseen` they are those of `seen`, turned with their scenes.

        Raises:
            DataError: as `sample_scenes`.
        """
        check_orientations(orientations)
        clouds, wedge, haar = self._draw_scenes(n, seed)
        scenes = self.observation_rep.transform(clouds, wedge if orientations == "seen" else haar)
        actions = self._sample_actions(n, _generator(_ACTIONS, seed))
        if orientations != "seen":
            actions = self.action_rep.transform(actions, haar @ wedge.inverse())
        following = self.step(scenes, actions)
        if progress is not None:
            progress(n, n)
        return Transitions(scenes, actions, following, episode=torch.arange(n))

    def sequences(
        self,
        n: int,
        horizon: int,
        *,
        seed: int,
        orientations: Orientations = "seen",
        progress: Progress | None = None,
    ) -> Sequences:
        """`n` sequences from the scenes of `sample_scenes`, with actions of `transitions`; nothing is excluded.

        At `all` and `unseen` they are the sequences of `seen`, the actions included, turned about the origin: a scene
        h g x_0 in place of g x_0, with g in the wedge and h g from Haar's measure. Fewer, and shorter ones, are part
        of more and longer ones.

        Raises:
            DataError: `n` or `horizon` below 1, a negative seed or unknown orientations.
        """
        if horizon < 1:
            raise DataError(f"sequences: got {horizon} steps, expected at least 1.")
        check_orientations(orientations)
        clouds, wedge, haar = self._draw_scenes(n, seed)
        # One generator a sequence: its actions depend neither on how many there are nor on the horizon.
        plans = [self._sample_actions(horizon, np.random.default_rng([_PLANS, k, seed])) for k in range(n)]
        actions = torch.stack(plans)
        if orientations != "seen":
            actions = self.action_rep.transform(actions, (haar @ wedge.inverse())[:, None])
        scenes = self.observation_rep.transform(clouds, wedge if orientations == "seen" else haar)
        if progress is not None:
            progress(n, n)
        return Sequences(self.rollout(scenes, actions), actions, episode=torch.arange(n))

    def tasks(self, n: int, *, seed: int, orientations: Orientations = "seen") -> CloudTasks:
        """`n` tasks: a scene, and the cloud it becomes under one random action held for `TASK_STEPS` steps.

        The action's norm is uniform in [0.3, 1), a turn by 31 to 103 degrees; force and torque, where there are both,
        draw norm and direction each. A rigid motion of the start would in general be out of reach, for the stretch
        deforms the cloud. Task k does not depend on `n`.

        Raises:
            DataError: as `sample_scenes`.
        """
        start = self.sample_scenes(n, seed, orientations)
        directions = _generator(_TASK_DIRECTIONS, seed).normal(size=(n, *self.action_shape))
        norms = _generator(_TASK_NORMS, seed).uniform(*_TASK_NORM, (n, *self.action_shape[:-1], 1))
        held = torch.from_numpy(norms * directions / np.linalg.norm(directions, axis=-1, keepdims=True))
        plan = held[:, None].expand(-1, TASK_STEPS, *self.action_shape)
        return CloudTasks(start, self.rollout(start, plan)[:, -1], held)

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """`centred_cloud`: x_p - mean(x), (n, P, 3) of clouds (n, P, 3)."""
        return {"centred_cloud": observation - observation.mean(-2, keepdim=True)}

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """max |g x_t - x_t(g x_0, g a)| over the points and steps of random rollouts and their turned copies.

        Starts are scenes at Haar orientations, actions those of `transitions`, g a Haar rotation with a translation
        from N(0, 1). Rounding where `breaking` is 0, and of its order where it is not. Kinds: `central` where a point
        comes within 0.08 of the centroid, so near that the stretch of an action of norm 1 carries it across, where
        its direction u jumps: rounding is multiplied by 0.08 / |x~_p| at each such step. `free` are all others.

        Raises:
            DataError: `rollouts` or `steps` below 1, or a negative seed.
        """
        if rollouts < 1 or steps < 1:
            raise DataError(f"symmetry_residual: got {rollouts} rollouts of {steps} steps; expected >= 1.")
        rng = _generator(_RESIDUAL, seed)
        cloud = self.sample_scenes(rollouts, seed, "all")
        g = SE3.sample(rollouts, rng)
        copy = self.observation_rep.transform(cloud, g)
        residual, central = torch.zeros(rollouts, dtype=torch.float64), torch.zeros(rollouts, dtype=torch.bool)
        for _ in range(steps):
            central |= ((cloud - cloud.mean(-2, keepdim=True)).norm(dim=-1) < STRETCH).any(-1)
            action = self._sample_actions(rollouts, rng)
            cloud, copy = self.step(cloud, action), self.step(copy, self.action_rep.transform(action, g))
            difference = (self.observation_rep.transform(cloud, g) - copy).norm(dim=-1).amax(-1)
            residual = torch.maximum(residual, difference)
        of_kind = {"free": residual[~central], "central": residual[central]}
        return SymmetryResidual(
            unit="length",
            steps=steps,
            worst={kind: max(values.tolist(), default=0.0) for kind, values in of_kind.items()},
            rollouts={kind: len(values) for kind, values in of_kind.items()},
        )


def rigid_fit(cloud: Tensor, goal: Tensor) -> Elements:
    """The motion g = (R, t) of SE(3) that brings points nearest to others: argmin_g sum_p |R x_p + t - y_p|^2 (Kabsch).

    Args:
        cloud: (..., P, 3) points x.
        goal: (..., P, 3) the same points y where they should be.
    """
    cloud, goal = torch.broadcast_tensors(cloud, goal)
    means = cloud.mean(-2, keepdim=True), goal.mean(-2, keepdim=True)
    covariance = (goal - means[1]).transpose(-1, -2) @ (cloud - means[0])
    left, _, right = torch.linalg.svd(covariance)
    sign = torch.ones_like(covariance[..., 0])
    sign[..., 2] = torch.linalg.det(left @ right).sign()  # without it the best fit may be a reflection
    rotation = (left * sign[..., None, :]) @ right
    shift = means[1] - means[0] @ rotation.transpose(-1, -2)
    return SE3.elements(rotation, shift[..., 0, :])


def pose_error(cloud: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """How far a cloud is from its goal as a pose: angle of the best rotation (`rigid_fit`), and centroids' distance.

    Args:
        cloud: (..., P, 3) points x.
        goal: (..., P, 3) the same points y where they should be.

    Returns:
        (...) angle in degrees in [0, 180], and (...) distance.
    """
    return rigid_fit(cloud, goal).angle_deg, (goal.mean(-2) - cloud.mean(-2)).norm(dim=-1)


def _generator(stream: int, seed: int) -> np.random.Generator:
    if seed < 0:
        raise DataError(f"seed: got {seed}, expected an integer of at least 0.")
    return np.random.default_rng([stream, seed])
