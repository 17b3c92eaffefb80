"""Gymnasium environments that are no MuJoCo bodies and whose state can be set, as simulators.

The protocol is `set_state(state)` and `get_state()` on the environment itself, beside Gymnasium's `reset` and `step`;
`observe()`, `get_obs()` or `_get_obs()` is asked for observations where there is one. How a group acts is said by reps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from equiwm.errors import ConfigError, DataError
from equiwm.evidence.world.acting import MIRROR, group_of
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.resets import random_starts
from equiwm.evidence.world.simulator import Settable, Step, row
from equiwm.foreign import called

_OBSERVERS = ("observe", "get_obs", "_get_obs")
_PROTOCOL = ("set_state", "get_state")


class SettableEnvironment(Settable):
    """The simulator of an environment with the protocol.

    Args:
        environment: of any wrappers; they are passed by.
        name: for errors.

    Raises:
        DataError: actions that are no box of numbers.
    """

    def __init__(self, environment: Any, name: str) -> None:
        self.environment = environment.unwrapped
        super().__init__(self.environment)
        space = self.environment.action_space
        if not isinstance(space, spaces.Box) or not np.isfinite(np.stack([space.low, space.high])).all():
            raise DataError(f"{name}: its actions are {space}; expected a Box of numbers with finite bounds.")
        self._shape, self._low, self._high = space.shape, space.low.astype(float), space.high.astype(float)
        called(self.environment.reset, f"{type(self.environment).__name__}.reset", seed=0)

    def act(self, action: np.ndarray) -> Step:
        """One step of the environment."""
        return super().act(np.asarray(action).reshape(self._shape))

    @property
    def observation(self) -> np.ndarray | None:
        """What the environment shows at the present state, where it says so; images are passed by."""
        for method in _OBSERVERS:
            observe = getattr(self.environment, method, None)
            if callable(observe):
                seen = called(observe, f"{type(self.environment).__name__}.{method}")
                numbers = isinstance(seen, np.ndarray) and seen.dtype != np.uint8
                return row(seen, f"the result of {method}") if numbers else None
        return None

    def starts(self, n: int, seed: int) -> np.ndarray:
        """`n` states that random actions lead to from the environment's own resets."""
        return random_starts(self.environment, self.state, (self._low, self._high), n, seed)

    def plans(self, n: int, horizon: int, seed: int) -> np.ndarray:
        """Random actions (n, H, A) in the largest ball of the box: turned ones are in it as well."""
        middle, half = (self._low + self._high).ravel() / 2, (self._high - self._low).ravel() / 2
        drawn = np.random.default_rng((seed, 1)).uniform(-1.0, 1.0, (n, horizon, len(half)))
        length = np.linalg.norm(drawn, axis=-1, keepdims=True)
        return np.asarray(middle + float(half.min()) * drawn / np.maximum(1.0, length))


def is_settable(environment: Any) -> bool:
    """Whether an environment has the protocol."""
    return all(callable(getattr(environment.unwrapped, method, None)) for method in _PROTOCOL)


def settable_probe(environment: Any, name: str, group: str, reps: Mapping[str, str] | None) -> WorldProbe:
    """The probe of an environment with the protocol.

    Args:
        environment: the environment.
        name: for reports and errors.
        group: the symmetry.
        reps: how it acts, `state` and `action` -> the text of a rep, and of an `observation` if that is to be compared.

    Raises:
        ConfigError: reps that are missing, or of something else.
        DataError: an environment that the protocol does not fit.
    """
    given = dict(reps or {})
    simulator = SettableEnvironment(environment, name)
    if not {"state", "action"} <= set(given) <= {"state", "action", "observation"}:
        raise ConfigError(
            f"{name}: nothing says how {group} acts on its state: give --reps state=REP and --reps action=REP, as in "
            "state=2x1o; perhaps --reps observation=REP."
        )
    return WorldProbe(
        simulator,
        simulator.starts,
        simulator.plans,
        "mirrory2" if group == MIRROR else group_of(group),
        given["state"],
        given["action"],
        given.get("observation"),
        name=name,
    )


def refusal(environment: Any, name: str) -> DataError:
    """Why nothing can be said of an environment, and what to do."""
    shown = environment.observation_space
    image = isinstance(shown, spaces.Box) and shown.dtype == np.uint8 and len(shown.shape) >= 2
    what = "shows pixels only, and " if image else ""
    return DataError(
        f"{name} {what}is no MuJoCo body whose state can be set, and has no set_state and get_state: give "
        "module:probe, a WorldProbe that sets it, or record states and ask check-data."
    )
