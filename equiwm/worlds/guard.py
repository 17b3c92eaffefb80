"""A world that is used only where its symmetry holds: what leaves its guard is left out, as what touches a wall is.

`world.guard` of a configuration says what a guard is: a map of the break that `check-world --save-guard` has saved, or
`module:holds`, a function from states (n, S) to (n,) whether the symmetry holds there. Training data, test sets,
rollouts and closed loops of the world follow it, beside what the world itself leaves out. `step` and the world's own
`symmetry_residual` are of the whole world.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import at_least_one
from equiwm.errors import ConfigError, DataError
from equiwm.foreign import called
from equiwm.locate import is_foreign, locate
from equiwm.planning.task import ControlTask, Simulation, Tasks
from equiwm.printable import quoted
from equiwm.results.guard import GuardMap, guard_of_text
from equiwm.worlds.draws import Orientations
from equiwm.worlds.world import AccessibleWorld, Progress, Sequences, SymmetryResidual, Transitions, World

REASON = "outside the guard"
"""Why a transition, a sequence or an episode is left out."""
_FIRST, _MOST = 256, 20
"""Draws until nothing is found, and for each row that was asked for."""

Holds = Callable[[np.ndarray], np.ndarray]
"""From states (n, S) to (n,) whether the symmetry holds in each."""


class RadialGuard:
    """The guard of a saved map: a position is nearer to the centre than the bound in its direction.

    Args:
        found: the map.
    """

    def __init__(self, found: GuardMap) -> None:
        self.found, self._position = found, list(found.position)
        self._centre = np.array(found.centre)
        self._radius = np.array([np.inf if np.isnan(bound) else bound for bound in found.radius], dtype=np.float64)

    def bound(self, states: np.ndarray) -> np.ndarray:
        """How far out the position of each state (..., S) may be, (...): linear between two bounds, the only one of a
        bound and none."""
        offset = states[..., self._position] - self._centre
        at = np.arctan2(offset[..., 1], offset[..., 0])
        if self.found.angle is not None:
            at = states[..., self.found.angle] - at
        knots = len(self._radius)
        place = np.mod(at / (2 * np.pi) + 0.5, 1.0) * knots
        low = np.floor(place).astype(int) % knots
        a, b, share = self._radius[low], self._radius[(low + 1) % knots], place - np.floor(place)
        bounded = np.isfinite(a) & np.isfinite(b)
        return np.where(bounded, a + share * (np.where(bounded, b, 0.0) - np.where(bounded, a, 0.0)), np.minimum(a, b))

    def holds(self, states: np.ndarray) -> np.ndarray:
        """Whether the symmetry holds in each of the states (..., S), (...) bool; at rest, as it was measured."""
        out = np.linalg.norm(states[..., self._position] - self._centre, axis=-1)
        return np.asarray(out < self.bound(states))


def guarded(world: World, guard: str) -> World:
    """The world, used only where its guard says that its symmetry holds.

    Args:
        world: the world.
        guard: `GuardMap.as_text`, or `module:holds`.

    Raises:
        ConfigError: neither, or a map of states of another length than the world's.
        DataError: a world that does not say which state an observation shows, or a function that answers otherwise.
    """
    states_of, holds, some = _states_of(world), _holds(guard), world.transitions(2, seed=0).observation
    few = states_of(some)
    if isinstance(holds, RadialGuard) and holds.found.size != few.shape[-1]:
        raise ConfigError(
            f"world.guard: the map is of states of {holds.found.size} numbers ({holds.found.world}); those of "
            f"'{world.name}' have {few.shape[-1]}."
        )
    function: Holds = holds.holds if isinstance(holds, RadialGuard) else holds

    def inside(observation: Tensor) -> Tensor:
        states = states_of(observation.reshape(-1, *observation.shape[-2:]))
        found = np.asarray(called(function, f"world.guard {quoted(guard)}", states))
        if found.shape != (len(states),) or found.dtype != np.bool_:
            raise DataError(
                f"world.guard gave {found.dtype} of shape {found.shape}; expected bool of shape ({len(states)},)."
            )
        return torch.from_numpy(found).reshape(observation.shape[:-2])

    inside(some)
    return _mixed(world, _Guarded, inside)


def _holds(guard: str) -> RadialGuard | Holds:
    if guard.startswith("{"):
        return RadialGuard(guard_of_text(guard))
    if not is_foreign(guard):
        raise ConfigError(
            f"world.guard: got {quoted(guard)}, expected the file of a saved map (.json) or module:holds."
        )
    function: Holds = locate("guard", guard)
    if not callable(function):
        raise ConfigError(f"world.guard: {quoted(guard)} is no function of states.")
    return function


def _states_of(world: World) -> Callable[[Tensor], np.ndarray]:
    """From observations (n, C, d) to the states (n, S) of a check of this world."""
    if not isinstance(world, AccessibleWorld):
        return lambda observation: observation.flatten(1).double().cpu().numpy()
    found = world.state_access().seen_as
    if found is None:
        raise DataError(f"the world '{world.name}' does not say which state an observation shows: it takes no guard.")
    return found


def _mixed(value: Any, mixin: type, inside: Callable[[Tensor], Tensor]) -> Any:
    """`value` with the methods of a mixin before its own; it stays an instance of its class."""
    bare = type(value)
    own = {name: vars(mixin)[name] for name in vars(mixin) if not name.startswith("__") and hasattr(bare, name)}
    members: Mapping[str, Any] = {**own, "_inside": staticmethod(inside), "_bare": bare, "__slots__": ()}
    kept = {"__module__": bare.__module__, "__qualname__": bare.__qualname__}
    object.__setattr__(value, "__class__", type(bare.__name__, (bare,), {**members, **kept}))
    return value


def _plain(value: Any) -> Any:
    """The same object without the guard: what it does inside calls its own methods."""
    other = copy.copy(value)
    object.__setattr__(other, "__class__", value._bare)
    return other


class _Guarded:
    """What a guarded world does otherwise."""

    _inside: Callable[[Tensor], Tensor]
    part_episodes = 0
    """How many transitions a guard lets through is known once they are made: they are made in one piece."""

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions inside the guard; an episode ends where it leaves it. `excluded` counts what is dropped.

        Raises:
            DataError: as the world's own, or too few are left.
        """
        at_least_one("transitions", n=n)
        drawn = n
        while True:
            data: Transitions = _plain(self).transitions(drawn, seed=seed, orientations=orientations, progress=progress)
            rows = _unbroken(self._inside(data.observation) & self._inside(data.next_observation), data.episode)
            kept = int(rows.sum())
            if kept >= n or drawn >= max(_MOST * n, _FIRST):
                break
            drawn = _more(drawn, kept, n)
        if kept < n:
            raise DataError(f"world.guard lets only {kept} of {drawn:,} transitions through; {n:,} were asked for.")
        chosen = rows.nonzero()[:n, 0]
        return Transitions(
            data.observation[chosen],
            data.action[chosen],
            data.next_observation[chosen],
            data.episode[chosen],
            _counted(data.excluded, int(chosen[-1]) + 1 - n),
        )

    def sequences(
        self,
        n: int,
        horizon: int,
        *,
        seed: int,
        orientations: Orientations = "seen",
        progress: Progress | None = None,
    ) -> Sequences:
        """At most `n` sequences that stay inside the guard from the first state to the last.

        Raises:
            DataError: as the world's own, or none is left.
        """
        at_least_one("sequences", n=n, horizon=horizon)
        drawn = n
        while True:
            data: Sequences = _plain(self).sequences(
                drawn, horizon, seed=seed, orientations=orientations, progress=progress
            )
            rows = self._inside(data.observations).all(1)
            kept = int(rows.sum())
            if kept >= n or len(data) < drawn or drawn >= max(_MOST * n, _FIRST):
                break
            drawn = _more(drawn, kept, n)
        if not kept:
            raise DataError(f"world.guard lets none of {len(data):,} sequences of {horizon} steps through.")
        chosen = rows.nonzero()[:n, 0]
        dropped = (int(chosen[-1]) + 1 if kept >= n else len(data)) - len(chosen)
        found = data.select(chosen)
        return Sequences(found.observations, found.actions, found.episode, _counted(data.excluded, dropped))

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """The whole world's."""
        found: SymmetryResidual = _plain(self).symmetry_residual(rollouts, steps, seed=seed)
        return found

    def control(self, observations: Tensor) -> ControlTask:
        """The world's tasks; an episode that leaves the guard is excluded."""
        control: ControlTask = _mixed(_plain(self).control(observations), _GuardedControl, self._inside)
        return control


