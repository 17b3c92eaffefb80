"""Configuration of the rigid body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from equiwm.config import IN_SPACE, WorldConfig, check_wedge
from equiwm.schema import setting


@dataclass(frozen=True)
class BodyConfig(WorldConfig):
    """A rigid body in MuJoCo with gravity off, driven by force, torque and a pusher, group SE(3)."""

    world: ClassVar[str] = "equiwm.worlds.body.world:Body"
    title: ClassVar[str] = "rigid body"
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"planning": IN_SPACE}
    dimensions: ClassVar[tuple[int, ...]] = (3,)

    name: Literal["body"] = setting("body", "which world")
    cone: Literal["elliptic", "pyramidal"] = setting(
        "elliptic", "friction cone; the pyramidal one, MuJoCo's default, breaks the symmetry on contact"
    )
    wedge: tuple[float, float] = setting(
        (0.0, 90.0), "scene orientations about z seen in training, degrees [low, high)"
    )
    episode_steps: int = setting(8, "control steps of one exploration episode", at_least=1)

    def check(self) -> None:
        """Refuse a wedge that is none.

        Raises:
            ConfigError: such a wedge.
        """
        check_wedge(self.wedge)
