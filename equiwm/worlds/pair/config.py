"""Configuration of the pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from equiwm.config import WorldConfig
from equiwm.schema import setting


@dataclass(frozen=True)
class PairConfig(WorldConfig):
    """Two interchangeable bodies in the plane, each pushed; group SE(2) x S_2."""

    world: ClassVar[str] = "equiwm.worlds.pair.world:Pair"
    title: ClassVar[str] = "pair"
    has_tasks: ClassVar[bool] = False
    dimensions: ClassVar[tuple[int, ...]] = (2,)

    name: Literal["pair"] = setting("pair", "which world")
    drift: float = setting(
        0.0,
        "velocity that both have in common, along the first axis of a scene; at 0 half a turn and an exchange leave "
        "every scene as it is, and no frame of it exists",
        at_least=0.0,
    )
