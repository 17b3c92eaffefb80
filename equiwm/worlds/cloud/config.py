"""Configuration of the point-cloud world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from equiwm.config import IN_SPACE, WorldConfig, check_wedge
from equiwm.schema import setting


@dataclass(frozen=True)
class CloudConfig(WorldConfig):
    """Synthetic point clouds driven by force, torque and stretch, group SE(3)."""

    world: ClassVar[str] = "equiwm.worlds.cloud.world:Cloud"
    title: ClassVar[str] = "point clouds"
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"planning": IN_SPACE}
    dimensions: ClassVar[tuple[int, ...]] = (3,)

    name: Literal["cloud"] = setting("cloud", "which world")
    action: Literal["coupled", "separate"] = setting(
        "coupled", "one vector drives force and torque (the paper's), or each has its own"
    )
    points: int = setting(24, "points of a cloud, always in the same order", at_least=4)
    breaking: float = setting(
        0.0,
        "strength g of a term - g <e_z, x~_p> e_z, which breaks the symmetry: each step flattens the cloud along z",
        at_least=0.0,
    )
    wedge: tuple[float, float] = setting(
        (0.0, 90.0), "scene orientations about z seen in training, degrees [low, high)"
    )

    def check(self) -> None:
        """Refuse a wedge that is none.

        Raises:
            ConfigError: such a wedge.
        """
        check_wedge(self.wedge)
