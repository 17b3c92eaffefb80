"""The bins of a sweep: elements of a group, named, and how much of each training has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from equiwm.symmetry.coverage import Coverage, Overlap
from equiwm.symmetry.elements import Elements

Part = Literal["rotation", "translation", "both", "reflection", "permutation"]


@dataclass(frozen=True, eq=False)
class OrbitBin:
    """A bin of the orbit.

    Attributes:
        element: the group element, batch shape ().
        label: degrees or a name.
        overlap: how much of the coverage, moved by the element, lies in the coverage.
        part: what the element does: the first that fits of both (turns and moves), translation, reflection,
            permutation (and no more), rotation.
        from_wedge_deg: angle between the middle of the moved coverage and the coverage, 0 inside it.
        drawn: whether it is a random element, rather than one of the group's named ones.
    """

    element: Elements
    label: str
    overlap: Overlap
    part: Part
    from_wedge_deg: float
    drawn: bool = False

    @staticmethod
    def of(element: Elements, label: str, coverage: Coverage, *, drawn: bool = False) -> OrbitBin:
        """The bin of one element, its overlap and angle measured against what training has seen."""
        in_space = element.acting_on(coverage.d, element.items)
        overlap, angle = coverage.overlap(in_space), coverage.distance_deg(in_space)
        return OrbitBin(element, label, overlap, part_of(element), angle, drawn)


def part_of(element: Elements) -> Part:
    """What a single element does, the first that fits of both, translation, reflection, permutation, rotation."""
    moves = bool(element.translation.any())
    turns = not torch.allclose(element.linear, torch.eye(element.d, dtype=torch.float64))
    if moves:
        return "both" if turns else "translation"
    if float(element.determinant) < 0:
        return "reflection"
    return "permutation" if bool(element.permutes) and not turns else "rotation"
