"""The path-integral planner."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from equiwm.errors import ConfigError
from equiwm.planning.refit import softmin_weights
from equiwm.planning.sampling import SamplingPlanner


@dataclass(frozen=True)
class MPPI(SamplingPlanner):
    """Model-predictive path integral: the plan becomes the softmin-weighted mean of the samples.

        m <- sum_n w_n a_n / sum_n w_n,  w_n = exp(-(c_n - min c) / (temperature std(c)))

    with exponents on a grid that rounding does not reach (`refit.softmin_weights`). The spread is refitted
    with the same weights (in Williams et al. 2017 it stays as it was). Constraint, refit and frame are as in CEM.

    Raises:
        ConfigError: a setting out of its range.
    """

    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0.0:
            raise ConfigError(f"planning.temperature: got {self.temperature:g}, expected a positive number.")

    def weights(self, costs: Tensor, tie: float) -> Tensor:
        return softmin_weights(costs, self.temperature)

    def next_spread(self, samples: Tensor, weights: Tensor, mean: Tensor, old: Tensor) -> Tensor:
        return self._refitted(samples, weights, mean)
