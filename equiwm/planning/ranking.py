"""Exact choices from cheap scores: all samples scored in float32, and those near a choice again in float64.

A planner that refits to the k cheapest samples needs to know which they are, not what each of them costs. With c' the
score in float32, c that in float64, and the cut half way between rank k and the next, a sample is on its side of the
cut whatever its rounding unless |c' - c| reaches its distance from the cut. So the samples nearest to the cut are
scored again in float64, and two things are asked of every call before its ranking is used:

- **the band**: `SAFETY` times the largest |c' - c| of those scored again is at most the distance from the cut of the
  nearest one that was not. The rounding of a rollout has no useful bound beforehand (Lipschitz constants to the power
  of the horizon), so it is measured, on the samples that resemble those in doubt the most.
- **no tie**: the choice is the same for half and for twice the width of a tie, so that neither the rounding of the
  other costs nor the order of a sum in a smaller batch takes part in it.

Where one fails, more are scored again, and then all: the same call, with the same bits, as without ranking. A plan is
then bitwise what it is in float64. What is measured and not proven is that no sample outside the band has a rounding
`SAFETY` times that of all inside it: those farther off are less precise, but less so than they are farther off
(docs/measurements.md). Weights that depend on every cost (MPPI) cannot be had in this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.errors import DataError

Cost = Callable[[Tensor], Tensor]
"""All a planner sees: actions (T, N, H, *shape) of T tasks with N samples each -> costs (T, N). An action has the
`Rep.shape` of its rep: (A, d) of vectors, flat (dim,) of anything else. Samples may be strided (they lie last in
memory)."""

BANDS = (8, 32)
"""Samples nearest to a cut that are scored again, first and then. Of 300 the first 8 reach some 1% of the costs' scale
to either side, hundreds of times the rounding of float32 (`tests/benchmarks/test_ranking.py`)."""

SAFETY = 32.0
"""How many times farther than the largest measured rounding a sample lies that is not scored again."""

GIVE_UP = 2
"""Calls that fell back after which a plan is no longer ranked: twice the work for nothing would be worse."""


@dataclass(frozen=True)
class Scored:
    """How the candidates of plans were scored.

    Attributes:
        candidates: that were ranked in float32.
        again: of them scored again in float64, near a choice.
        wholly: and those scored again because their whole call was: too near a tie, or to the rounding of float32.
    """

    candidates: int = 0
    again: int = 0
    wholly: int = 0

    def __add__(self, other: Scored) -> Scored:
        return Scored(self.candidates + other.candidates, self.again + other.again, self.wholly + other.wholly)


class Scoring:
    """The costs of the samples of one plan.

    Args:
        exact: the cost.
        rough: an approximation of it, for ranking; None scores all exactly.
    """

    def __init__(self, exact: Cost, rough: Cost | None) -> None:
        self._exact, self._rough = exact, rough
        self._fallbacks = 0
        self.scored = Scored()

    def __call__(self, candidates: Tensor, cuts: Sequence[int], settled: Callable[[Tensor], bool]) -> Tensor:
        """Costs (T, N) of candidates (T, N, H, *shape), with which every choice is as with the exact ones.

        Args:
            candidates: the samples.
            cuts: ranks after which a choice cuts, 1 <= k < N; the costs of samples far from all of them are rough.
            settled: whether the choice made with costs (T, N) float64 leaves nothing to rounding.

        Raises:
            DataError: costs of another shape.
        """
        shape = candidates.shape[:2]
        few = 4 * BANDS[0] * len(cuts) > shape[1]  # too few samples for the second pass to be much cheaper
        if self._rough is None or not cuts or few or self._fallbacks >= GIVE_UP:
            return shaped(self._exact(candidates), shape, "costs")
        rough = shaped(self._rough(candidates), shape, "costs").double()
        found, again = self._ranked(candidates, rough, cuts, settled) if bool(rough.isfinite().all()) else (None, 0)
        self.scored += Scored(shape.numel(), again, shape.numel() if found is None else 0)
        if found is not None:
            return found
        self._fallbacks += 1
        return shaped(self._exact(candidates), shape, "costs")

    def _ranked(
        self, candidates: Tensor, rough: Tensor, cuts: Sequence[int], settled: Callable[[Tensor], bool]
    ) -> tuple[Tensor | None, int]:
        """The costs, or None where they cannot be had, and how many samples were scored exactly for them."""
        again, tasks = 0, torch.arange(len(rough))[:, None]
        for width in BANDS:
            if 2 * width * len(cuts) > rough.shape[1]:
                break
            bands = [_band(rough, cut, width) for cut in cuts]
            index = torch.cat([band for band, _ in bands], 1)
            known = shaped(self._exact(candidates[tasks, index]), index.shape, "costs")
            again += index.numel()
            error = (known - rough.gather(1, index)).abs().amax(1)
            if all(bool((SAFETY * error <= reach).all()) for _, reach in bands):
                costs = rough.scatter(1, index, known)
                return (costs, again) if settled(costs) else (None, again)
        return None, again


def _band(costs: Tensor, cut: int, width: int) -> tuple[Tensor, Tensor]:
    """The samples (T, width) nearest to the cut after so many, and how far (T,) the nearest other one is from it."""
    ordered = costs.sort(1).values[:, cut - 1 : cut + 1]
    away = (costs - ordered.mean(1, keepdim=True)).abs()
    distance, index = away.topk(width + 1, dim=1, largest=False)
    return index[:, :-1], distance[:, -1]


def shaped(value: Tensor, shape: Sequence[int], what: str) -> Tensor:
    """A value that was given to a planner, on the CPU.

    Raises:
        DataError: it has another shape.
    """
    if value.shape != tuple(shape):
        raise DataError(f"planning: {what} has shape {tuple(value.shape)}, expected {tuple(shape)}.")
    return value.detach().cpu()
