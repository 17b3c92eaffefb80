"""Configuration of the velocity field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from equiwm.config import WorldConfig
from equiwm.errors import ConfigError
from equiwm.schema import setting


@dataclass(frozen=True)
class FieldConfig(WorldConfig):
    """The velocity field: six state vectors moved by a frozen equivariant teacher, group SO(2) or SO(3)."""

    world: ClassVar[str] = "equiwm.worlds.field.world:Field"
    title: ClassVar[str] = "velocity field"
    has_tasks: ClassVar[bool] = False
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    turns_scenes: ClassVar[bool] = True

    name: Literal["field"] = setting("field", "which world")
    dimension: Literal[2, 3] = setting(2, "dimension d of the space")
    breaking: float = setting(
        0.0, "strength g of a term - g <s_c, e> e along a fixed axis e, which breaks the symmetry", at_least=0.0
    )
    coverage: float | None = setting(
        None,
        "orientations seen in training: degrees of an arc (d = 2), radius of a ball (d = 3), of which 0 is the wedge "
        "[0, 90) about z; null is 180 or 90",
    )
    warmup: int = setting(
        0,
        "steps: a transition starts 0 to so many after its scene, as a rollout meets it; 0 is the paper's data",
        at_least=0,
        unit="steps",
    )

    @property
    def covered(self) -> float:
        """The coverage in degrees, its default filled in: at most 360 (arc), or 180 (radius of a ball)."""
        return (180.0 if self.dimension == 2 else 90.0) if self.coverage is None else self.coverage

    @property
    def space_dimension(self) -> int:
        """The setting `dimension`."""
        return self.dimension

    def on_wedge(self) -> Self:
        """The wedge [0, 90) in place of half of the group, and every transition at its scene (the paper's data)."""
        return replace(self, coverage=90.0 if self.dimension == 2 else 0.0, warmup=0)

    def check(self) -> None:
        """Refuse a coverage that is none.

        Raises:
            ConfigError: such a coverage.
        """
        largest = 360 if self.dimension == 2 else 180
        wedge_about_z = self.dimension == 3 and self.covered == 0.0
        if not (0.0 < self.covered <= largest or wedge_about_z):
            raise ConfigError(f"world.coverage: got {self.covered:g}, expected degrees above 0, at most {largest}.")
