"""The point-cloud world: drift, torque and stretch of an anisotropic cloud, exactly SE(3)-equivariant, batched."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import as_finite, at_least_one
from equiwm.symmetry.coverage import Arc, Coverage
from equiwm.symmetry.groups import SE3, Elements
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.cloud.control import CloudControl
from equiwm.worlds.cloud.physics import STRETCH, advance
from equiwm.worlds.draws import Orientations, generator, orientations_of, place
from equiwm.worlds.scenes import TASK_NORM, TaskScenes
from equiwm.worlds.world import Progress, Sequences, SymmetryResidual, Transitions

ACTION_SIGMA = 0.6
TASK_STEPS = 12  # steps of the plan that reaches the goal of a task
_TEMPLATE_SCALES = (1.0, 0.55, 0.3)
_TEMPLATE_SEED = 2606
_JITTER, _LOWEST_SCALE, _HIGHEST_SCALE = 0.04, 0.85, 1.15
_SCENES, _SCALES, _ACTIONS, _TASK_DIRECTIONS, _TASK_NORMS, _RESIDUAL, _PLANS = range(
    7
)  # streams of random numbers that never meet


class Cloud(TaskScenes):
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
    task_steps = TASK_STEPS
    Config = CloudConfig

    def __init__(self, config: CloudConfig | None = None) -> None:
        self.config = config or CloudConfig()
        self.equivariant = self.config.breaking == 0.0
        self.coverage: Coverage = Arc(*self.config.wedge, d=3)
        self.observation_rep = Rep(((self.config.points, "p"),), 3)
        self.action_rep = vectors(1 if self.config.action == "coupled" else 2, 3)
        template = np.random.default_rng(_TEMPLATE_SEED).normal(size=(self.config.points, 3)) * _TEMPLATE_SCALES
        self._template = template - template.mean(0)

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
        points, action = self.check_observation(observation), self.check_action(action)
        pair = action[..., None, :].expand(*action.shape[:-1], 2, 3) if self.config.action == "coupled" else action
        return advance(points, pair[..., :1, :], pair[..., 1:, :], breaking=self.config.breaking)

    def rollout(self, observation: Tensor, actions: Tensor) -> Tensor:
        """Clouds (..., H + 1, P, 3) of the plans `actions` (..., H, 3) or (..., H, 2, 3), the start included.

        Raises:
            DataError: as `step`.
        """
        clouds = [self.check_observation(observation)]
        for action in actions.unbind(-1 - len(self.action_shape)):
            clouds.append(self.step(clouds[-1], action))
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
        at_least_one("scenes", n=n)
        return self.observation_rep.transform(self.starts(n, seed), self.turns(n, seed, orientations))

    def _numbers(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Normal (n, 3 P + 4) and uniform (n, 4) numbers, one row a scene: it does not depend on how many there are."""
        normal = generator(_SCENES, seed=seed).normal(size=(n, 3 * self.config.points + 4))
        return normal, generator(_SCALES, seed=seed).random((n, 4))

    def starts(self, n: int, seed: int) -> Tensor:
        normal, uniform = self._numbers(n, seed)
        jitter = _JITTER * normal[:, :-4].reshape(n, self.config.points, 3)
        scales = _LOWEST_SCALE + (_HIGHEST_SCALE - _LOWEST_SCALE) * uniform[:, None, :3]
        return torch.from_numpy(scales * (self._template + jitter))

    def turns(self, n: int, seed: int, orientations: Orientations) -> Elements:
        normal, uniform = self._numbers(n, seed)
        return place(orientations_of(self.coverage, orientations, self.group), uniform[:, 3], normal[:, -4:])

    def _sample_actions(self, n: int, rng: np.random.Generator) -> Tensor:
        """(n, *action_shape) from N(0, 0.6^2), clipped to [-1, 1]: the clip alone depends on the axes."""
        actions = rng.normal(0.0, ACTION_SIGMA, (n, *self.action_shape))
        return torch.from_numpy(np.clip(actions, -1.0, 1.0))

    def plans(self, n: int, horizon: int, seed: int) -> Tensor:
        """Actions of `transitions` for whole sequences, as they are at seen orientations."""
        return torch.stack([self._sample_actions(horizon, generator(_PLANS, k, seed=seed)) for k in range(n)])

    def turned_plans(self, plans: Tensor, turns: Elements, seed: int, orientations: Orientations) -> Tensor:
        """At `all` and `unseen` orientations the actions of `seen`, turned with their scenes: h a where h g x_0 stands
        in place of g x_0, with g in the wedge and h g from Haar's measure."""
        if orientations == "seen":
            return plans
        return self.action_rep.transform(plans, (turns @ self.turns(len(turns), seed, "seen").inverse())[:, None])

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions, each from a scene of its own; the first m of them are those of `transitions(m)`.

        Actions are the paper's, N(0, 0.6^2) clipped to [-1, 1] coordinate by coordinate, which makes the data, not
        the world, slightly anisotropic. At `all` and `unseen` they are those of `seen`, turned with their scenes.

        Raises:
            DataError: as `sample_scenes`.
        """
        at_least_one("transitions", n=n)
        plans = self._sample_actions(n, generator(_ACTIONS, seed=seed))[:, None]
        data = self.collect(n, plans, seed, orientations, progress)
        return Transitions(data.observations[:, 0], data.actions[:, 0], data.observations[:, 1], episode=data.episode)

    def held_actions(self, n: int, seed: int) -> Tensor:
        """Held actions of tasks: their norm is uniform in [0.3, 1), a turn by 31 to 103 degrees; force and torque,
        where there are both, draw norm and direction each. A rigid motion of the start would in general be out of
        reach, for the stretch deforms the cloud."""
        directions = generator(_TASK_DIRECTIONS, seed=seed).normal(size=(n, *self.action_shape))
        norms = generator(_TASK_NORMS, seed=seed).uniform(*TASK_NORM, (n, *self.action_shape[:-1], 1))
        return torch.from_numpy(norms * directions / np.linalg.norm(directions, axis=-1, keepdims=True))

    def control(self, observations: Tensor) -> CloudControl:
        """The tasks in closed loop."""
        return CloudControl(self, observations)

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
        at_least_one("symmetry_residual", rollouts=rollouts, steps=steps)
        rng = generator(_RESIDUAL, seed=seed)
        start = self.sample_scenes(rollouts, seed, "all")
        g = SE3.sample(rollouts, rng)
        plans = torch.stack([self._sample_actions(rollouts, rng) for _ in range(steps)], 1)
        clouds = self.roll(start, plans)
        residual = self.residuals(Sequences(clouds, plans, episode=torch.arange(rollouts)), g)
        centred = clouds - clouds.mean(-2, keepdim=True)
        central = (centred[:, :-1].norm(dim=-1) < STRETCH).any(-1).any(-1)
        of_kind = {"free": residual[~central], "central": residual[central]}
        return SymmetryResidual(
            unit=self.unit,
            steps=steps,
            worst={kind: max(values.tolist(), default=0.0) for kind, values in of_kind.items()},
            rollouts={kind: len(values) for kind, values in of_kind.items()},
        )
