"""The cross-entropy planner."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from equiwm.errors import ConfigError
from equiwm.planning.refit import elite_weights
from equiwm.planning.sampling import SamplingPlanner


@dataclass(frozen=True)
class CEM(SamplingPlanner):
    """Cross-entropy method: refit mean and spread to the elites, the `elites` cheapest of `samples`.

    Defaults are the paper's in 2D (closed loop): horizon 20, 300 samples, 6 iterations, 30 elites, sigma 0.8.
    Elites are chosen in float64, and rounding does not choose between tied ones (`refit.elite_weights`).

    Raises:
        ConfigError: a setting out of its range, or more elites than samples.
    """

    elites: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.elites <= self.samples:
            raise ConfigError(f"planning.elites: got {self.elites}, expected 1 to planning.samples ({self.samples}).")

    @property
    def cut(self) -> int | None:
        return self.elites if self.elites < self.samples else None

    def weights(self, costs: Tensor, tie: float) -> Tensor:
        return elite_weights(costs, self.elites, tie)

    def next_spread(self, samples: Tensor, weights: Tensor, mean: Tensor, old: Tensor) -> Tensor:
        return self._refitted(samples, weights, mean)
