"""The arena of a world."""

from __future__ import annotations

from torch import Tensor

from equiwm.errors import DataError
from equiwm.planning.arena import Arena
from equiwm.worlds.body.control import BodyArena
from equiwm.worlds.body.world import Body
from equiwm.worlds.cloud.control import CloudArena
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.pusht.control import PushTArena
from equiwm.worlds.pusht.world import PushT
from equiwm.worlds.world import World


def build_arena(world: World, observations: Tensor) -> Arena:
    """The arena of a world.

    Args:
        world: the world.
        observations: (n, C, d) of a training, which show what there is to turn: frames are fitted to them.

    Raises:
        DataError: a world in which there is nothing to reach.
    """
    if isinstance(world, PushT):
        return PushTArena(world)
    if isinstance(world, Cloud):
        return CloudArena(world, observations)
    if isinstance(world, Body):
        return BodyArena(world, observations)
    raise DataError(f"the world '{world.name}' has no tasks; a closed loop runs in pusht, cloud and body.")
