"""What a world offers: typed transitions, and a measurement of its own equivariance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from equiwm.symmetry.groups import Elements, Group
from equiwm.symmetry.reps import Rep

Orientations = Literal["seen", "all"]
"""Scene orientations to draw from: the training wedge, or the whole group."""

Progress = Callable[[int, int], None]
"""Called with (done, total) while data is collected."""


@dataclass(frozen=True, eq=False)
class Transitions:
    """n transitions (s_i, a_i) -> s'_i, float64, the spatial axis last.

    Attributes:
        observation: (n, C, d) of the world's observation rep.
        action: (n, d) or (n, C, d) of its action rep.
        next_observation: (n, C, d).
        episode: (n,) index of the episode each comes from; neighbours in one episode are not independent.
        excluded: transitions dropped while collecting, by reason.
    """

    observation: Tensor
    action: Tensor
    next_observation: Tensor
    episode: Tensor
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.observation)

    def to(self, dtype: torch.dtype, device: torch.device | str) -> Transitions:
        """Cast and move the tensors (once, where they are used)."""
        return replace(
            self,
            observation=self.observation.to(dtype).to(device),
            action=self.action.to(dtype).to(device),
            next_observation=self.next_observation.to(dtype).to(device),
        )

    def take(self, n: int) -> Transitions:
        """The first `n`."""
        return replace(
            self,
            observation=self.observation[:n],
            action=self.action[:n],
            next_observation=self.next_observation[:n],
            episode=self.episode[:n],
        )

    def transform(self, g: Elements, observation_rep: Rep, action_rep: Rep) -> Transitions:
        """Every transition turned by `g`: legitimate test data only where the world itself is equivariant."""
        return replace(
            self,
            observation=observation_rep.transform(self.observation, g),
            action=action_rep.transform(self.action, g),
            next_observation=observation_rep.transform(self.next_observation, g),
        )


@dataclass(frozen=True)
class SymmetryResidual:
    """How far a world's own dynamics is from equivariant: max |g s_H - s_H(g s_0, g a)| over rollouts.

    Attributes:
        unit: unit of the residuals, `px` for PushT.
        steps: length H of each rollout.
        worst: largest residual, by kind of rollout (for PushT `free`, `overlapping` and `wall`).
        rollouts: number of rollouts, by kind.
    """

    unit: str
    steps: int
    worst: Mapping[str, float]
    rollouts: Mapping[str, int]


class World(Protocol):
    """A controlled dynamics s' = T(s, a) with T(g s, g a) = g T(s, a) for all g of `group`."""

    name: str
    group: Group
    observation_rep: Rep
    action_rep: Rep
    components: Mapping[str, int]
    """Named channels of an observation, for errors shown one by one."""

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` exploration transitions; the same arguments give the same tensors."""
        ...

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """s' = T(s, a) from what an observation shows: (B, C, d), (B, d) or (B, C', d) -> (B, C, d), float64."""
        ...

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """What a read-out has to recover from a latent: named vectors, each (n, C', d)."""
        ...

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """The world's own equivariance, measured on random rollouts and their turned copies."""
        ...
