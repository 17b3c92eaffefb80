"""The spring world with something to do: tasks, pose errors and frames of its own."""

import torch
from spring import Spring
from torch import Tensor

from equiwm.planning.frames import Frames, planar_frames
from equiwm.planning.task import Criterion, Tasks
from equiwm.symmetry.fit import pose_error
from equiwm.worlds.draws import generator
from equiwm.worlds.scene_control import SceneControl


class SpringControl(SceneControl):
    """Bring the masses where a random push of both ends, ever weaker, brings them."""

    criterion = Criterion(angle_deg=10.0, distance=0.2, unit="length", degrees=50.0, scored="final")

    def tasks(self, n: int, seed: int) -> Tasks:
        world = self.world
        start = world.transitions(4 * n, seed=seed).observation[::4]
        pushes = torch.stack([torch.from_numpy(generator(9, k, seed=seed).normal(size=(2, 2))) for k in range(n)])
        fading = torch.linspace(1.0, 0.0, 12, dtype=torch.float64)[:, None, None]
        plan = fading * (pushes / pushes.norm(dim=-1, keepdim=True))[:, None]
        return Tasks(start, world.roll(start, plan)[:, -1], plan)

    def pose_error(self, observation: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        return pose_error(self.points(observation), self.points(goal))

    def frames(self, observation: Tensor) -> Frames:
        return planar_frames(observation[:, 0] - self.points(observation).mean(-2))


class ControlledSpring(Spring):
    def control(self, observations: Tensor) -> SpringControl:
        return SpringControl(self, observations)
