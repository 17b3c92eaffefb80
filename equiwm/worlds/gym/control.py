"""Closed loop in an environment: goals by channels and tolerances, one environment an episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from equiwm.environments.environment import Environment
from equiwm.environments.explore import seeds_of
from equiwm.environments.layout import Placed
from equiwm.errors import ConfigError, nearest
from equiwm.planning.channel_goal import ChannelGoal, GoalChannel
from equiwm.planning.frames import Frames
from equiwm.planning.task import Channel, ControlTask, Criterion, Simulation, Tasks
from equiwm.symmetry.elements import Elements
from equiwm.worlds.gym.config import Goal
from equiwm.worlds.gym.frames import StateFrames

if TYPE_CHECKING:
    from equiwm.worlds.gym.world import GymWorld

_TASKS, _GOALS = 0x7A5C0, 0x60A15
"""Seeds of starts and goals, apart from those of exploration."""
_WIDTHS = {"angle": 1, "quat": 3}
"""Directions of a quantity that is an orientation."""


class GymSimulation(Simulation):
    """n episodes, each in an environment of its own; one that ends by its own rules stays as it was seen last."""

    def __init__(self, world: GymWorld, environments: list[Environment], start: Tensor) -> None:
        super().__init__(start)
        self._world, self._environments = world, environments
        self._ended = [False] * len(environments)

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        if self._ended[k]:
            return self.observation[k], None
        world = self._world
        stepped = self._environments[k].step(world.push.rows(world.bounds.clipped(action[None]))[0])
        self._ended[k] = stepped.terminated
        return world.state.tensor(stepped.observation[None])[0], None


class GymControl(ControlTask):
    """What the setting `goal` asks for. A task is a seeded reset, and what its channels are to become.

    Where the environment can be put where an observation shows it, starts and goals are turned; where it cannot, tasks
    are seeded resets and nothing is paired.

    Args:
        world: the world.
        goal: channels, tolerances, and where goals come from.
        frames: of its states.

    Raises:
        ConfigError: a channel that the state does not have, or actions that cannot be planned.
    """

    def __init__(self, world: GymWorld, goal: Goal, frames: StateFrames) -> None:
        self.world, self._goal, self._frames = world, goal, frames
        known = world.state.quantities
        for name in (*goal.channels, *(goal.approach or ())):
            if name not in known:
                raise ConfigError(f"world.goal: no quantity '{name}' in the state; {nearest(name, known)}")
        if world.action_rep.has_points:
            raise ConfigError(
                f"the actions of {world.environment.where} ({world.action_rep}) are points, which translations of "
                f"{world.group} move: plans are drawn about 0. Let actions be displacements (1o), or give a group "
                "about a centre."
            )
        self.channels = {name: Channel(tolerance, known[name].unit) for name, tolerance in goal.channels.items()}
        self.criterion = Criterion(1.0, 1.0, "", 0.0, "final", "tolerances")
        self._tracked = {name: placed for name, placed in known.items() if _is_place(placed)}
        if not self._tracked:
            self._tracked = {name: placed for name, placed in known.items() if placed.rep.structured}
        copies = [(name, placed.rep.multiplicity) for name, placed in self._tracked.items()]
        self.parts = tuple(name for name, count in copies for _ in range(count)) or ("nothing",)
        self.unturned = None if world.unplaced is None else f"starts cannot be turned: {world.unplaced}"

    def tasks(self, n: int, seed: int) -> Tasks:
        """`start` holds observations (n, *shape) where they can be set, else the seeds of resets (n,)."""
        starts, goals, resets = [], [], []
        for index in range(n):
            reset, _ = seeds_of(index, seed + _TASKS)
            first = self.world.environment.reset(reset)
            starts.append(first)
            resets.append(reset)
            if self._goal.source == "reset":
                goals.append(self.world.environment.reset(seeds_of(index, seed + _GOALS)[0]))
            else:
                goals.append(self.world.episode(index, seed + _TASKS, self._goal.steps).observations[-1])
        start = torch.tensor(resets) if self.unturned else self.world.state.tensor(np.stack(starts))
        return Tasks(start, self.world.state.tensor(np.stack(goals)))

    def turned(self, tasks: Tasks, g: Elements) -> Tasks:
        if self.unturned:
            return tasks
        rep = self.world.observation_rep
        return Tasks(rep.transform_samples(tasks.start, g), rep.transform_samples(tasks.goal, g))

    def begin(self, tasks: Tasks) -> GymSimulation:
        environments = [self.world.environment.another() for _ in range(len(tasks))]
        if self.unturned:
            rows = [each.reset(int(seed)) for each, seed in zip(environments, tasks.start, strict=True)]
            return GymSimulation(self.world, environments, self.world.state.tensor(np.stack(rows)))
        for each, row in zip(environments, self.world.state.rows(tasks.start), strict=True):
            each.reset(0)
            each.place(row)
        return GymSimulation(self.world, environments, tasks.start)

    def channel_errors(self, observation: Tensor, goal: Tensor) -> Mapping[str, Tensor]:
        """Of a point, a vector or a scalar the distance, of its farthest copy; of an orientation the angle."""
        found = {}
        for name in self.channels:
            placed = self.world.state.quantities[name]
            found[name] = _error(placed, self.world.state.part(observation, name), self.world.state.part(goal, name))
        return found

    def pose_error(self, observation: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """The largest error of a channel in tolerances; there is no distance beside it."""
        errors = self.channel_errors(observation, goal)
        worst = torch.stack([error / self.channels[name].tolerance for name, error in errors.items()]).amax(0)
        return worst, torch.zeros_like(worst)

    def frames(self, observation: Tensor) -> Frames:
        return self._frames(observation)

    def track(self, observation: Tensor) -> Tensor:
        """The quantities that are places, for figures."""
        d = self.world.group.d
        parts = [self.world.state.part(observation, name).unflatten(-1, (-1, d)) for name in self._tracked]
        if parts:
            return torch.cat(parts, -2)
        inner = len(self.world.observation_rep.shape)
        return observation.new_zeros(*observation.shape[:-inner], 1, d)

    def physical(self, actions: Tensor) -> Tensor:
        return self.world.bounds.physical(actions)

    def pose_term(self, goal: Tensor, *, running: float, approach: float, weight: float) -> ChannelGoal | None:
        state = self.world.state
        if any(state.quantities[name].rep.has_points for name in self.channels):
            return None  # a model sees points off their mean: where they are is not known from its state
        channels = []
        for name, channel in self.channels.items():
            placed = state.quantities[name]
            direction = placed.rep.d if placed.spec.rep in _WIDTHS else 0
            tolerance = channel.tolerance
            if direction and channel.unit == "deg":
                tolerance = math.radians(tolerance)
            channels.append(GoalChannel(placed.entries, state.part(goal, name), tolerance, direction))
        together = None
        if self._goal.approach is not None:
            first, second = (state.quantities[name].entries for name in self._goal.approach)
            together = (first, second)
        return ChannelGoal(channels, running, approach, together)


def _is_place(placed: Placed) -> bool:
    """Whether a quantity is declared as points."""
    return placed.spec.rep not in _WIDTHS and placed.rep.structured and placed.spec.rep.rpartition("x")[2] == "p"


def _error(placed: Placed, seen: Tensor, goal: Tensor) -> Tensor:
    """(..., width) twice -> (...), in the quantity's unit."""
    if placed.spec.rep == "angle":
        angle = _angle(seen, goal)
    elif placed.spec.rep == "quat":
        relative = seen.unflatten(-1, (3, 3)) @ goal.unflatten(-1, (3, 3)).transpose(-1, -2)
        lean = (relative - relative.transpose(-1, -2)).flatten(-2)[..., [7, 2, 3]].norm(dim=-1)
        angle = torch.atan2(lean, relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0)
    else:
        away, errors, start = seen - goal, [], 0
        for count, kind in placed.rep.terms:
            width = kind.dim(placed.rep.d)
            part = away[..., start : start + count * width].unflatten(-1, (count, width))
            errors.append(part.norm(dim=-1).amax(-1))
            start += count * width
        return torch.stack(errors).amax(0)
    return angle.rad2deg() if placed.unit == "deg" else angle


def _angle(seen: Tensor, goal: Tensor) -> Tensor:
    """Between two directions of the horizontal plane, radians."""
    (x, y), (a, b) = (side[..., :2].unbind(-1) for side in (seen, goal))
    return torch.atan2(a * y - b * x, a * x + b * y).abs()
