"""PushT as others measure it: gym-pusht's own task, the same turned, and stable-worldmodel's."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from equiwm.errors import ConfigError, nearest
from equiwm.planning.task import Tasks
from equiwm.worlds.draws import generators
from equiwm.worlds.pusht.arena import arena_starts, explore
from equiwm.worlds.pusht.control import PushTControl, PushTSimulation
from equiwm.worlds.pusht.demonstrations import Demonstrations, read_demonstrations
from equiwm.worlds.pusht.judges import COVERED, GYM, STABLE, coverages
from equiwm.worlds.pusht.physics import (
    ANGLE,
    BLOCK,
    REACH,
    STATE_SIZE,
    GymPushT,
    agent_inside,
    block_inside,
)

if TYPE_CHECKING:
    from equiwm.worlds.pusht.world import PushT

STANDARD = {
    "standard": "gym-pusht's own resets and goal, 300 steps",
    "standard-turned": "the same, starts and goal turned over the orbit; pairs that meet no wall are paired",
    "wm": "stable-worldmodel's: goals 25 steps ahead of their starts, 50 steps",
}
"""The tasks by name, in words."""

STANDARD_STEPS, WM_STEPS, WM_APART = 300, 50, 25
TARGETS = (0.0, 512.0)
"""gym-pusht's action space, both coordinates, px."""
CLIPPED = "wall: an action was cut off at the border of gym-pusht's action space"
_RESETS, _PAIRS = 0xA12E, 0xA12F  # streams of random numbers of their own


class StandardSimulation(PushTSimulation):
    """n episodes as gym-pusht runs them: targets inside its action space, and an end where the task is solved.

    Targets that would leave the action space are cut off at its border; the border does not turn, so such an episode is
    left out of pairs, like those that meet a wall.
    """

    def __init__(self, control: StandardControl, tasks: Tasks) -> None:
        super().__init__(control.world, tasks.start)
        self._control, self._goal = control, tasks.goal
        self.stopped |= control.solved(self.observation, tasks.goal)

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        physics = self._physics[k]
        wanted = np.array(physics.arena.agent.position) + REACH * action[0].numpy()
        target = wanted.clip(*TARGETS)
        physics.step(*target.tolist())
        seen, reason = self.seen(physics)
        # Observed as well where it ends: `advance` asks before the next step.
        self.stopped[k] = self._control.solved(seen[None], self._goal[k : k + 1])[0]
        return seen, CLIPPED if bool((target != wanted).any()) else reason


class StandardControl(PushTControl):
    """gym-pusht's own task: its resets, its goal at (256, 256, pi/4), 300 steps, an end at coverage > 0.95.

    Args:
        world: the world.
        turned: whether starts and goals may be turned. A reset that some turn would put into a wall is then passed
            over, so that every orientation has the same tasks.
    """

    steps = STANDARD_STEPS
    decides = GYM
    most_excluded = 1.0  # episodes begin anywhere in the arena, and often meet its border: the others are paired

    def __init__(self, world: PushT, *, turned: bool) -> None:
        super().__init__(world)
        self._turned = turned
        self.goals = "gym-pusht's resets and goal"
        if turned:
            self.goals += ", without resets that a turn would put into a wall"
        self.unturned = None if turned else "the goal of this task stands where it stands"

    def tasks(self, n: int, seed: int) -> Tasks:
        starts = np.array([self._start(rng) for rng in generators(_RESETS, seed, range(n))])
        goal = np.zeros((n, STATE_SIZE))
        goal[:, BLOCK], goal[:, ANGLE] = np.split(_goal_pose(), [2])
        return self.towards(starts, goal)

    def _start(self, rng: np.random.Generator) -> np.ndarray:
        while True:
            state = reset_state(int(rng.integers(2**31)))
            if not self._turned or (block_inside(state) and agent_inside(state)):
                return state

    def begin(self, tasks: Tasks) -> StandardSimulation:
        return StandardSimulation(self, tasks)

    def solved(self, observation: Tensor, goal: Tensor) -> Tensor:
        """Whether an episode is over, (n,) bool: observations (n, C, d) twice."""
        return coverages(self.poses(observation), self.poses(goal)) > COVERED


class WMControl(StandardControl):
    """stable-worldmodel's task: the goal is a state 25 steps after the start, agent and all, within 50 steps.

    Args:
        world: the world.
        demonstrations: recorded episodes; None explores the arena for as long.
    """

    steps = WM_STEPS
    decides = STABLE
    goal_has_agent = True

    def __init__(self, world: PushT, demonstrations: Demonstrations | None) -> None:
        super().__init__(world, turned=False)
        self._demonstrations = demonstrations
        source = (
            "random exploration of the arena"
            if demonstrations is None
            else f"{len(demonstrations.ends)} demonstrations ({demonstrations.name}, {demonstrations.digest})"
        )
        self.goals = f"starts and goals {WM_APART} steps apart in {source}"

    def tasks(self, n: int, seed: int) -> Tasks:
        if self._demonstrations is not None:
            start, goal = self._demonstrations.pairs(WM_APART, generators(_PAIRS, seed, range(n)))
        else:
            start, goal = np.moveaxis(np.array([_explored(seed, k) for k in range(n)]), 1, 0)
        return Tasks(start, self.world.observe(goal))

    def solved(self, observation: Tensor, goal: Tensor) -> Tensor:
        return self.judge(observation, goal)[0][STABLE]


def standard_control(world: PushT, name: str, demonstrations: Path | None) -> StandardControl:
    """The task of that name, one of `STANDARD`.

    Raises:
        ConfigError: an unknown name, or demonstrations for a task that takes none.
        DataError: demonstrations that cannot be read.
    """
    if name not in STANDARD:
        raise ConfigError(f"unknown task '{name}': {nearest(name, STANDARD)}")
    if name != "wm":
        if demonstrations is not None:
            raise ConfigError(f"--demonstrations goes with --task wm; the task '{name}' has starts of its own.")
        return StandardControl(world, turned=name == "standard-turned")
    return WMControl(world, None if demonstrations is None else read_demonstrations(demonstrations))


@lru_cache(maxsize=10_000)
def _explored(seed: int, k: int) -> np.ndarray:
    """(2, STATE_SIZE) start and end of exploration k."""
    draws = generators(_PAIRS, seed, range(k, k + 1))
    frames = np.array([2 * np.pi * rng.random() for rng in draws])
    states, _, _ = explore(draws, arena_starts(draws, frames), frames, WM_APART)
    return np.asarray(states[0, [0, -1]])


@lru_cache(maxsize=10_000)  # a claim asks for task k by those before it
def reset_state(seed: int) -> np.ndarray:
    """(STATE_SIZE,) where `reset(seed=seed)` of gym-pusht leaves agent and block, after its step of the physics."""
    arena = _arena()
    arena.reset(seed=seed)
    agent, block = arena.agent, arena.block
    moving = (*block.velocity, block.angular_velocity)
    return np.array([*agent.position, *agent.velocity, *block.position, block.angle, *moving])


@cache
def _arena() -> GymPushT:
    return GymPushT()


@cache
def _goal_pose() -> np.ndarray:
    """(3,) gym-pusht's goal: x, y (px), angle (radians)."""
    arena = _arena()
    arena._setup()
    return np.array(arena.goal_pose)
