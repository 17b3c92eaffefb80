"""The table in closed loop: push tasks, one simulator an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from equiwm.planning.costs import PoseGoal
from equiwm.planning.frames import Frames, planar_frames
from equiwm.planning.task import ControlTask, Criterion, Simulation, Tasks
from equiwm.symmetry.groups import Elements
from equiwm.worlds.table.observation import BODY, HAND, MARK, STEM, observe, state_of, vectors_of
from equiwm.worlds.table.physics import TablePhysics, outline, turn

if TYPE_CHECKING:
    from equiwm.worlds.table.world import Table

SUCCESS_DEG, SUCCESS_DISTANCE = 15.0, 0.03
"""Largest angle and distance (m) of a pose that counts as reached."""


class TableSimulation(Simulation):
    """n episodes in MuJoCo; the table has no rim, and contact is inside the symmetry (elliptic cone)."""

    def __init__(self, world: Table, start: np.ndarray) -> None:
        super().__init__(observe(start))
        self._physics = [TablePhysics(world.config) for _ in start]
        for physics, state in zip(self._physics, start, strict=True):
            physics.reset(state)

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        self._physics[k].act(action.flatten().numpy())
        return observe(self._physics[k].state), None


@dataclass(frozen=True, eq=False)
class TaggedPose(PoseGoal):
    """`PoseGoal` of a latent that does not say where the scene is: positions are those from the tag.

    The latent is the state, its points less their mean, flat: a trajectory (t, H, 27, 1, N).
    """

    channels: tuple[int, int, int] = (0, 1, 2)

    def score(self, trajectory: Tensor, actions: Tensor, tasks: slice) -> Tensor:
        channels = vectors_of(trajectory.squeeze(3).movedim(2, -1)).movedim((-2, -1), (2, 3))
        places = channels[:, :, [HAND, BODY]] - channels[:, :, [MARK]]
        return super().score(torch.cat([places, channels[:, :, [STEM]]], 2), actions, tasks)


class TableControl(ControlTask):
    """Push tasks of `Table.tasks`; the pose is that of the T: its centre of mass (m) and the axis of its stem.

    Only the T's pose is asked for. A latent goal has to show a pusher all the same: it is where the motion that brings
    the T to its goal takes it, a choice that turns with the scene.

    The pose scored is the final one; the criterion is 15 degrees and 3 cm.

    Args:
        world: the world.
    """

    criterion = Criterion(
        angle_deg=SUCCESS_DEG,
        distance=SUCCESS_DISTANCE,
        unit="m",
        degrees=SUCCESS_DEG / SUCCESS_DISTANCE,
        scored="final",
    )
    parts = ("pusher", *("bar",) * 4, *("stem",) * 4)

    def __init__(self, world: Table) -> None:
        self.world = world

    def tasks(self, n: int, seed: int) -> Tasks:
        return self.world.tasks(n, seed=seed)

    def turned(self, tasks: Tasks, g: Elements) -> Tasks:
        return Tasks(turn(tasks.start, g), self.world.observation_rep.transform(tasks.goal, g))

    def begin(self, tasks: Tasks) -> TableSimulation:
        return TableSimulation(self.world, tasks.start)

    def pose_error(self, observation: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        seen, wanted = vectors_of(observation), vectors_of(goal)
        here, there = torch.broadcast_tensors(seen[..., STEM, :], wanted[..., STEM, :])
        angle = torch.atan2(torch.linalg.cross(here, there).norm(dim=-1), (here * there).sum(-1)).rad2deg()
        return angle, (seen[..., BODY, :] - wanted[..., BODY, :]).norm(dim=-1)

    def frames(self, observation: Tensor) -> Frames:
        """The axes of the stem in the plane, and the vertical: a frame that turns with the scene about it."""
        plane = planar_frames(vectors_of(observation)[:, STEM, :2])
        axes = torch.nn.functional.pad(plane.axes, (0, 1, 0, 1))
        axes[:, 2, 2] = 1.0
        return Frames(axes, plane.degenerate)

    def track(self, observation: Tensor) -> Tensor:
        """The pusher, and the upper corners of the T's bar and stem, m."""
        corners = torch.from_numpy(outline(state_of(observation)))
        return torch.cat([vectors_of(observation)[..., [HAND], :], corners], -2)

    def pose_term(self, goal: Tensor, *, running: float, approach: float, weight: float) -> PoseGoal:
        wanted = vectors_of(goal)
        return TaggedPose(
            wanted[:, BODY] - wanted[:, MARK],
            wanted[:, STEM],
            running=running,
            approach=approach,
            weight=weight,
        )
