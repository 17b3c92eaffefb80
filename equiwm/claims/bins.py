"""The bins of a sweep: elements of the group, named, and how much of each training has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from equiwm.symmetry.groups import Elements, Group

Seen = Literal["true", "partial", "false"]
Part = Literal["rotation", "translation", "both", "reflection"]

LADDER_SMALL, LADDER_LARGE = (2.0, -1.5, 1.0), (10.0, -8.0, 6.0)
"""Translations of the SE(3) ladder, in the units of the points (paper, section 5)."""


@dataclass(frozen=True, eq=False)
class OrbitBin:
    """A bin of the orbit.

    Attributes:
        element: the group element, batch shape ().
        label: degrees or a name.
        seen: `true` for the identity only, `partial` where the turned wedge overlaps the wedge, else `false`.
        part: what the element does besides nothing: the first that fits of both, translation, reflection, rotation.
        from_wedge_deg: angle between the turned wedge's middle and the wedge, 0 inside it.
        drawn: whether the element was drawn at random.
    """

    element: Elements
    label: str
    seen: Seen
    part: Part
    from_wedge_deg: float
    drawn: bool = False


def angle_from_wedge(element: Elements, wedge: tuple[float, float]) -> float:
    """Smallest geodesic angle in degrees between R R_mid and the wedge's rotations; R_mid is its middle.

    Scenes of the wedge are turned about z (d = 3) or the plane's centre (d = 2); a reflection counts as -R in
    space, and as R diag(-1, 1) in the plane.
    """
    rotation = element.linear
    if float(element.determinant) < 0:
        rotation = -rotation if element.d == 3 else rotation @ torch.diag(rotation.new_tensor([-1.0, 1.0]))
    group = Group("", element.d)
    low, high = wedge
    scenes = group.rotation(np.linspace(low, high, 361))
    turned = Elements(rotation, element.translation) @ group.rotation(0.5 * (low + high))
    return float((scenes.inverse() @ turned).angle_deg.min())


def _bin(element: Elements, label: str, seen: Seen, wedge: tuple[float, float], *, drawn: bool = False) -> OrbitBin:
    moves = bool(element.translation.any())
    turns = not torch.allclose(element.linear, torch.eye(element.d, dtype=torch.float64))
    mirrored = float(element.determinant) < 0
    part: Part = "both" if moves and turns else "translation" if moves else "reflection" if mirrored else "rotation"
    return OrbitBin(element, label, seen, part, angle_from_wedge(element, wedge), drawn)


def _planar(group: Group, n: int, wedge: tuple[float, float]) -> list[OrbitBin]:
    """R(360 k / n); with reflections also M R(360 k / n) with M = diag(-1, 1), all of them unseen."""
    width = wedge[1] - wedge[0]
    angles = 360.0 * np.arange(n) / n
    bins = []
    for k, angle in enumerate(angles):
        overlaps = angle < width or angle > 360.0 - width
        seen: Seen = "true" if k == 0 else "partial" if overlaps else "false"
        bins.append(_bin(group.rotation(angle), f"{angle:g}", seen, wedge))
    if group.reflections:
        mirror = group.elements(torch.diag(torch.tensor([-1.0, 1.0], dtype=torch.float64)))
        bins += [_bin(mirror @ entry.element, f"mirror {entry.label}", "false", wedge) for entry in bins[:n]]
    return bins


def _named(group: Group, width: float = 90.0) -> list[tuple[str, Elements, Seen]]:
    """The paper's named rotations; turned by 180 degrees about z, a wedge wider than that overlaps itself."""
    return [
        ("identity", group.identity(), "true"),
        ("z45", group.rotation(45.0), "partial" if width > 45.0 else "false"),
        ("z180", group.rotation(180.0), "partial" if width > 180.0 else "false"),
        ("x90", group.rotation(90.0, "x"), "false"),
        ("y90", group.rotation(90.0, "y"), "false"),
    ]


def _spatial(group: Group, n: int, seed: int, wedge: tuple[float, float]) -> list[OrbitBin]:
    """The named rotations, then `n` Haar draws (half of them reflect where the group has reflections)."""
    bins = [_bin(element, label, seen, wedge) for label, element, seen in _named(group, wedge[1] - wedge[0])]
    drawn = group.sample(n, seed)
    return bins + [_bin(drawn[k], f"random {k + 1}", "false", wedge, drawn=True) for k in range(n)]


def _ladder(group: Group, n: int, seed: int, wedge: tuple[float, float]) -> list[OrbitBin]:
    """The paper's ladder, then `n` draws of rotation and translation, t ~ N(0, 1)."""
    rotation = Group("", group.d, group.reflections).sample(2, seed).linear
    small, large = (torch.tensor(t, dtype=torch.float64)[: group.d] for t in (LADDER_SMALL, LADDER_LARGE))
    straight = torch.eye(group.d, dtype=torch.float64)
    rungs: list[tuple[str, torch.Tensor, torch.Tensor, Seen]] = [
        ("identity", straight, torch.zeros_like(small), "true"),
        ("small translation", straight, small, "false"),
        ("large translation", straight, large, "false"),
        ("rotation", rotation[0], torch.zeros_like(small), "false"),
        ("rotation, small translation", rotation[0], small, "false"),
        ("rotation, large translation", rotation[1], large, "false"),
    ]
    bins = [_bin(group.elements(linear, t), label, seen, wedge) for label, linear, t, seen in rungs]
    drawn = group.sample(n, seed)
    return bins + [_bin(drawn[k], f"random {k + 1}", "false", wedge, drawn=True) for k in range(n)]


def _turned_balls(group: Group, n: int, seed: int, radius: float) -> list[OrbitBin]:
    """The bins of space where training has seen the ball of rotations by at most `radius` degrees.

    The ball turned by g overlaps it where the angle of g is below 2 radius; the middle of the ball is the identity.
    """
    drawn = group.sample(n, seed)
    named = [(label, element) for label, element, _ in _named(group)]
    bins = []
    everything = [(label, element, False) for label, element in named]
    everything += [(f"random {k + 1}", drawn[k], True) for k in range(n)]
    for label, element, at_random in everything:
        angle, mirrored = float(element.angle_deg), float(element.determinant) < 0
        apart = mirrored or angle >= 2.0 * radius - 1e-6
        seen: Seen = "true" if label == "identity" else "false" if apart else "partial"
        part: Part = "reflection" if mirrored else "rotation"
        bins.append(OrbitBin(element, label, seen, part, max(0.0, angle - radius), at_random))
    return bins


def orbit_bins(
    group: Group, n: int, seed: int, wedge: tuple[float, float], *, ball: float | None = None
) -> list[OrbitBin]:
    """The bins of a group, the identity first.

    SO(2), O(2): `n` angles round the circle. SO(3), O(3): identity, z45, z180, x90, y90 and `n` random ones.
    SE(2), SE(3): the paper's ladder and `n` random ones.

    Args:
        group: the group.
        n: number of angles, or of random elements.
        seed: seed of the random ones.
        wedge: scene orientations seen in training, degrees.
        ball: radius in degrees, where training has seen a ball of rotations of space in place of the wedge.
    """
    if ball is not None and not group.translations:
        return _turned_balls(group, n, seed, ball)
    if group.translations:
        return _ladder(group, n, seed, wedge)
    return _planar(group, n, wedge) if group.d == 2 else _spatial(group, n, seed, wedge)
