"""From a world configuration to a world."""

from __future__ import annotations

from equiwm.config import BodyConfig, CloudConfig, FieldConfig, PushTConfig, WorldConfig
from equiwm.errors import ConfigError
from equiwm.worlds.cloud import Cloud
from equiwm.worlds.field import Field
from equiwm.worlds.pusht import PushT
from equiwm.worlds.world import World


def build_world(config: WorldConfig) -> World:
    """The world that a configuration names.

    Raises:
        ConfigError: a world that this version does not have.
        MissingExtraError: a world whose simulator is not installed.
    """
    if isinstance(config, PushTConfig):
        return PushT(config)
    if isinstance(config, CloudConfig):
        return Cloud(config)
    if isinstance(config, FieldConfig):
        return Field(config)
    if isinstance(config, BodyConfig):
        from equiwm.worlds.body import Body  # MuJoCo is an extra

        return Body(config)
    raise ConfigError(f"the world '{config.name}' is not built yet.")
