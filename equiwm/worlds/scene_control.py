"""Closed loop in a world of scenes: tasks that held actions lead to, poses by the best rotation of its points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from equiwm.errors import DataError
from equiwm.planning.frames import CloudFrames, Frames
from equiwm.planning.task import Controller, ControlTask, Criterion, Simulation, Tasks
from equiwm.symmetry.fit import pose_error
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import World, action_shape

if TYPE_CHECKING:
    from equiwm.worlds.scenes import TaskScenes

SUCCESS_DEG, SUCCESS_DISTANCE = 15.0, 0.1
"""Largest angle and centroid distance of a pose that counts as reached."""

POINT_CRITERION = Criterion(
    angle_deg=SUCCESS_DEG,
    distance=SUCCESS_DISTANCE,
    unit="length",
    degrees=SUCCESS_DEG / SUCCESS_DISTANCE,
    scored="final",
)
"""15 degrees of the best rotation (Kabsch) and 0.1 between the centroids, of the final pose, as the paper scores it."""


def stored(actions: Tensor, rep: Rep) -> Tensor:
    """Actions (..., A, d) as data have them: (..., d) for one vector, else (..., A, d)."""
    return actions.reshape(*actions.shape[:-2], *action_shape(rep))


def turned_actions(actions: Tensor, rep: Rep, g: Elements) -> Tensor:
    """Actions (n, S, A, d) of n tasks, moved by g: element k for task k."""
    return rep.transform(actions.flatten(-2), g[:, None]).unflatten(-1, actions.shape[-2:])


class SceneSimulation(Simulation):
    """n episodes of a world that is stepped from what is observed; no step is outside its symmetry."""

    def __init__(self, world: World, start: Tensor) -> None:
        super().__init__(start)
        self._world = world

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        return self._world.step(self.observation[k : k + 1], stored(action, self._world.action_rep)[None])[0], None


class SceneControl(ControlTask):
    """The tasks of a scene world: the scene that a held action leads to.

    The pose is that of the world's points, or, where it has none, of its vectors: the best rotation between
    observation and goal, and the distance of the centroids. A pose counts as reached within 15 degrees and 0.1. A
    subclass changes what its world has otherwise: `points`, `tasks`, `pose_error`, `frames`, `criterion`.

    Args:
        world: the world.
        observations: (n, C, d) of its training, on which frames are fitted.
    """

    criterion = POINT_CRITERION
    references: tuple[Controller, ...] = ("dynamics", "replay")

    def __init__(self, world: TaskScenes, observations: Tensor) -> None:
        self.world = world
        self._channels = _body(world.observation_rep)
        self._frames = CloudFrames.fit(self.points(observations))
        self.parts = (type(world).__name__.lower(),) * self.points(observations).shape[-2]

    def points(self, observation: Tensor) -> Tensor:
        """The channels (..., K, d) of an observation (..., C, d) that show the body's pose."""
        return observation if self._channels is None else observation[..., self._channels, :]

    def tasks(self, n: int, seed: int) -> Tasks:
        return self.world.tasks(n, seed=seed)

    def turned(self, tasks: Tasks, g: Elements) -> Tasks:
        rep = self.world.observation_rep
        actions = None if tasks.actions is None else turned_actions(tasks.actions, self.world.action_rep, g)
        return Tasks(rep.transform(tasks.start, g), rep.transform(tasks.goal, g), actions)

    def begin(self, tasks: Tasks) -> Simulation:
        return SceneSimulation(self.world, tasks.start)

    def pose_error(self, observation: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        return pose_error(self.points(observation), self.points(goal))

    def frames(self, observation: Tensor) -> Frames:
        return self._frames(self.points(observation))

    def track(self, observation: Tensor) -> Tensor:
        """The points of the pose."""
        return self.points(observation)

    def simulate(self, observation: Tensor, actions: Tensor) -> Tensor:
        """What the world itself makes of plans, see `ControlTask.simulate`."""
        tasks, samples = actions.shape[:2]
        start = observation[:, None].expand(-1, samples, -1, -1).flatten(0, 1)
        plans = stored(actions.flatten(0, 1), self.world.action_rep)
        return self.world.roll(start, plans)[:, 1:].unflatten(0, (tasks, samples))


def _body(rep: Rep) -> list[int] | None:
    """The channels of the points, where there are enough of them for a pose; None for all channels.

    Raises:
        DataError: too few channels for a pose.
    """
    kinds = [kind for count, kind in rep.terms for _ in range(count)]
    points = [channel for channel, kind in enumerate(kinds) if kind.translates]
    if len(points) < rep.d and len(kinds) < rep.d:
        raise DataError(f"no pose shows in rep {rep} in {rep.d}D: give the world a `control` of its own.")
    if len(points) < rep.d or len(points) == len(kinds):
        return None
    return points
