"""What is to be checked, as a value: a simulator, states and actions to try, and how a group acts on both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from equiwm.errors import DataError
from equiwm.evidence.world.acting import Acting, acting, group_of
from equiwm.evidence.world.columns import Column, columns_of
from equiwm.evidence.world.result import CauseResult
from equiwm.evidence.world.simulator import Settable, Simulator, Stepped, row
from equiwm.foreign import called, is_ours
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.laws import check_group

Names = Mapping[str, int | Sequence[int]] | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class WorldProbe:
    """A simulator of anybody's, and the symmetry that it should have: T(g s, g a) = g T(s, a).

        >>> probe = WorldProbe(step, states=starts, actions=(-1.0, 1.0), group="so2", state="2x1o", action="1o")

    Attributes:
        simulator: a function (state, action) -> next state, which may give (next state, reward) or (next state,
            reward, terminated); or an object with `set_state(state)`, `get_state()`, `step(action)`, and `observe()`
            where it has observations.
        states: (n, S) states to start from, n >= 2, or a function (n, seed) that gives them. They have to lie where the
            world is used: what no state shows is not checked.
        actions: (n, H, A) plans; or a function (n, H, seed); or (low, high), bounds (A,) of uniform draws.
        group: a group or its name. `mirror` is a group of order two.
        state: how g acts on a state: a rep, a function (state, g) -> state, or, of a group of order two, a function
            state -> state.
        action: the same of an action.
        observation: the same of an observation; None where none is to be checked.
        observe: state -> observation, where the simulator is a function.
        channels: names of the state's channels: one name an entry, or name -> entries; None numbers them.
        angles: names of channels that are angles in radians, compared modulo 2 pi.
        quaternions: names of channels that are unit quaternions, w first; q and -q are one.
        action_channels, observation_channels: names of those.
        sigma: standard deviation of the translations, in the units of the state.
        name: of the world, for reports.
        causes: called with the elements, gives what in the world they do not move; for a simulator
            whose model can be read.
        guard: (n, S) -> (n,) where the world's own guard says that the symmetry holds; measured against.
    """

    simulator: Any
    states: Any
    actions: Any
    group: Group | str
    state: Any
    action: Any
    observation: Any = None
    observe: Callable[[np.ndarray], Any] | None = None
    channels: Names = None
    angles: Sequence[str] = ()
    quaternions: Sequence[str] = ()
    action_channels: Names = None
    observation_channels: Names = None
    sigma: float = 1.0
    name: str = "the world"
    causes: Callable[[Elements], list[CauseResult]] | None = None
    guard: Callable[[np.ndarray], np.ndarray] | None = None
    symmetry: Group = field(init=False, repr=False)
    """The group itself."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "symmetry", check_group(group_of(self.group)))
        if not float(self.sigma) > 0.0:
            raise DataError(f"a probe's sigma is {self.sigma!r}; expected a positive length.")

    @cached_property
    def running(self) -> Simulator:
        """The simulator, whatever it was given as."""
        if is_ours(type(self.simulator)):
            ours: Simulator = self.simulator
            return ours
        if callable(self.simulator) and not hasattr(self.simulator, "set_state"):
            return Stepped(self.simulator, self.observe)
        return Settable(self.simulator)

    @cached_property
    def acts_on_state(self) -> Acting:
        """g on a state (S,)."""
        return acting(self.state, self.symmetry, "state")

    @cached_property
    def acts_on_action(self) -> Acting:
        """g on an action (A,)."""
        return acting(self.action, self.symmetry, "action")

    @cached_property
    def acts_on_observation(self) -> Acting | None:
        """g on an observation (O,), where that was said."""
        return None if self.observation is None else acting(self.observation, self.symmetry, "observation")

    def columns(self, width: int) -> tuple[Column, ...]:
        """The channels of a state of that many entries."""
        return columns_of(width, self.channels, angles=self.angles, quaternions=self.quaternions)

    def starts(self, n: int, seed: int) -> np.ndarray:
        """At most `n` states, (n, S).

        Raises:
            DataError: fewer than two, or what is no table of finite numbers.
        """
        given = self.states
        if callable(given):
            given = called(given, "the probe's function of states", n, seed)
        found = _table(given, "the states of a probe", 2)[:n]
        if len(found) < 2:
            raise DataError(f"a check takes at least 2 states; got {len(found)}.")
        return found

    def plans(self, n: int, horizon: int, seed: int) -> np.ndarray:
        """Plans of actions for `n` states, (n, H, A), H at most `horizon`.

        Raises:
            DataError: what is neither plans nor bounds, or fewer plans than states.
        """
        given = self.actions
        if isinstance(given, tuple) and len(given) == 2:
            low, high = np.broadcast_arrays(*(np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in given))
            if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
                raise DataError("a probe's actions are bounds (low, high); expected finite ones with low < high.")
            return np.random.default_rng((seed, 1)).uniform(low, high, (n, horizon, len(low)))
        if callable(given):
            given = called(given, "the probe's function of actions", n, horizon, seed)
        found = _table(given, "the actions of a probe", 3)
        if len(found) < n or not found.shape[1]:
            raise DataError(f"a probe has {len(found)} plans of {found.shape[1]} steps for {n} states.")
        return found[:n, :horizon]


def _table(value: Any, what: str, axes: int) -> np.ndarray:
    try:
        found = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} are a {type(value).__name__}; expected an array of numbers.") from None
    if found.ndim != axes:
        shape = "(n, S)" if axes == 2 else "(n, H, A)"
        raise DataError(f"{what} have shape {found.shape}; expected {shape}.")
    row(found, what)
    return found
