"""Configuration of PushT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from equiwm.config import WorldConfig, check_wedge
from equiwm.errors import ConfigError
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
    scenes: Literal["push", "arena", "demonstrations"] = setting(
        "push",
        "where training begins: the paper's push scenes at the centre, or block and agent anywhere in the arena, "
        "pushed from every side, or the recordings that world.demonstrations names (tests explore the arena)",
        later=True,
    )
    demonstrations: str | None = setting(
        None,
        "recorded episodes that are all of the training's data, with world.scenes=demonstrations: an npz or a Zarr "
        "folder in the layout of the diffusion policy's recordings",
        later=True,
    )
    wedge: tuple[float, float] = setting((0.0, 90.0), "scene orientations seen in training, degrees [low, high)")
    episode_steps: int = setting(16, "steps of one exploration episode", at_least=1)

    def check(self) -> None:
        """Refuse a wedge that is none, and recordings that training would not look at.

        Raises:
            ConfigError: such settings.
        """
        check_wedge(self.wedge)
        if self.demonstrations is not None and self.scenes != "demonstrations":
            raise ConfigError(
                f"world.demonstrations goes with world.scenes=demonstrations; got world.scenes={self.scenes}."
            )

    def settled(self, shows: Callable[[Any, Any], tuple[bool, str]] | None = None) -> tuple[Self, tuple[str, ...]]:
        """As a run keeps it: an absolute path of the recordings, once it is certain that they can be trained on.

        Raises:
            ConfigError: nothing says which recordings.
            DataError: what is wrong with them.
        """
        if self.scenes != "demonstrations":
            return self, ()
        from equiwm.symmetry.coverage import Arc
        from equiwm.worlds.pusht.demonstrated import Demonstrated

        Demonstrated(self.recordings, Arc(*self.wedge)).steps(1, seed=0)
        return replace(self, demonstrations=str(self.recordings.resolve())), ()

    @property
    def recordings(self) -> Path:
        """Where the recordings are.

        Raises:
            ConfigError: nothing says.
        """
        if self.demonstrations is None:
            raise ConfigError(
                "world.demonstrations is missing: which recordings? As in --set world.demonstrations=pusht_human.npz."
            )
        return Path(self.demonstrations)
