"""SO(d), O(d), SE(d) and E(d) of the plane and of space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import GroupError
from equiwm.symmetry.elements import Elements, Seed, drawing, haar_rotations, planar_rotations
from equiwm.symmetry.generators import Generators
from equiwm.symmetry.group import TOLERANCE, Group

LADDER = {"small translation": (2.0, -1.5, 1.0), "large translation": (10.0, -8.0, 6.0)}
"""Translations of the ladder of SE(3), in the units of the points (paper, section 5); the plane takes the first two."""


@dataclass(frozen=True)
class EuclideanGroup(Group):
    """SO(d), O(d), SE(d) or E(d) of the plane or of space: all rotations, with or without reflections, translations.

    Attributes:
        name: lower-case name.
        d: 2 or 3.
        reflections: whether R may have determinant -1.
        translations: whether t may be non-zero.
    """

    name: str
    d: int
    reflections: bool = False
    translations: bool = False

    def __post_init__(self) -> None:
        meant = f"{'' if self.reflections else 's'}{'e' if self.translations else 'o'}{self.d}"
        if self.name != meant or self.d not in (2, 3):
            raise GroupError(
                f"'{self.name}' is not a Euclidean group of d = {self.d}: with these motions it is {meant}."
            )

    def __str__(self) -> str:
        return f"{self.name[:-1].upper()}({self.d})"

    def contains(self, g: Elements) -> Tensor:
        eye = torch.eye(self.d, dtype=g.linear.dtype)
        inside = ((g.linear.mT @ g.linear - eye).abs() <= TOLERANCE).flatten(-2).all(-1) & ~g.permutes
        if not self.reflections:
            inside &= g.determinant > 0
        return inside if self.translations else inside & ~g.moves

    def _lacks(self, g: Elements) -> str:
        if not self.translations and bool(g.moves.any()):
            return f"it has no translations; use {self.name.replace('o', 'e')}"
        return super()._lacks(g)

    @property
    def generators(self) -> Generators:
        """A mirror (x -> -x) where it reflects; infinitesimal rotations and translations."""
        flip = torch.eye(self.d, dtype=torch.float64)
        flip[0, 0] = -1.0
        mirrors = self.identity(1)[:0]
        if self.reflections:
            mirrors = Elements(flip[None], flip.new_zeros(1, self.d))
        return Generators.euclidean(self.d, mirrors, translations=self.translations)

    def sample(self, n: int, seed: Seed, *, sigma: float = 1.0) -> Elements:
        """`n` elements: R from the Haar measure, and t ~ N(0, sigma^2 I) where the group has translations."""
        rng = drawing(n, seed)
        return self._decorate(haar_rotations(n, rng, self.d), rng, sigma)

    def _decorate(self, turns: Tensor, rng: np.random.Generator, sigma: float) -> Elements:
        """Give rotations their random reflections and translations, where the group has them."""
        n = len(turns)
        if self.reflections:
            flip = torch.eye(self.d, dtype=torch.float64).repeat(n, 1, 1)
            flip[:, 0, 0] = torch.from_numpy(rng.choice([-1.0, 1.0], n))
            turns = turns @ flip
        translation = torch.from_numpy(rng.normal(0.0, sigma, (n, self.d))) if self.translations else None
        return self.elements(turns, translation)

    def orbit(self, n: int, seed: Seed = 0, *, sigma: float = 1.0) -> Elements:
        """`n` elements that spread over the group, the identity first.

        In the plane the rotations are by 360 k / n degrees, in space Haar draws from `seed`; reflections and
        translations, where the group has them, are drawn for all but the first.
        """
        if self.d == 3:
            return super().orbit(n, seed, sigma=sigma)
        drawn = self._decorate(planar_rotations(2 * np.pi * np.arange(n) / n), drawing(n, seed), sigma)
        return Elements.cat([self.identity(1), drawn[1:]])

    @property
    def draws(self) -> bool:
        """In the plane the circle is covered by its angles, unless there are translations."""
        return self.d == 3 or self.translations

    def named(self, n: int, seed: Seed) -> list[tuple[str, Elements]]:
        """The circle for SO(2) and O(2), the paper's rotations for SO(3) and O(3), its ladder with translations."""
        if self.translations:
            return self._ladder(seed)
        if self.d == 2:
            return circle(self, n)
        return [
            ("identity", self.identity()),
            ("z45", self.rotation(45.0)),
            ("z180", self.rotation(180.0)),
            ("x90", self.rotation(90.0, "x")),
            ("y90", self.rotation(90.0, "y")),
        ]

    def _ladder(self, seed: Seed) -> list[tuple[str, Elements]]:
        """Translations small and large, a rotation, and both; the rotations are drawn from O(d) or SO(d)."""
        turns = (O2, O3)[self.d - 2] if self.reflections else (SO2, SO3)[self.d - 2]
        linear = turns.sample(2, seed).linear
        straight = torch.eye(self.d, dtype=torch.float64)
        small, large = (torch.tensor(t, dtype=torch.float64)[: self.d] for t in LADDER.values())
        rungs = [
            ("identity", straight, torch.zeros_like(small)),
            ("small translation", straight, small),
            ("large translation", straight, large),
            ("rotation", linear[0], torch.zeros_like(small)),
            ("rotation, small translation", linear[0], small),
            ("rotation, large translation", linear[1], large),
        ]
        return [(label, self.elements(turn, t)) for label, turn, t in rungs]


def circle(group: Group, n: int) -> list[tuple[str, Elements]]:
    """R(360 k / n), labelled by degrees; with reflections also M R(360 k / n), M = diag(-1, 1), `mirror 40`."""
    labels = [f"{angle:g}" for angle in 360.0 * np.arange(n) / n]
    turned = [(label, group.rotation(360.0 * k / n)) for k, label in enumerate(labels)]
    if not group.reflections:
        return turned
    mirror = group.elements(torch.diag(torch.tensor([-1.0, 1.0], dtype=torch.float64)))
    return turned + [(f"mirror {label}", mirror @ element) for label, element in turned]


SO2: Group = EuclideanGroup("so2", 2)
O2: Group = EuclideanGroup("o2", 2, reflections=True)
SE2: Group = EuclideanGroup("se2", 2, translations=True)
E2: Group = EuclideanGroup("e2", 2, reflections=True, translations=True)
SO3: Group = EuclideanGroup("so3", 3)
O3: Group = EuclideanGroup("o3", 3, reflections=True)
SE3: Group = EuclideanGroup("se3", 3, translations=True)
E3: Group = EuclideanGroup("e3", 3, reflections=True, translations=True)
GROUPS: dict[str, Group] = {group.name: group for group in (SO2, O2, SE2, E2, SO3, O3, SE3, E3)}
