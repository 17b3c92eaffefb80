"""Gymnasium environments as probes: MuJoCo bodies, what gives access to its state (gym-pusht), and what can be set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from equiwm.environments.making import make_environment
from equiwm.errors import ConfigError, GroupError
from equiwm.evidence.world.acting import MIRROR, group_of
from equiwm.evidence.world.bodies import is_body, probe_of_body
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.worlds import access_probe
from equiwm.worlds.environments import access_of


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
    body, access = is_body(environment), access_of(environment)
    if not (body or access or is_settable(environment)):
        raise refusal(environment, label)
    if settings and not body:
        raise ConfigError(f"--set changes the model of a MuJoCo body; {label} has none.")
    if reps and (body or access):
        raise ConfigError(f"--reps says how a group acts; {label} says so itself. Leave it out.")
    if body:
        return probe_of_body(environment, label, group, settings)
    if access is None:
        return settable_probe(environment, label, group, reps)
    symmetry = group_of("mirrory2" if group == MIRROR and access.dimension == 2 else group)
    if symmetry.d != access.dimension:
        raise GroupError(f"{symmetry} acts on d = {symmetry.d}; {label} lives in d = {access.dimension}.")
    return access_probe(access, symmetry, label)
