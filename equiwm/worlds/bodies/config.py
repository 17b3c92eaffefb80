"""Configuration of the bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from equiwm.config import WorldConfig
from equiwm.errors import ConfigError
from equiwm.schema import setting

MOST_PLACES = 32
"""Places for bodies."""


@dataclass(frozen=True)
class BodiesConfig(WorldConfig):
    """Bodies that touch and attract each other, one of them pushed; group SE(d) x S_O, O the places."""

    world: ClassVar[str] = "equiwm.worlds.bodies.world:Bodies"
    title: ClassVar[str] = "bodies"
    has_tasks: ClassVar[bool] = False
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    counts: ClassVar[str] = "bodies"

    name: Literal["bodies"] = setting("bodies", "which world")
    dimension: Literal[2, 3] = setting(2, "dimension d of the space")
    bodies: int = setting(3, "bodies that are there", at_least=1)
    places: int = setting(8, "places for bodies, the empty ones masked: the group exchanges them all", at_least=2)

    @property
    def space_dimension(self) -> int:
        """The setting `dimension`."""
        return self.dimension

    @property
    def most_items(self) -> int:
        """The places."""
        return self.places

    def check(self) -> None:
        """Refuse more bodies than places, and more places than there may be.

        Raises:
            ConfigError: such numbers.
        """
        if self.places > MOST_PLACES:
            raise ConfigError(f"world.places: got {self.places}, expected at most {MOST_PLACES}.")
        if self.bodies > self.places:
            raise ConfigError(f"world.bodies: got {self.bodies}, expected at most world.places, {self.places}.")
