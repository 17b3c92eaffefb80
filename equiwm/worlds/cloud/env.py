"""Point worlds as Gymnasium environments: bring points to where they should be."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from equiwm.checks import as_finite
from equiwm.errors import DataError, nearest
from equiwm.symmetry.fit import pose_error
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.scene_control import SUCCESS_DEG, SUCCESS_DISTANCE
from equiwm.worlds.world import Orientations


class PointGoalEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Bring points x_p to a goal y_p. Reward: -sqrt(mean_p |x_p - y_p|^2), minus the RMS distance, at most 0.

    An action is one or more vectors of the unit ball; each that is longer is scaled to norm 1, which commutes with
    rotations as clipping would not. An episode ends when the goal's pose is reached: the best rotation
    (Kabsch) within 15 degrees and the centroids within 0.1.

    `info` holds `goal` (P, 3), `distance` (the RMS distance), `angle_deg`, `centroid_distance` and `is_success`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own annotation

    def __init__(self, observation_shape: tuple[int, ...], action_shape: tuple[int, ...]) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, observation_shape, np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, action_shape, np.float64)
        self._action_shape = action_shape
        self._goal: Tensor | None = None  # none before the first reset

    @abstractmethod
    def _task(self, seed: int, orientations: Orientations) -> tuple[object, Tensor]:
        """Start, as `_place` takes it, and goal (P, 3) of a random task."""

    @abstractmethod
    def _place(self, start: object) -> None:
        """Start exactly there. Raises DataError where it is no start."""

    @abstractmethod
    def _advance(self, action: Tensor) -> None:
        """One control step."""

    @abstractmethod
    def _observe(self) -> Tensor:
        """What is observed now; the points that have a goal come first."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a random task of the world's `tasks`, or what `options` ask for.

        Args:
            seed: seeds the random tasks of this and the following episodes.
            options: `orientations` of the random task (`all`, the default, or `seen`: the wedge); `state` to start in
                exactly; `goal` (P, 3). A row of the world's `tasks` gives both (`start`, `goal`); what is not given
                comes from the random task.

        Raises:
            DataError: an unknown option, or one that is not what is said above.
        """
        super().reset(seed=seed)
        options = options or {}
        known = ("orientations", "state", "goal")
        for key in options:
            if key not in known:
                raise DataError(f"unknown option '{key}' of reset: {nearest(str(key), known)}")
        start, goal = self._task(int(self.np_random.integers(2**31)), options.get("orientations", "all"))
        self._place(options.get("state", start))
        self._goal = as_finite(options.get("goal", goal), tuple(goal.shape), "goal", single=True)
        return self._observe().numpy().copy(), self._info(self._goal)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step.

        Raises:
            DataError: an action that is not finite numbers of the action space's shape.
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        if self._goal is None:
            raise gymnasium.error.ResetNeeded("call reset() before step().")
        vectors = as_finite(action, self._action_shape, "action", single=True)
        self._advance(vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1.0))
        info = self._info(self._goal)
        return self._observe().numpy().copy(), -info["distance"], info["is_success"], False, info

    def _info(self, goal: Tensor) -> dict[str, Any]:
        points = self._observe()[: len(goal)]
        angle, distance = (float(error) for error in pose_error(points, goal))
        return {
            "goal": goal.numpy().copy(),
            "distance": float((points - goal).square().sum(-1).mean().sqrt()),
            "angle_deg": angle,
            "centroid_distance": distance,
            "is_success": angle < SUCCESS_DEG and distance < SUCCESS_DISTANCE,
        }


class CloudEnv(PointGoalEnv):
    """Bring a cloud to its goal. `gymnasium.make("equiwm.worlds:equiwm/Cloud-v0")`.

    Observation: (P, 3) float64, the points. Action: (3,), or (2, 3) force and torque, of the unit ball. The goal is
    the cloud that some held action reaches in `TASK_STEPS` steps (`Cloud.tasks`), stretched as it is then. The option
    `state` of `reset` is a cloud (P, 3).

    Args:
        action: `coupled` or `separate`, as in `CloudConfig`.
        points: points of a cloud, at least 4.

    Raises:
        DataError: an unknown kind of action, or fewer points.
    """

    def __init__(self, action: Literal["coupled", "separate"] = "coupled", points: int = 24) -> None:
        if action not in ("coupled", "separate"):
            raise DataError(f"unknown action '{action}': {nearest(str(action), ('coupled', 'separate'))}")
        if points < 4:
            raise DataError(f"points: got {points}, expected at least 4.")
        self.world = Cloud(CloudConfig(action=action, points=points))
        super().__init__((points, 3), self.world.action_shape)
        self._cloud = torch.empty(0, 3)

    def _task(self, seed: int, orientations: Orientations) -> tuple[Tensor, Tensor]:
        task = self.world.tasks(1, seed=seed, orientations=orientations)
        return task.start[0], task.goal[0]

    def _place(self, start: object) -> None:
        self._cloud = as_finite(start, (self.world.config.points, 3), "state", single=True)

    def _advance(self, action: Tensor) -> None:
        self._cloud = self.world.step(self._cloud, action)

    def _observe(self) -> Tensor:
        return self._cloud
