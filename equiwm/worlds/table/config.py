"""Configuration of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from equiwm.config import WorldConfig, check_wedge
from equiwm.errors import ConfigError
from equiwm.schema import setting

_PLANNING: Mapping[str, Any] = {
    **{"horizon": 12, "samples": 256, "iterations": 5, "elites": 30, "steps": 20, "replan": 4},
    **{"running": 1.0, "position_weight": 60.0, "approach": 0.3},
}
"""Section `planning` of the table. Weights are of squared metres: 15 degrees cost as much as 2.4 cm."""
SOLVER_ITERATIONS = 100
"""MuJoCo's own default: Newton's method ends long before, by its tolerance."""


@dataclass(frozen=True)
class TableConfig(WorldConfig):
    """A rigid T on a table, pushed under gravity and friction in MuJoCo, group SE(2) about the vertical."""

    world: ClassVar[str] = "equiwm.worlds.table.world:Table"
    title: ClassVar[str] = "table"
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "model": {"normalise": True},
        "planning": _PLANNING,
    }
    dimensions: ClassVar[tuple[int, ...]] = (3,)
    frame: ClassVar[tuple[int, ...]] = (3,)  # where the T's stem points

    name: Literal["table"] = setting("table", "which world")
    cone: Literal["elliptic", "pyramidal"] = setting(
        "elliptic", "friction cone; the pyramidal one, MuJoCo's default, breaks the symmetry on contact"
    )
    slope: float = setting(
        0.0, "degrees by which the table leans towards +x; any but 0 breaks the symmetry", at_least=0.0, below=45.0
    )
    iterations: int = setting(
        SOLVER_ITERATIONS,
        "iterations of the contact solver at most; few leave the symmetry to its tolerance",
        at_least=1,
    )
    wedge: tuple[float, float] = setting(
        (0.0, 90.0), "scene orientations about z seen in training, degrees [low, high)"
    )
    episode_steps: int = setting(8, "control steps of one exploration episode", at_least=1)
    dropped: float = setting(0.2, "share of exploration scenes whose T begins tilted in the air", at_least=0.0)

    def check(self) -> None:
        """Refuse a wedge that is none, and a share above 1.

        Raises:
            ConfigError: such a wedge or share.
        """
        check_wedge(self.wedge)
        if self.dropped > 1.0:
            raise ConfigError(f"world.dropped: got {self.dropped:g}, expected a share, 0 to 1.")
