"""The bins of a sweep with the words that results of the first version use for how much training has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from equiwm.symmetry.bins import OrbitBin as SymmetryBin
from equiwm.symmetry.bins import Part
from equiwm.symmetry.elements import Elements

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
