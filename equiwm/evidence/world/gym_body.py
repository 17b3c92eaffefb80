"""The MuJoCo bodies of Gymnasium as simulators: placed exactly, stepped by the environment's own `step`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equiwm.errors import DataError
from equiwm.evidence.world.simulator import Step

_WARM = 30
"""Random steps before a state is taken, at most: bodies stand at first, and fall."""


class GymBody:
    """A Gymnasium environment on a MuJoCo model.

    Args:
        environment: the environment, of any wrappers; they are passed by.
        model: another model to run in its place (`--set`).
    """

    def __init__(self, environment: Any, model: Any = None) -> None:
        import mujoco

        self._mujoco, self.environment = mujoco, environment.unwrapped
        if model is not None:
            self.environment.model, self.environment.data = model, mujoco.MjData(model)
        self.environment.reset(seed=0)

    @property
    def model(self) -> Any:
        """The MuJoCo model."""
        return self.environment.model

    @property
    def file(self) -> str:
        """Its XML."""
        return str(self.environment.fullpath)

    def place(self, state: np.ndarray) -> None:
        """Put body and velocities where they are said to be, in data as good as new."""
        self._mujoco.mj_resetData(self.model, self.environment.data)
        nq = self.model.nq
        self.environment.set_state(state[:nq].copy(), state[nq:].copy())

    def state(self) -> np.ndarray:
        """(qpos, qvel)."""
        data = self.environment.data
        return np.concatenate([data.qpos, data.qvel])

    def act(self, action: np.ndarray) -> Step:
        """One step of the environment.

        Raises:
            DataError: the simulation became unstable, and MuJoCo put the body back.
        """
        _, reward, terminated, _, _ = self.environment.step(action)
        if any(int(warning.number) for warning in self.environment.data.warning):
            raise DataError("MuJoCo says that the simulation is unstable: its state is not to be trusted.")
        return Step(float(reward), bool(terminated))

    @property
    def observation(self) -> np.ndarray | None:
        """What the environment shows."""
        seen = self.environment._get_obs()
        return np.asarray(seen, dtype=np.float64).reshape(-1) if isinstance(seen, np.ndarray) else None

    @property
    def touching(self) -> Sequence[str]:
        """Names of the pairs of geoms in contact."""
        contact, model = self.environment.data.contact, self.model
        return [" and ".join(sorted(_geom(model, int(k)) for k in pair)) for pair in contact.geom[: len(contact.dist)]]

    def starts(self, n: int, seed: int) -> np.ndarray:
        """`n` states that random actions lead to from the environment's own resets, standing and fallen."""
        rng, space = np.random.default_rng((seed, 3)), self.environment.action_space
        found = []
        for k in range(n):
            self.environment.reset(seed=int(rng.integers(2**31)))
            for _ in range(round(_WARM * (k % 6) / 5)):
                self.environment.step(rng.uniform(space.low, space.high))
            found.append(self.state())
        return np.array(found)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the actions."""
        space = self.environment.action_space
        return space.low.astype(np.float64), space.high.astype(np.float64)


def _geom(model: Any, k: int) -> str:
    body = model.body(int(model.geom_bodyid[k])).name or "the world"
    return model.geom(k).name or f"a geom of {body}"
