"""Settings of worlds that are not ours, of which a `reps.yaml` says how their numbers transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from equiwm.config import WorldConfig, check_wedge
from equiwm.schema import setting


@dataclass(frozen=True)
class DescribedConfig(WorldConfig):
    """What logs and environments of any kind have in common."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"model": {"normalise": True}}

    reps: str | dict[str, Any] | None = setting(None, "what its numbers are: a reps.yaml, or what stands in one")
    group: str | None = setting(
        None, "the symmetry group: so2, se2, o2, so2z, so3, ...; null is so2 in the plane, and has to be said in space"
    )
    wedge: tuple[float, float] | None = setting(
        None, "orientations to train on, degrees [low, high); null is all that there are"
    )

    @property
    def space_dimension(self) -> int | None:
        """d, where `reps` says it; None where a file does."""
        found = self.reps.get("dimension") if isinstance(self.reps, Mapping) else None
        return found if isinstance(found, int) else None

    def check(self) -> None:
        """Refuse a wedge that is none.

        Raises:
            ConfigError: such a wedge.
        """
        if self.wedge is not None:
            check_wedge(self.wedge)
