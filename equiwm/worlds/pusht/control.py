"""PushT in closed loop: gym-pusht's own physics, one simulator an episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from equiwm.planning.costs import PoseGoal
from equiwm.planning.frames import Frames, planar_frames
from equiwm.planning.keypoints import KeypointGoal
from equiwm.planning.task import ControlTask, Criterion, Simulation, Tasks
from equiwm.symmetry.groups import SO2, Elements
from equiwm.symmetry.reps import vectors
from equiwm.worlds.pusht.judges import ASKS, BLOCK_ALONE, COVERED, GYM, OURS, STABLE, WM_ANGLE, WM_DISTANCE, coverages
from equiwm.worlds.pusht.physics import (
    AGENT,
    ANGLE,
    AXIS_ANGLE,
    BLOCK,
    GUARD,
    POSITION_SCALE,
    PushTPhysics,
    agent_inside,
    block_inside,
    geometry,
    turn,
)

if TYPE_CHECKING:
    from equiwm.worlds.pusht.world import PushT


class PushTSimulation(Simulation):
    """n episodes of PushT. Those that touch a wall, or leave the guard, are excluded: walls break the symmetry."""

    def __init__(self, world: PushT, start: np.ndarray) -> None:
        super().__init__(world.observe(start))
        self._world = world
        self._physics = [PushTPhysics() for _ in start]
        for physics, state in zip(self._physics, start, strict=True):
            physics.reset(state)

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        physics = self._physics[k]
        physics.act(action[0].numpy())
        return self.seen(physics)

    def seen(self, physics: PushTPhysics) -> tuple[Tensor, str | None]:
        """What is observed now (C, d), and why the symmetry does not cover this episode, or None."""
        state = physics.state
        reason = None
        if physics.touched_wall or not block_inside(state):
            reason = GUARD["block"]
        elif not agent_inside(state):
            reason = GUARD["agent"]
        return self._world.observe(state), reason


class PushTControl(ControlTask):
    """Push tasks of `PushT.tasks`; the pose is the block's position (px) and direction.

    Only the block's pose is asked for. A latent goal has to show an agent all the same: it is where the rigid motion
    that brings the block to its goal takes it, a choice that turns with the scene.

    The pose scored is the best on the way by angle + 0.3 px, the paper's; the criterion is 18 degrees and 24 px.

    Args:
        world: the world.

    Attributes:
        goal_has_agent: whether the agent, too, has to be where the goal shows it.
    """

    criterion = Criterion(angle_deg=18.0, distance=24.0, unit="px", degrees=0.3, scored="best")
    parts = ("agent", *("bar",) * 4, *("stem",) * 4)
    goal_has_agent = False

    def __init__(self, world: PushT) -> None:
        self.world = world
        self._position, self._direction = (world.components[f"block_{part}"] for part in ("position", "direction"))
        # Corners of bar and stem in a frame whose x axis is the direction that is observed.
        angle = -AXIS_ANGLE[world.config.direction]
        cos, sin = np.cos(angle), np.sin(angle)
        self.asks = ASKS if self.goal_has_agent else {**ASKS, STABLE: BLOCK_ALONE}
        self._corners = torch.from_numpy(geometry().corners @ np.array([[cos, sin], [-sin, cos]]))

    def tasks(self, n: int, seed: int) -> Tasks:
        tasks = self.world.tasks(n, seed=seed)
        return self.towards(tasks.start, tasks.goal.copy())

    def towards(self, start: np.ndarray, goal: np.ndarray) -> Tasks:
        """Tasks from states to the block's pose in others, both (n, STATE_SIZE); the agent is put where the block's
        rigid motion takes it."""
        motion = SO2.rotation(np.rad2deg(goal[:, ANGLE] - start[:, ANGLE]))
        arm = torch.from_numpy(start[:, None, AGENT] - start[:, None, BLOCK])
        goal[:, AGENT] = goal[:, BLOCK] + vectors(1, 2).transform(arm, motion)[:, 0].numpy()
        return Tasks(start, self.world.observe(goal))

    def turned(self, tasks: Tasks, g: Elements) -> Tasks:
        return Tasks(turn(tasks.start, g), self.world.observation_rep.transform(tasks.goal, g))

    def begin(self, tasks: Tasks) -> PushTSimulation:
        return PushTSimulation(self.world, tasks.start)

    def pose_error(self, observation: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        (x, y), (a, b) = (side[..., self._direction, :].unbind(-1) for side in (observation, goal))
        angle = torch.atan2(a * y - b * x, a * x + b * y).abs().rad2deg()
        away = observation[..., self._position, :] - goal[..., self._position, :]
        return angle, POSITION_SCALE * away.norm(dim=-1)

    def frames(self, observation: Tensor) -> Frames:
        return planar_frames(observation[:, self._direction])

    def track(self, observation: Tensor) -> Tensor:
        """The agent, and the corners of the block's bar and stem, px from the arena's centre."""
        x, y = observation[..., self._direction, :].unbind(-1)
        axes = torch.stack([torch.stack([x, y], -1), torch.stack([-y, x], -1)], -2)
        corners = POSITION_SCALE * observation[..., self._position, None, :] + self._corners @ axes
        agent = POSITION_SCALE * observation[..., self.world.components["agent_position"], None, :]
        return torch.cat([agent, corners], -2)

    def pose_term(self, goal: Tensor, *, running: float, approach: float, weight: float) -> PoseGoal:
        return PoseGoal(
            goal[:, self._position],
            goal[:, self._direction],
            channels=(self.world.components["agent_position"], self._position, self._direction),
            running=running,
            approach=approach,
            weight=weight,
        )

    def keypoint_term(self, goal: Tensor, *, running: float, approach: float, passing: bool) -> KeypointGoal:
        agent = self.world.components["agent_position"]
        return KeypointGoal(
            goal[:, self._position],
            goal[:, self._direction],
            self._corners / POSITION_SCALE,
            channels=(agent, self._position, self._direction),
            agent_goal=goal[:, agent] if self.goal_has_agent else None,
            passing=passing,
            running=running,
            approach=approach,
        )

    def poses(self, observation: Tensor) -> np.ndarray:
        """(..., 3) x, y (px) and angle (radians) of the block, as physics has them."""
        states = self.world.state_of(observation)
        return np.concatenate([states[..., BLOCK], states[..., ANGLE, None]], -1)

    def judge(self, observation: Tensor, goal: Tensor) -> tuple[Mapping[str, Tensor], Tensor]:
        """gym-pusht's coverage, stable-worldmodel's criterion and this package's; rewards are gym-pusht's."""
        covered = coverages(self.poses(observation), self.poses(goal))
        angle, distance = self.pose_error(observation, goal)
        apart = distance
        if self.goal_has_agent:
            agent = self.world.components["agent_position"]
            left = POSITION_SCALE * (observation[..., agent, :] - goal[..., agent, :]).norm(dim=-1)
            apart = torch.hypot(left, distance)
        reached = {
            GYM: covered > COVERED,
            STABLE: (apart < WM_DISTANCE) & (angle < WM_ANGLE),
            OURS: (angle < self.criterion.angle_deg) & (distance < self.criterion.distance),
        }
        return reached, (covered / COVERED).clamp(max=1.0)
