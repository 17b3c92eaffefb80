"""Gymnasium environments as probes, whatever they simulate with: MuJoCo bodies, gym-pusht, and what can be set."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from equiwm.errors import ConfigError
from equiwm.evidence.world.bodies import is_body, probe_of_body
from equiwm.evidence.world.gym_body import make_environment
from equiwm.evidence.world.probe import WorldProbe


def environment_probe(
    name: str, group: str, settings: Sequence[str] = (), reps: Mapping[str, str] | None = None
) -> WorldProbe:
    """The probe of an environment.

    Args:
        name: the environment's id.
        group: the symmetry.
        settings: of a MuJoCo body's model, as `--set` takes them.
        reps: how the group acts, of an environment that has `set_state` and `get_state` (`settable`).

    Raises:
        DataError: an environment whose state cannot be set.
        GroupError: a group that it cannot carry.
        ConfigError: settings or reps of an environment that takes none, or reps that are missing.
        MissingExtraError: something that it needs is not installed.
    """
    from equiwm.evidence.world.settable import is_settable, refusal, settable_probe

    environment, label = make_environment(name), f"gym:{name}"
    body, pusht = is_body(environment), _is_pusht(environment)
    if not (body or pusht or is_settable(environment)):
        raise refusal(environment, label)
    if settings and not body:
        raise ConfigError(f"--set changes the model of a MuJoCo body; {label} has none.")
    if reps and (body or pusht):
        raise ConfigError(f"--reps says how a group acts; {label} says so itself. Leave it out.")
    if body:
        return probe_of_body(environment, label, group, settings)
    if pusht:
        from equiwm.evidence.world.gym_pusht import pusht_probe

        return pusht_probe(environment, label, group)
    return settable_probe(environment, label, group, reps)


def _is_pusht(environment: Any) -> bool:
    """Whether it is gym-pusht's; nothing is imported to know it."""
    module = sys.modules.get("gym_pusht.envs.pusht")
    return module is not None and isinstance(environment.unwrapped, module.PushTEnv)
