"""Configuration of PushT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from equiwm.config import WorldConfig, check_wedge
from equiwm.schema import setting


@dataclass(frozen=True)
class PushTConfig(WorldConfig):
    """The real PushT simulator (gym-pusht), group SO(2) about the arena's centre."""

    world: ClassVar[str] = "equiwm.worlds.pusht.world:PushT"
    title: ClassVar[str] = "PushT"
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    frame: ClassVar[tuple[int, ...]] = (3,)  # the block's direction
    positions: ClassVar[tuple[int, ...]] = (2, 0)  # of block and agent

    name: Literal["pusht"] = setting("pusht", "which world")
    direction: Literal["stem", "body_x"] = setting(
        "stem", "axis of the block that is observed: its mirror axis (stem), or the paper's body x axis"
    )
    scenes: Literal["push", "arena"] = setting(
        "push",
        "where training begins: the paper's push scenes at the centre, or block and agent anywhere in the arena, "
        "pushed from every side",
        later=True,
    )
    wedge: tuple[float, float] = setting((0.0, 90.0), "scene orientations seen in training, degrees [low, high)")
    episode_steps: int = setting(16, "steps of one exploration episode", at_least=1)

    def check(self) -> None:
        """Refuse a wedge that is none.

        Raises:
            ConfigError: such a wedge.
        """
        check_wedge(self.wedge)
