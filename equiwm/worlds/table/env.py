"""The table as a Gymnasium environment: push the T to a pose."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import DataError, nearest
from equiwm.worlds.cloud.env import PointGoalEnv
from equiwm.worlds.table.config import TableConfig
from equiwm.worlds.table.control import SUCCESS_DEG, SUCCESS_DISTANCE
from equiwm.worlds.table.observation import WIDTH, observe, state_of
from equiwm.worlds.table.physics import TablePhysics, outline
from equiwm.worlds.table.world import Table
from equiwm.worlds.world import Orientations


class TableEnv(PointGoalEnv):
    """Push the T to its goal. `gymnasium.make("equiwm.worlds:equiwm/Table-v0")`.

    Observation: (27,) float64, as `Table`'s. Action: (2,), of the unit disk; a longer one is scaled to norm 1. The goal
    is an observation (27,), of which the T's pose counts. Reward: minus the RMS distance (m) of the eight upper corners
    of bar and stem from where they should be. An episode ends when the pose is reached: 15 degrees and 3 cm.

    `info` holds `goal` (27,), `state` (STATE_SIZE,), `touching` (what is in contact), `distance` (the RMS distance),
    `angle_deg`, `centre_distance` and `is_success`. The option `state` of `reset` is a state of
    `equiwm.worlds.table.physics`.

    Args:
        cone: friction cone, as in `TableConfig`.

    Raises:
        DataError: an unknown cone.
        MissingExtraError: MuJoCo is not installed.
    """

    def __init__(self, cone: Literal["elliptic", "pyramidal"] = "elliptic") -> None:
        if cone not in ("elliptic", "pyramidal"):
            raise DataError(f"unknown cone '{cone}': {nearest(str(cone), ('elliptic', 'pyramidal'))}")
        config = TableConfig(cone=cone)
        self.world = Table(config)
        super().__init__((WIDTH,), (2,))
        self._control = self.world.control(torch.empty(0, WIDTH))
        self._physics = TablePhysics(config)  # its own: the world's is reset by whoever simulates with it

    def _task(self, seed: int, orientations: Orientations) -> tuple[np.ndarray, Tensor]:
        task = self.world.tasks(1, seed=seed, orientations=orientations)
        return task.start[0], task.goal[0]

    def _place(self, start: Any) -> None:
        self._physics.reset(start)

    def _advance(self, action: Tensor) -> None:
        self._physics.act(action.numpy())

    def _observe(self) -> Tensor:
        return observe(self._physics.state)

    def _info(self, goal: Tensor) -> dict[str, Any]:
        state = self._physics.state
        angle, distance = (float(error) for error in self._control.pose_error(observe(state), goal))
        apart = outline(state) - outline(state_of(goal))
        return {
            "goal": goal.numpy().copy(),
            "state": state,
            "touching": self._physics.touching,
            "distance": float(np.sqrt(np.square(apart).sum(-1).mean())),
            "angle_deg": angle,
            "centre_distance": distance,
            "is_success": angle < SUCCESS_DEG and distance < SUCCESS_DISTANCE,
        }
