"""The point-cloud world in closed loop."""

from __future__ import annotations

from torch import Tensor

from equiwm.planning.arena import Arena, Criterion, Simulation, Tasks
from equiwm.planning.costs import CentroidGoal
from equiwm.planning.frames import CloudFrames, Frames
from equiwm.symmetry.groups import Elements
from equiwm.worlds.cloud.env import SUCCESS_DEG, SUCCESS_DISTANCE
from equiwm.worlds.cloud.world import DRIFT, Cloud, pose_error

POINT_CRITERION = Criterion(
    angle_deg=SUCCESS_DEG,
    distance=SUCCESS_DISTANCE,
    unit="length",
    degrees=SUCCESS_DEG / SUCCESS_DISTANCE,
    scored="final",
)
"""15 degrees of the best rotation (Kabsch) and 0.1 between the centroids, of the final pose, as the paper scores it."""


class CloudSimulation(Simulation):
    """n clouds; no step of this world is outside its symmetry."""

    def __init__(self, world: Cloud, start: Tensor) -> None:
        super().__init__(start)
        self._world = world

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        return self._world.step(self.observation[k], action.reshape(self._world.action_shape)), None


class CloudArena(Arena):
    """Tasks of `Cloud.tasks`: the cloud that a held action leads to.

    Args:
        world: the world.
        clouds: (n, P, 3) training clouds, whose mean Gram matrix gives the frames.
    """

    criterion = POINT_CRITERION

    def __init__(self, world: Cloud, clouds: Tensor) -> None:
        self.world = world
        self.parts = ("cloud",) * world.config.points
        self._frames = CloudFrames.fit(clouds)

    def tasks(self, n: int, seed: int) -> Tasks:
        tasks = self.world.tasks(n, seed=seed)
        return Tasks(tasks.start, tasks.goal)

    def turned(self, tasks: Tasks, g: Elements) -> Tasks:
        rep = self.world.observation_rep
        return Tasks(rep.transform(tasks.start, g), rep.transform(tasks.goal, g))

    def begin(self, tasks: Tasks) -> CloudSimulation:
        return CloudSimulation(self.world, tasks.start)

    def pose_error(self, observation: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        return pose_error(observation, goal)

    def frames(self, observation: Tensor) -> Frames:
        return self._frames(observation)

    def track(self, observation: Tensor) -> Tensor:
        """The points."""
        return observation

    def centroid_term(self, observation: Tensor, goal: Tensor, *, weight: float, horizon: int) -> CentroidGoal:
        return CentroidGoal(observation.mean(-2), goal.mean(-2), weight=weight, drift=DRIFT)
