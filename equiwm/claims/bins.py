"""The bins of a sweep with the words that results of the first version use for how much training has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from equiwm.symmetry.bins import OrbitBin as SymmetryBin
from equiwm.symmetry.bins import Part
from equiwm.symmetry.coverage import Arc, Ball
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.groups import Group

Seen = Literal["true", "partial", "false"]


@dataclass(frozen=True, eq=False)
class OrbitBin:
    """A bin of `Group.bins`, whose overlap is told by `seen`: `true` for the identity only, `partial` or `false`."""

    element: Elements
    label: str
    seen: Seen
    part: Part
    from_wedge_deg: float

    @staticmethod
    def of(entry: SymmetryBin, *, first: bool) -> OrbitBin:
        """The bin; `first` for the identity."""
        seen: Seen = "true" if first else "false" if entry.overlap == "none" else "partial"
        return OrbitBin(entry.element, entry.label, seen, entry.part, entry.from_wedge_deg)


def orbit_bins(
    group: Group, n: int, seed: int, wedge: tuple[float, float], *, ball: float | None = None
) -> list[OrbitBin]:
    """`Group.bins` where training has seen a wedge (about z in space), or a ball of rotations of that radius."""
    coverage = Arc(*wedge, d=group.d) if ball is None else Ball(ball, group.d)
    return [OrbitBin.of(entry, first=k == 0) for k, entry in enumerate(group.bins(n, seed, coverage))]
