"""The PushT world as a Gymnasium environment: typed observations, unit actions, exact placement."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from equiwm.checks import as_finite
from equiwm.errors import DataError, nearest
from equiwm.worlds.pusht.config import PushTConfig
from equiwm.worlds.pusht.physics import ANGLE, AXIS_ANGLE, BLOCK, REACH, STATE_SIZE, PushTPhysics
from equiwm.worlds.pusht.world import PushT

REWARDS = ("coverage", "none")


class PushTEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Push the T into its goal. `gymnasium.make("equiwm.worlds:equiwm/PushT-v0")`.

    Observation: (4, 2) float64, the four vectors of `PushT`. Action: (2,), a vector of the unit disk that
    aims the agent at p + 100 a; a longer one is scaled to norm 1. Reward and end are gym-pusht's: the share
    of the goal that the block covers, over the threshold of 0.95 and at most 1, and covering more than the
    threshold.

    `info` holds `state` (STATE_SIZE,), `goal` (2, 2) with the goal's block position and block direction as
    they would be observed, `coverage`, `is_success` and `touched_wall` (from there on the symmetry is
    broken).

    The coverage costs more than the physics. With `reward="none"` a step leaves it out: its reward is 0, no episode
    ends, and `info` has neither `coverage` nor `is_success`; the method `coverage` gives it where it is asked for.

    Args:
        direction: axis of the block that is observed, as in `PushTConfig`.
        render_mode: `rgb_array` for gym-pusht's own drawing, or None.
        reward: `coverage`, gym-pusht's, or `none`.

    Raises:
        DataError: an unknown direction or reward.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's own annotation

    def __init__(
        self,
        direction: Literal["stem", "body_x"] = "stem",
        render_mode: Literal["rgb_array"] | None = None,
        reward: Literal["coverage", "none"] = "coverage",
    ) -> None:
        for what, given, known in (("direction", direction, tuple(AXIS_ANGLE)), ("reward", reward, REWARDS)):
            if given not in known:
                raise DataError(f"unknown {what} '{given}': {nearest(str(given), known)}")
        self._rewarded = reward == "coverage"
        self.world = PushT(PushTConfig(direction=direction))
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-np.inf, np.inf, (4, 2), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float64)
        self._physics = PushTPhysics()
        self._goal = np.empty((0, 2))  # none before the first reset

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a random push task, or what `options` ask for.

        Args:
            seed: seeds the random tasks of this and the following episodes.
            options: `orientations` of the random task (`all`, the default, or `seen`: the wedge); `state`
                (STATE_SIZE,) to start in exactly; `goal` (STATE_SIZE,), a state whose block pose is the goal.
                A row of `PushT.tasks` gives both; what is not given comes from the random task.

        Raises:
            DataError: an unknown option, or one that is not what is said above.
        """
        super().reset(seed=seed)
        options = options or {}
        known = ("orientations", "state", "goal")
        for key in options:
            if key not in known:
                raise DataError(f"unknown option '{key}' of reset: {nearest(str(key), known)}")
        task_seed = int(self.np_random.integers(2**31))
        task = self.world.tasks(1, seed=task_seed, orientations=options.get("orientations", "all"))
        goal = as_finite(options.get("goal", task.goal[0]), (STATE_SIZE,), "PushT goal", single=True).numpy()
        self._physics.reset(options.get("state", task.start[0]))
        self._physics.arena.goal_pose = np.array([*goal[BLOCK], goal[ANGLE]])
        self._physics.arena._last_action = None
        self._goal = self.world.observe(goal).numpy()[2:]
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move for one control step of 0.1 s.

        Raises:
            DataError: an action that is not two finite numbers.
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        self._started("step")
        vector = as_finite(action, (2,), "PushT action", single=True).numpy()
        vector = vector / max(1.0, float(np.linalg.norm(vector)))
        arena = self._physics.arena
        arena._last_action = np.array(arena.agent.position) + REACH * vector
        self._physics.act(vector)
        info = self._info()
        reward = min(info["coverage"] / arena.success_threshold, 1.0) if self._rewarded else 0.0
        return self._observation(), reward, info.get("is_success", False), False, info

    def coverage(self) -> float:
        """Share of the goal that the block covers now.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        self._started("coverage")
        return self._physics.coverage()

    def render(self) -> np.ndarray | None:
        """gym-pusht's drawing (680, 680, 3) uint8 in the mode `rgb_array`, else None."""
        return self._physics.arena.render() if self.render_mode == "rgb_array" else None

    def _started(self, call: str) -> None:
        if not self._goal.size:
            raise gymnasium.error.ResetNeeded(f"call reset() before {call}().")

    def _observation(self) -> np.ndarray:
        return self.world.observe(self._physics.state).numpy()

    def _info(self) -> dict[str, Any]:
        info = {
            "state": self._physics.state,
            "goal": np.copy(self._goal),
            "touched_wall": self._physics.touched_wall,
        }
        if self._rewarded:
            covered = self._physics.coverage()
            info |= {"coverage": covered, "is_success": covered > self._physics.arena.success_threshold}
        return info
