"""What a planner reads off observations: of a world's tasks the part that its plans need."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from equiwm.planning.costs import CentroidGoal, Term
from equiwm.planning.frames import Frames


class PlannerView(Protocol):
    """A `planning.task.ControlTask`, or what an export has kept of one. All of it turns with the scene."""

    def frames(self, observation: Tensor) -> Frames:
        """As of `ControlTask`."""
        ...

    def physical(self, actions: Tensor) -> Tensor:
        """As of `ControlTask`."""
        ...

    def keypoint_term(self, goal: Tensor, *, running: float, approach: float, passing: bool) -> Term | None:
        """As of `ControlTask`."""
        ...

    def pose_term(self, goal: Tensor, *, running: float, approach: float, weight: float) -> Term | None:
        """As of `ControlTask`."""
        ...

    def centroid_term(self, observation: Tensor, goal: Tensor, *, weight: float, horizon: int) -> CentroidGoal | None:
        """As of `ControlTask`."""
        ...
