"""From a world's configuration to the world."""

from __future__ import annotations

from equiwm.config import WorldConfig
from equiwm.locate import locate
from equiwm.worlds.world import World


def build_world(config: WorldConfig) -> World:
    """The world that a configuration names.

    Raises:
        ConfigError: a world that is not found.
        MissingExtraError: a world whose simulator is not installed.
    """
    found = locate("world", config.name)
    if isinstance(found, type) and issubclass(found, WorldConfig):
        found = locate("world", found.world)
    world: World = found(config)
    return world
