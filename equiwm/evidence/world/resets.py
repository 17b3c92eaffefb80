"""States of a Gymnasium environment to start from: its own resets, and where random actions lead from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equiwm.errors import DataError
from equiwm.foreign import called

_WARM = 30
"""Random steps before a state is taken, at most: bodies stand at first, and fall."""


def random_starts(
    environment: Any, state: Callable[[], np.ndarray], bounds: tuple[np.ndarray, np.ndarray], n: int, seed: int
) -> np.ndarray:
    """`n` states (n, S) that random actions lead to from seeded resets, standing and fallen.

    Args:
        environment: the environment, without wrappers.
        state: the present state of its simulator, (S,).
        bounds: low and high of the actions, in the shape that `step` takes.
        n: how many.
        seed: of resets and actions.

    Raises:
        DataError: two resets with one seed lead to two states, or what reset and step raise.
    """
    rng, name = np.random.default_rng((seed, 3)), type(environment).__name__
    found = []
    for k in range(n):
        number = int(rng.integers(2**31))
        called(environment.reset, f"{name}.reset", seed=number)
        if not k:
            _require_seeded(environment, state, number, name)
        for _ in range(round(_WARM * (k % 6) / 5)):
            called(environment.step, f"{name}.step", rng.uniform(*bounds))
        found.append(state())
    return np.array(found)


def _require_seeded(environment: Any, state: Callable[[], np.ndarray], number: int, name: str) -> None:
    first = state()
    called(environment.reset, f"{name}.reset", seed=number)
    if not np.array_equal(first, state()):
        raise DataError(
            f"not deterministic for a seed: two calls of {name}.reset(seed={number}) lead to states that are "
            f"{float(np.abs(first - state()).max()):.1e} apart. Draw from self.np_random in it, or give module:probe "
            "with states of your own."
        )
