"""The rigid body of MuJoCo in closed loop: one simulator an episode."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from equiwm.planning.costs import CentroidGoal
from equiwm.planning.frames import CloudFrames, Frames
from equiwm.planning.task import ControlTask, Simulation, Tasks
from equiwm.symmetry.fit import pose_error, rigid_fit
from equiwm.symmetry.groups import Elements
from equiwm.worlds.body.physics import CONTROL_PERIOD, DAMPING, FORCE, MASS, POINTS, BodyPhysics, turn
from equiwm.worlds.scene_control import POINT_CRITERION

if TYPE_CHECKING:
    from equiwm.worlds.body.world import Body


class BodySimulation(Simulation):
    """n episodes in MuJoCo; contact is inside the symmetry (elliptic cone)."""

    def __init__(self, world: Body, start: np.ndarray) -> None:
        super().__init__(world.observe(start))
        self._world = world
        self._physics = [BodyPhysics(world.config.cone) for _ in start]
        for physics, state in zip(self._physics, start, strict=True):
            physics.reset(state)

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        self._physics[k].act(action.numpy())
        return self._world.observe(self._physics[k].state), None


class BodyControl(ControlTask):
    """Tasks of `Body.tasks`: the body's points after a rigid motion.

    The goal's observation is the start's scene under that motion, at rest: a latent has to show the pusher and the
    velocities too, and this choice for them turns with the scene.

    Args:
        world: the world.
        observations: (n, C, 3) training observations, whose body points give the frames.
    """

    criterion = POINT_CRITERION
    parts = (*("body",) * POINTS, "pusher")

    def __init__(self, world: Body, observations: Tensor) -> None:
        self.world = world
        self._frames = CloudFrames.fit(observations[:, :POINTS])

    def tasks(self, n: int, seed: int) -> Tasks:
        tasks = self.world.tasks(n, seed=seed)
        start = self.world.observe(tasks.start)
        goal = self.world.observation_rep.transform(start, rigid_fit(start[:, :POINTS], tasks.goal))
        goal[:, POINTS + 1 :] = 0.0  # velocities
        return Tasks(tasks.start, goal)

    def turned(self, tasks: Tasks, g: Elements) -> Tasks:
        return Tasks(turn(tasks.start, g), self.world.observation_rep.transform(tasks.goal, g))

    def begin(self, tasks: Tasks) -> BodySimulation:
        return BodySimulation(self.world, tasks.start)

    def pose_error(self, observation: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        return pose_error(observation[..., :POINTS, :], goal[..., :POINTS, :])

    def frames(self, observation: Tensor) -> Frames:
        return self._frames(observation[:, :POINTS])

    def track(self, observation: Tensor) -> Tensor:
        """The body's points, and the pusher."""
        return observation[..., : POINTS + 1, :]

    def centroid_term(self, observation: Tensor, goal: Tensor, *, weight: float, horizon: int) -> CentroidGoal:
        """A body of mass m under force F f and drag c v, without contact and spin: v' = (F f - c v) / m.

        With tau = m / c, a velocity v carries it c_0 = tau (1 - e^(-T/tau)) v, a force that ends k steps before T
        F / c (dt - tau e^(-k dt/tau) (1 - e^(-dt/tau))) f.
        """
        tau = MASS / DAMPING
        lasting = tau * (1.0 - math.exp(-horizon * CONTROL_PERIOD / tau))
        velocity = observation[:, POINTS + 1 : -1].mean(-2)  # of the points observed, spread over the body
        before = CONTROL_PERIOD * torch.arange(horizon - 1, -1, -1, dtype=torch.float64)
        reach = CONTROL_PERIOD - tau * (-before / tau).exp() * (1.0 - math.exp(-CONTROL_PERIOD / tau))
        start = observation[:, :POINTS].mean(-2) + lasting * velocity
        return CentroidGoal(start, goal[:, :POINTS].mean(-2), weight=weight, drift=FORCE / DAMPING * reach)
