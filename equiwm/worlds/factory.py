"""From a world's configuration to the world."""

from __future__ import annotations

from typing import Any

from equiwm.config import WorldConfig
from equiwm.errors import DataError, EquiwmError
from equiwm.foreign import called, is_ours, label
from equiwm.locate import locate
from equiwm.worlds.foreign import checked_world
from equiwm.worlds.guard import guarded
from equiwm.worlds.world import World


def build_world(config: WorldConfig) -> World:
    """The world that a configuration names; one that is not ours is checked (`worlds.foreign`).

    Raises:
        ConfigError: a world that is not found, or a guard that is none.
        DataError: a world that lacks something, or cannot be made of the configuration.
        MissingExtraError: a world whose simulator is not installed.
    """
    world = _built(config)
    return world if config.guard is None else guarded(world, config.guard)


def _built(config: WorldConfig) -> World:
    found = locate("world", config.name)
    if isinstance(found, type) and issubclass(found, WorldConfig):
        found = locate("world", found.world)
    if isinstance(found, type) and is_ours(found):
        world: World = found(config)
        return world
    return checked_world(_made(found, config))


def _made(found: Any, config: WorldConfig) -> Any:
    """A user's world of its configuration."""
    what = label(found) if isinstance(found, type) else f"world '{config.name}'"
    if not callable(found):
        raise DataError(f"{what} is {found!r}; expected a class that is made of its configuration.")
    lacking = sorted(getattr(found, "__abstractmethods__", ()))
    if lacking:
        raise DataError(f"{what} lacks {', '.join(lacking)}; a world of its base has to have every one of them.")
    try:
        made = called(found, f"{what}(config)", config)
    except EquiwmError as error:
        text = str(error)
        raise type(error)(text if text.startswith(what) else f"{what}: {text}") from None
    if made is None:
        raise DataError(f"{what}(config) returns nothing; expected a world.")
    return made
