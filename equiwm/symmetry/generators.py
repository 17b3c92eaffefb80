"""What generates a group: elements, and the Lie algebra of its one-parameter subgroups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.symmetry.elements import Elements, identities

_TIMES = (0.7, -2.3, 11.0)
"""Where one-parameter subgroups are probed: no rational parts of a turn."""


@dataclass(frozen=True, eq=False)
class Generators:
    """Discrete generators and a basis of the Lie algebra of a group.

    Attributes:
        discrete: elements, batch shape (k,); none for a connected group.
        names: a name for each infinitesimal motion, `rotation xy` or `translation x`.
        linear: A, shape (m, d, d), float64: the motion x' = A x + b.
        translation: b, shape (m, d), float64.
    """

    discrete: Elements
    names: tuple[str, ...]
    linear: Tensor
    translation: Tensor

    @property
    def dimension(self) -> int:
        """Dimension m of the group; 0 for a discrete one."""
        return len(self.names)

    @property
    def matrices(self) -> Tensor:
        """The infinitesimal motions as homogeneous matrices [[A, b], [0, 0]], shape (m, d + 1, d + 1), float64."""
        top = torch.cat([self.linear, self.translation[..., None]], -1)
        return torch.nn.functional.pad(top, (0, 0, 0, 1))

    def flow(self, time: float | Tensor) -> Elements:
        """exp(time X) of every infinitesimal motion X, batch shape (m,); `time` broadcasts against (m,)."""
        time = torch.as_tensor(time, dtype=torch.float64)[..., None, None]
        moved = torch.linalg.matrix_exp(time * self.matrices)
        return Elements(moved[..., :-1, :-1], moved[..., :-1, -1])

    def elements(self) -> Elements:
        """The discrete generators, and elements of every one-parameter subgroup."""
        parts = [self.discrete, *(self.flow(time) for time in _TIMES if self.dimension)]
        return Elements.cat(parts)

    @staticmethod
    def euclidean(d: int, discrete: Elements, *, translations: bool) -> Generators:
        """Rotations in every plane of two axes, translations along every axis, and discrete generators."""
        axes = "xyz"[:d]
        names, linear, shifts = [], [], []
        for i in range(d):
            for j in range(i + 1, d):
                turn = torch.zeros(d, d, dtype=torch.float64)
                turn[j, i], turn[i, j] = 1.0, -1.0
                names.append(f"rotation {axes[i]}{axes[j]}")
                linear.append(turn)
                shifts.append(torch.zeros(d, dtype=torch.float64))
        for i in range(d if translations else 0):
            names.append(f"translation {axes[i]}")
            linear.append(torch.zeros(d, d, dtype=torch.float64))
            shifts.append(torch.eye(d, dtype=torch.float64)[i])
        return Generators(discrete, tuple(names), torch.stack(linear), torch.stack(shifts))


def discrete(elements: Elements) -> Generators:
    """Generators of a discrete group (or drawn ones): elements alone."""
    none = identities(elements.d)
    return Generators(elements, (), none.linear.new_zeros(0, *none.linear.shape), none.linear.new_zeros(0, elements.d))
