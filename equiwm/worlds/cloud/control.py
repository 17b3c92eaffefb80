"""The point-cloud world in closed loop."""

from __future__ import annotations

from torch import Tensor

from equiwm.planning.costs import CentroidGoal
from equiwm.planning.task import Controller
from equiwm.worlds.cloud.physics import DRIFT
from equiwm.worlds.scene_control import SceneControl


class CloudControl(SceneControl):
    """Tasks of `Cloud.tasks`: the cloud that a held action leads to. The centroid drifts by 0.15 f in a step."""

    references: tuple[Controller, ...] = ("centroid", "dynamics", "replay")

    def centroid_term(self, observation: Tensor, goal: Tensor, *, weight: float, horizon: int) -> CentroidGoal:
        return CentroidGoal(observation.mean(-2), goal.mean(-2), weight=weight, drift=DRIFT)
