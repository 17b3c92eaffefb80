"""A simulator that can be placed in a state: what `check_world` asks of one, and how a function becomes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from equiwm.errors import DataError
from equiwm.foreign import called


@dataclass(frozen=True)
class Step:
    """What a step says besides the next state.

    Attributes:
        reward: of the step; None where there is none.
        terminated: whether the episode ends there by its own rules; None where there are none.
    """

    reward: float | None = None
    terminated: bool | None = None


class Simulator(Protocol):
    """Whatever is placed, stepped and read.

    A simulator may have more: `observation` (the observation at the present state, (O,)), and `touching` (names of what
    is in contact, for the region in which a symmetry breaks).
    """

    def place(self, state: np.ndarray) -> None:
        """Put the simulator in a state (S,), with nothing left of what it did before."""
        ...

    def state(self) -> np.ndarray:
        """The present state, (S,) float64."""
        ...

    def act(self, action: np.ndarray) -> Step:
        """One control step under an action (A,)."""
        ...


class Stepped:
    """A simulator made of a function.

    Args:
        step: called with (state, action), gives the next state, or a tuple of it with the reward, and with whether it
            terminated.
        observe: state -> observation, if there is one.
        name: for errors.
    """

    def __init__(
        self,
        step: Callable[[np.ndarray, np.ndarray], Any],
        observe: Callable[[np.ndarray], Any] | None = None,
        name: str = "the probe's simulator",
    ) -> None:
        self._step, self._observe, self._name = step, observe, name
        self._state = np.zeros(0)

    def place(self, state: np.ndarray) -> None:
        """Put it in a state."""
        self._state = np.array(state, dtype=np.float64)

    def state(self) -> np.ndarray:
        """The present state."""
        return self._state.copy()

    def act(self, action: np.ndarray) -> Step:
        """One step of the function."""
        given = called(self._step, self._name, self._state.copy(), np.array(action, dtype=np.float64))
        parts = given if isinstance(given, tuple) else (given,)
        self._state = row(parts[0], f"the state that {self._name} gives", len(self._state))
        reward = float(parts[1]) if len(parts) > 1 and parts[1] is not None else None
        return Step(reward, bool(parts[2]) if len(parts) > 2 and parts[2] is not None else None)

    @property
    def observation(self) -> np.ndarray | None:
        """The observation of the present state."""
        if self._observe is None:
            return None
        return row(called(self._observe, f"the observation of {self._name}", self._state.copy()), "an observation")


class Settable:
    """A user's object with `set_state(state)`, `get_state()` and `step(action)` as a simulator.

    `step` gives nothing, a reward, a `(reward, terminated)`, or what a Gymnasium environment gives:
    `(observation, reward, terminated, truncated, info)`. An `observe()` is asked for observations where it exists.
    """

    def __init__(self, given: Any) -> None:
        self._given, self._name = given, type(given).__name__
        self._width: int | None = None
        for method in ("set_state", "get_state", "step"):
            if not callable(getattr(given, method, None)):
                raise DataError(
                    f"the probe's simulator, a {self._name}, has no {method}(): expected a function (state, action) -> "
                    "state, or an object with set_state, get_state and step."
                )

    def place(self, state: np.ndarray) -> None:
        """Put it in a state."""
        called(self._given.set_state, f"{self._name}.set_state", np.array(state, dtype=np.float64))

    def state(self) -> np.ndarray:
        """The present state."""
        given = called(self._given.get_state, f"{self._name}.get_state")
        found = row(given, f"the result of {self._name}.get_state", self._width)
        self._width = len(found)
        return found

    def act(self, action: np.ndarray) -> Step:
        """One step."""
        given = called(self._given.step, f"{self._name}.step", np.array(action, dtype=np.float64))
        parts = given if isinstance(given, tuple) else (given,)
        if len(parts) == 5:
            parts = parts[1:3]
        reward = float(parts[0]) if parts and np.ndim(parts[0]) == 0 and parts[0] is not None else None
        return Step(reward, bool(parts[1]) if len(parts) > 1 and parts[1] is not None else None)

    @property
    def observation(self) -> np.ndarray | None:
        """The observation of the present state."""
        observe = getattr(self._given, "observe", None)
        if not callable(observe):
            return None
        return row(called(observe, f"{self._name}.observe"), f"the result of {self._name}.observe")


def row(value: Any, what: str, width: int | None = None) -> np.ndarray:
    """A flat row of finite float64 numbers.

    Raises:
        DataError: something else, or a row of another width.
    """
    try:
        found = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise DataError(f"{what} is a {type(value).__name__}; expected a row of numbers.") from None
    if width is not None and len(found) != width:
        raise DataError(f"{what} has {len(found)} numbers; expected {width}.")
    if not np.isfinite(found).all():
        raise DataError(f"{what} has {int((~np.isfinite(found)).sum())} numbers that are NaN or infinite.")
    return found


def observation_of(simulator: Any) -> np.ndarray | None:
    """What a simulator shows, if it shows anything."""
    return getattr(simulator, "observation", None)


def touching(simulator: Any) -> Sequence[str]:
    """What is in contact now, by name, if the simulator knows."""
    names: Sequence[str] = getattr(simulator, "touching", ())
    return names
