"""Exploration episodes: who acts, and what is seen. An episode depends on its seed and its number alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from equiwm.environments.bounds import ActionBounds
from equiwm.environments.environment import Environment
from equiwm.environments.layout import Layout
from equiwm.environments.spaces import Rows
from equiwm.errors import DataError
from equiwm.foreign import called
from equiwm.locate import locate
from equiwm.worlds.draws import generator

_EPISODES = 0x6E
_SEEDS = 2**31


class Actor(Protocol):
    """Who acts in one episode."""

    def __call__(self, observation: Rows) -> Rows:
        """The action (A,) in a state that shows (W,)."""
        ...


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode of S steps.

    Attributes:
        observations: (S + 1, W), the start included.
        actions: (S + 1, A); the last one was not carried out any more.
        rewards: (S,).
        terminated: whether it ended by its own rules.
    """

    observations: Rows
    actions: Rows
    rewards: Rows
    terminated: bool

    def __len__(self) -> int:
        return len(self.rewards)


class Explorer:
    """Makes the actors of episodes.

    Args:
        policy: `random`, or `module:function` of (observation, generator) -> action, both in the environment's form.
        environment: whose spaces they have.
        layout: of the actions.
        bounds: that random actions are drawn in.
        hold: steps for which a random action is held.

    Raises:
        ConfigError: a policy that is not found.
        DataError: one that cannot be called.
    """

    def __init__(
        self, policy: str, environment: Environment, layout: Layout | None, bounds: ActionBounds | None, hold: int
    ) -> None:
        self._environment, self._layout, self._bounds, self._hold = environment, layout, bounds, hold
        self._name, self._function = policy, _function(policy)

    def actor(self, rng: np.random.Generator) -> Actor:
        """The actor of one episode, with random numbers of its own."""
        flat, function = self._environment, self._function
        if function is None:
            return _Random(self, rng)

        def act(observation: Rows) -> Rows:
            given = called(function, f"the policy {self._name}", flat.observations.value(observation), rng)
            return flat.actions.row(given)

        return act

    def drawn(self, rng: np.random.Generator) -> Rows:
        """One random action (A,)."""
        if self._layout is None or self._bounds is None:
            low, high = self._environment.actions.bounds
            return rng.uniform(np.where(np.isfinite(low), low, -1.0), np.where(np.isfinite(high), high, 1.0))
        row: Rows = self._layout.rows(self._bounds.draw(rng)[None])[0]
        return row

    @property
    def hold(self) -> int:
        """Steps for which a random action is held."""
        return self._hold


class _Random:
    """Random actions, each held for some steps."""

    def __init__(self, explorer: Explorer, rng: np.random.Generator) -> None:
        self._explorer, self._rng, self._steps = explorer, rng, 0
        self._now = explorer.drawn(rng)

    def __call__(self, observation: Rows) -> Rows:
        if self._steps and self._steps % self._explorer.hold == 0:
            self._now = self._explorer.drawn(self._rng)
        self._steps += 1
        return self._now


def _function(policy: str) -> Callable[..., Any] | None:
    """The user's function; None for random actions.

    Raises:
        ConfigError, DataError: see `Explorer`.
    """
    if policy == "random":
        return None
    if ":" not in policy:
        raise DataError(
            f"policy '{policy}': expected random, or module:function of (observation, generator) -> action."
        )
    found = locate("explorer", policy)
    if not callable(found):
        raise DataError(f"policy '{policy}' is {found!r}; expected a function (observation, generator) -> action.")
    function: Callable[..., Any] = found
    return function


def seeds_of(index: int, seed: int) -> tuple[int, np.random.Generator]:
    """The seed of the reset of an episode, and the generator of its actions."""
    rng = generator(_EPISODES, index, seed=seed)
    return int(rng.integers(_SEEDS)), rng


def run_episode(
    environment: Environment, make: Callable[[np.random.Generator], Actor], index: int, seed: int, steps: int
) -> Episode:
    """Episode `index` of a seed: at most `steps` steps from a seeded reset.

    Raises:
        DataError: the environment or the policy raises; the message names episode and step.
    """
    reset, rng = seeds_of(index, seed)
    observations: list[Rows] = []
    actions: list[Rows] = []
    rewards: list[float] = []
    terminated = False
    try:
        actor = make(rng)
        observations.append(environment.reset(reset))
        actions.append(environment.sent(actor(observations[-1])))
        while len(rewards) < steps and not terminated:
            stepped = environment.step(actions[-1])
            terminated = stepped.terminated
            observations.append(stepped.observation)
            rewards.append(stepped.reward)
            actions.append(environment.sent(actor(stepped.observation)))
    except DataError as error:
        raise DataError(f"episode {index}, step {len(rewards)}: {error}") from None
    return Episode(np.stack(observations), np.stack(actions), np.array(rewards), terminated)


def replayed(environment: Environment, start: Rows, actions: Rows) -> Rows:
    """Observations (S + 1, W) under given actions (S, A) from where an observation shows it."""
    seen = [start]
    environment.place(start)
    seen.extend(environment.step(action).observation for action in actions)
    return np.stack(seen)
