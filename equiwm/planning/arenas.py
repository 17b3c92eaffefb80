"""The arena of a world."""

from __future__ import annotations

from equiwm.errors import DataError
from equiwm.planning.arena import Arena
from equiwm.planning.body_arena import BodyArena
from equiwm.planning.cloud_arena import CloudArena
from equiwm.planning.pusht_arena import PushTArena
from equiwm.worlds.body import Body
from equiwm.worlds.cloud import Cloud
from equiwm.worlds.pusht import PushT
from equiwm.worlds.world import World


def build_arena(world: World, transitions: int, seed: int) -> Arena:
    """The arena of a world.

    Args:
        world: the world.
        transitions: how many of them, drawn with `seed`, show which clouds there are: a training's own.
        seed: of a training.

    Raises:
        DataError: a world in which there is nothing to reach.
    """
    if isinstance(world, PushT):
        return PushTArena(world)
    if isinstance(world, Cloud):
        return CloudArena(world, world.transitions(transitions, seed=seed).observation)
    if isinstance(world, Body):
        return BodyArena(world, world.transitions(transitions, seed=seed).observation)
    raise DataError(f"the world '{world.name}' has no tasks; a closed loop runs in pusht, cloud and body.")
