"""Gymnasium environments that give access to their whole state: their own `state_access()`, or one that we know."""

from __future__ import annotations

import sys
from typing import Any

from equiwm.errors import DataError
from equiwm.foreign import called
from equiwm.worlds.world import StateAccess


def access_of(environment: Any) -> StateAccess | None:
    """The access to an environment of any wrappers, which are passed by; None where it gives none.

    Raises:
        DataError: a `state_access()` that gives something else, or no dimension.
    """
    inner, name = environment.unwrapped, type(environment.unwrapped).__name__
    own = getattr(inner, "state_access", None)
    if callable(own):
        found = called(own, f"{name}.state_access")
        if not isinstance(found, StateAccess) or not found.dimension:
            raise DataError(f"{name}.state_access gave {found!r:.80}; expected a StateAccess that says its dimension.")
        return found
    module = sys.modules.get("gym_pusht.envs.pusht")  # an environment of it has imported it
    if module is not None and isinstance(inner, module.PushTEnv):
        from equiwm.worlds.pusht.gym_access import gym_access

        return gym_access(inner)
    return None
