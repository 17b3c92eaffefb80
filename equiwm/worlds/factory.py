"""From a world configuration to a world."""

from __future__ import annotations

from equiwm.config import PushTConfig, WorldConfig
from equiwm.errors import ConfigError
from equiwm.worlds.pusht import PushT
from equiwm.worlds.world import World


def build_world(config: WorldConfig) -> World:
    """The world that a configuration names.

    Raises:
        ConfigError: a world that this version does not have.
    """
    if isinstance(config, PushTConfig):
        return PushT(config)
    raise ConfigError(f"the world '{config.name}' is not built yet.")
