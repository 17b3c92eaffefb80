"""Configuration of the ring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from equiwm.config import WorldConfig
from equiwm.schema import setting


@dataclass(frozen=True)
class RingConfig(WorldConfig):
    """A ring of points in the plane, group SE(2)."""

    world: ClassVar[str] = "equiwm.worlds.ring.world:Ring"
    title: ClassVar[str] = "ring"
    dimensions: ClassVar[tuple[int, ...]] = (2,)

    name: Literal["ring"] = setting("ring", "which world")
    ellipse: float = setting(
        0.0, "difference of the ring's two axes; 0 leaves no principal axes", at_least=0.0, below=1.0
    )
    lopsided: float = setting(
        0.0, "how far the first point stands out; at 0 both halves of the ring can be exchanged", at_least=0.0
    )
    jitter: float = setting(0.02, "standard deviation of every coordinate of a scene", at_least=0.0)
    noise: float = setting(0.0, "standard deviation of noise on what is observed before a step", at_least=0.0)
