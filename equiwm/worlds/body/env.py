"""The body world as a Gymnasium environment: bring a rigid body to a pose by force, torque and contact."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from torch import Tensor

from equiwm.errors import DataError, nearest
from equiwm.worlds.body.config import BodyConfig
from equiwm.worlds.body.physics import BodyPhysics
from equiwm.worlds.body.world import CHANNELS, Body
from equiwm.worlds.cloud.env import PointGoalEnv
from equiwm.worlds.world import Orientations


class BodyEnv(PointGoalEnv):
    """Bring the body's 12 points to their goal. `gymnasium.make("equiwm.worlds:equiwm/Body-v0")`.

    Observation: (17, 3) float64, as `Body`'s. Action: (3, 3), force, torque and pusher velocity, each of the unit ball.
    The goal is the start's points moved rigidly (`Body.tasks`). The option `state` of `reset` is a state (STATE_SIZE,)
    of `body_physics`.

    `info` also holds `state` (STATE_SIZE,) and `touched`: whether body and pusher touched in the last step.

    Args:
        cone: friction cone, as in `BodyConfig`.

    Raises:
        DataError: an unknown cone.
        MissingExtraError: MuJoCo is not installed.
    """

    def __init__(self, cone: Literal["elliptic", "pyramidal"] = "elliptic") -> None:
        if cone not in ("elliptic", "pyramidal"):
            raise DataError(f"unknown cone '{cone}': {nearest(str(cone), ('elliptic', 'pyramidal'))}")
        self.world = Body(BodyConfig(cone=cone))
        super().__init__((CHANNELS, 3), (3, 3))
        self._physics = BodyPhysics(cone)  # its own: the world's is reset by whoever simulates with it
        self._touched = False

    def _task(self, seed: int, orientations: Orientations) -> tuple[np.ndarray, Tensor]:
        task = self.world.tasks(1, seed=seed, orientations=orientations)
        return task.start[0], task.goal[0]

    def _place(self, start: Any) -> None:
        self._physics.reset(start)
        self._touched = False

    def _advance(self, action: Tensor) -> None:
        self._touched = self._physics.act(action.numpy())

    def _observe(self) -> Tensor:
        return self.world.observe(self._physics.state)

    def _info(self, goal: Tensor) -> dict[str, Any]:
        return {**super()._info(goal), "state": self._physics.state, "touched": self._touched}