class _GuardedControl:
    """What the tasks of a guarded world do otherwise."""

    _inside: Callable[[Tensor], Tensor]

    def begin(self, tasks: Tasks) -> Simulation:
        """Episodes at the start of their tasks."""
        return GuardedSimulation(_plain(self).begin(tasks), self._inside)


class GuardedSimulation(Simulation):
    """Episodes of a world, excluded from where they are outside the guard.

    Args:
        inner: the world's own.
        inside: of observations (n, C, d), (n,).
    """

    def __init__(self, inner: Simulation, inside: Callable[[Tensor], Tensor]) -> None:
        super().__init__(inner.observation)
        inner.observation = self.observation  # what a step starts from may be read off it
        self._inner, self._inside = inner, inside
        self.excluded = [None if inner_side else REASON for inner_side in inside(self.observation).tolist()]

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        """One step of the world's own episode, and why the symmetry does not cover it."""
        seen, reason = self._inner.step(k, action)
        if reason is None and bool(seen.isfinite().all()) and not bool(self._inside(seen[None])[0]):
            reason = REASON
        return seen, reason


def _unbroken(inside: Tensor, episode: Tensor) -> Tensor:
    """Rows inside, of which no earlier row of their episode is outside."""
    left: set[int] = set()
    for row in (~inside).nonzero()[:, 0].tolist():
        left.add(int(episode[row]))
    if not left:
        return inside
    kept = inside.clone()
    for number in left:
        rows = (episode == number).nonzero()[:, 0]
        kept[rows] = inside[rows].long().cumprod(0).bool()
    return kept


def _more(drawn: int, kept: int, n: int) -> int:
    """How many to draw next, where `kept` of `drawn` were inside and n are wanted; at most what is drawn in all."""
    return min(max(2 * drawn, int(1.2 * drawn * n / max(1, kept))), max(_MOST * n, _FIRST))


def _counted(excluded: Mapping[str, int], dropped: int) -> Mapping[str, int]:
    return dict(excluded) | ({REASON: dropped} if dropped else {})
