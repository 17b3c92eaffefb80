"""Which groups a run can be asked about, and the data it is asked on."""

from __future__ import annotations

import numpy as np

from equiwm.errors import GroupError
from equiwm.loading import LoadedRun
from equiwm.symmetry.groups import Group
from equiwm.worlds.world import Transitions

_HELD_OUT = 0x7E57
PROBE_SEED = 1000
"""Default seed of probe data and tasks: never that of a training."""


def fitting_group(loaded: LoadedRun, name: str | None) -> Group:
    """The group to probe: the world's own unless `name` is given.

    Raises:
        GroupError: an unknown group, one of another dimension, or one whose translations do not act in this world.
    """
    world = loaded.world
    if name is None:
        return world.group
    group = Group.parse(name)
    if group.d != world.group.d:
        raise GroupError(
            f"{group} acts on {group.d}D, but {loaded.run.path} lives in the {world.group.d}D world '{world.name}' "
            f"(group {world.group}); pass --group {world.group.name}."
        )
    if group.translations and not world.group.translations:
        raise GroupError(
            f"translations of {group} do not act on the observations of '{world.name}' (group {world.group}: "
            f"turned about a fixed centre); pass --group {world.group.name}."
        )
    return group


def held_out(loaded: LoadedRun, n: int, seed: int) -> Transitions:
    """`n` transitions from the training wedge, float64, never those of a training whatever the seeds."""
    apart = int(np.random.SeedSequence((seed, _HELD_OUT)).generate_state(1, np.uint64)[0] >> 1)
    return loaded.world.transitions(n, seed=apart)
