"""A Gymnasium environment as a deterministic simulator, and whether it can be put where an observation shows it.

An environment offers it in one of three ways, all of them looked for on `env.unwrapped`, which is then stepped itself:

- `set_observation(observation)`: puts it in the state that the observation shows;
- `set_state(state)` and `get_state()`, one row of numbers each, where that row is the observation;
- MuJoCo's `set_state(qpos, qvel)`, where the observation is `(qpos, qvel)`.

Whatever it says is tried: from what was observed on the way of an episode, the same action has to give the same
observation again. An environment of which this is not true goes on by seeded resets alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from equiwm.environments.making import make_environment
from equiwm.environments.spaces import Flat, Rows
from equiwm.errors import DataError
from equiwm.foreign import called

_TRIED = 6
"""Steps of an episode that are done again."""
_SAME = {8: 1e-9, 4: 1e-5, 2: 1e-2}
"""How far two results for one state and action may be apart, relative to their size, by the bytes of a number."""


@dataclass(frozen=True)
class Stepped:
    """What a step gives.

    Attributes:
        observation: (W,).
        reward: of the step.
        terminated: whether the episode ended by its own rules.
    """

    observation: Rows
    reward: float
    terminated: bool


class Environment:
    """One environment, deterministic from its seed on.

    Args:
        name: its id.
        options: keyword arguments of its class.

    Attributes:
        observations, actions: the numbers of its spaces.
        unplaced: why it cannot be put where an observation shows it, in words; None where it can.
        steps: of an episode, where the environment says so.
        rate: steps a second, where its metadata says so (`render_fps`).

    Raises:
        DataError: it cannot be made, has no numbers, or two episodes with one seed and the same actions differ.
    """

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.where, self._name, self._options = f"gym:{name}", name, options
        whole = make_environment(name, options)
        spec = getattr(whole, "spec", None)
        self.steps: int | None = getattr(spec, "max_episode_steps", None)
        rate = (getattr(whole, "metadata", None) or {}).get("render_fps")
        self.rate = float(rate) if isinstance(rate, int | float) and rate > 0 else None
        self._place, self.unplaced = _placing(whole.unwrapped)
        self._take(whole if self._place is None else whole.unwrapped)
        self._try()
        if self._place is not None and (reason := self._misplaced()) is not None:
            self._place, self.unplaced = None, reason
            self._take(whole)

    def another(self) -> Environment:
        """One more of the same, which need not be tried again."""
        made = copy.copy(self)
        whole = make_environment(self._name, self._options)
        if self._place is not None:
            made._place, _ = _placing(whole.unwrapped)
        made._take(whole if self._place is None else whole.unwrapped)
        return made

    def _take(self, env: Any) -> None:
        self._env = env
        self.observations = Flat(env.observation_space, "observation", self.where)
        self.actions = Flat(env.action_space, "action", self.where)
        self._same = _SAME.get(min(part.box.dtype.itemsize for part in self.observations.parts), 1e-9)

    def reset(self, seed: int) -> Rows:
        """Begin an episode: the observation (W,).

        Raises:
            DataError: the environment raises, or shows something else than its space says.
        """
        given = called(self._env.reset, f"{self.where}: reset", seed=seed)
        return self.observations.row(given[0] if isinstance(given, tuple) else given)

    def sent(self, action: Rows) -> Rows:
        """An action (A,) as the environment is given it, in the dtypes of its space."""
        return self.actions.row(self.actions.value(action))

    def step(self, action: Rows) -> Stepped:
        """One step under an action (A,).

        Raises:
            DataError: as `reset`.
        """
        given = called(self._env.step, f"{self.where}: step", self.actions.value(action))
        if not isinstance(given, tuple) or len(given) != 5:
            raise DataError(f"{self.where}: step gives {type(given).__name__}; expected Gymnasium's five values.")
        seen, reward, terminated, _, _ = given
        return Stepped(self.observations.row(seen), float(reward), bool(terminated))

    def place(self, observation: Rows) -> None:
        """Put it in the state that an observation (W,) shows.

        Raises:
            DataError: it cannot be put there.
        """
        if self._place is None:
            raise DataError(f"{self.where} cannot be put where an observation shows it: {self.unplaced}.")
        called(self._place, f"{self.where}: setting its state", self.observations, observation)

    def _episode(self) -> tuple[list[Rows], list[Rows]]:
        """Observations and actions of a few steps under random actions."""
        rng, (low, high) = np.random.default_rng(0), self.actions.bounds
        ends = np.where(np.isfinite(low), low, -1.0), np.where(np.isfinite(high), high, 1.0)
        actions = [rng.uniform(*ends) for _ in range(_TRIED)]
        return [self.reset(0), *(self.step(action).observation for action in actions)], actions

    def _try(self) -> None:
        """Refuse random numbers that no seed fixes.

        Raises:
            DataError: two episodes with one seed and the same actions differ.
        """
        (first, _), (again, _) = self._episode(), self._episode()
        apart = max(_apart(a, b) for a, b in zip(first, again, strict=True))
        if apart > self._same:
            raise DataError(
                f"{self.where} is not deterministic: two episodes with one seed and the same actions are {apart:.1e} "
                "apart. Its random numbers have to come from reset(seed=...)."
            )

    def _misplaced(self) -> str | None:
        """Why placing does not bring back what followed, in words."""
        seen, actions = self._episode()
        self.reset(1)
        for k in reversed(range(_TRIED)):  # backwards, so that nothing is where it would be anyhow
            try:
                self.place(seen[k])
                after = self.step(actions[k]).observation
            except DataError as error:
                return str(error).rstrip(".")
            if (apart := _apart(seen[k + 1], after)) > self._same:
                return (
                    f"put where step {k} of an episode was observed, the same action leads elsewhere ({apart:.1e}): "
                    "the observation does not show the whole state"
                )
        return None


def _apart(a: Rows, b: Rows) -> float:
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-300)) if len(a) else 0.0


_Placing = Callable[[Flat, Rows], None]


def _placing(env: Any) -> tuple[_Placing | None, str | None]:
    """How an environment is put somewhere, or why it cannot be."""
    if callable(getattr(env, "set_observation", None)):
        return lambda flat, row: env.set_observation(flat.value(row)), None
    if callable(getattr(env, "set_state", None)) and callable(getattr(env, "get_state", None)):
        return lambda flat, row: _place_row(env, row), None
    model = getattr(env, "model", None)
    if callable(getattr(env, "set_state", None)) and hasattr(model, "nq") and hasattr(model, "nv"):
        return lambda flat, row: _place_body(env, row), None
    return None, "it offers neither set_observation(observation) nor set_state(state) with get_state()"


def _place_row(env: Any, row: Rows) -> None:
    """An environment whose state is its observation.

    Raises:
        DataError: it is not.
    """
    size = np.size(env.get_state())
    if size != len(row):
        raise DataError(f"its state has {size} numbers, its observation {len(row)}; it lacks set_observation")
    env.set_state(row.copy())


def _place_body(env: Any, row: Rows) -> None:
    """A MuJoCo body, in data as good as new.

    Raises:
        DataError: its observation is not (qpos, qvel).
    """
    import mujoco

    nq, nv = env.model.nq, env.model.nv
    if len(row) != nq + nv:
        raise DataError(f"its observation has {len(row)} numbers, its state (qpos, qvel) {nq + nv}")
    mujoco.mj_resetData(env.model, env.data)
    env.set_state(row[:nq].copy(), row[nq:].copy())
