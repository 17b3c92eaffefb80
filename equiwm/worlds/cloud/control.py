"""The point-cloud world in closed loop."""

from __future__ import annotations

from torch import Tensor

from equiwm.planning.costs import CentroidGoal
from equiwm.planning.task import Controller, Criterion
from equiwm.worlds.cloud.physics import DRIFT, SUCCESS_DEG, SUCCESS_DISTANCE
from equiwm.worlds.scene_control import SceneControl

POINT_CRITERION = Criterion(
    angle_deg=SUCCESS_DEG,
    distance=SUCCESS_DISTANCE,
    unit="length",
    degrees=SUCCESS_DEG / SUCCESS_DISTANCE,
    scored="final",
)
"""15 degrees of the best rotation (Kabsch) and 0.1 between the centroids, of the final pose, as the paper scores it."""


class CloudControl(SceneControl):
    """Tasks of `Cloud.tasks`: the cloud that a held action leads to. The centroid drifts by 0.15 f in a step."""

    criterion = POINT_CRITERION
    references: tuple[Controller, ...] = ("centroid", "dynamics", "replay")

    def centroid_term(self, observation: Tensor, goal: Tensor, *, weight: float, horizon: int) -> CentroidGoal:
        return CentroidGoal(observation.mean(-2), goal.mean(-2), weight=weight, drift=DRIFT)
