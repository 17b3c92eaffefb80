"""From the costs of samples to the next distribution: weights of the samples, and weighted statistics.

All in float64. Samples come last, (T, H, A, d, N), so that every sum over them runs along memory.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Constraint = Literal["ball", "box"]
Refit = Literal["isotropic", "full", "axis"]

TIE = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Relative width, by dtype of the costs, within which two costs count as tied: far above their rounding, far below
the spacing of samples that differ."""

EXPONENT_STEP = 2.0**-10
"""Grid of the softmin's exponents."""


def constrained(actions: Tensor, constraint: Constraint, reach: float = 1.0) -> Tensor:
    """Actions (T, H, A, d, N) moved into the ball of radius r, a / max(1, |a| / r), or into the box, clamp(a, -r, r).

    The ball turns with the scene; the box, whose axes are the laboratory's, does not.
    """
    if constraint == "box":
        return actions.clamp(-reach, reach)
    # Not `norm(dim=-2)`: over an axis that is not the last it is several times slower than a sum.
    return actions / actions.square().sum(-2, keepdim=True).clamp_min_(reach**2).sqrt_().div_(reach)


def elite_weights(costs: Tensor, elites: int, tie: float) -> Tensor:
    """Weights of the `elites` cheapest samples: 1 inside, 0 outside, and in between only where the cut is a tie.

    With `cut` half way between the last elite and the first that is not, and m = (cut - cost) / (tie scale),

        w = clamp(1/2 + sign(m) max(|m| - 1/2, 0), 0, 1),  scale = max(|best|, |median|).

    A hard choice between costs that agree to rounding would let rounding choose; here samples tied at the cut
    share the place (w = 1/2, whatever their rounding), and w is continuous in the costs. The median is in the scale
    because the best costs may be near 0 by cancellation, and the rounding is then that of larger numbers.

    Args:
        costs: (T, N) float64; what is not finite is never an elite.
        elites: k, 1 <= k <= N.
        tie: relative width of a tie.

    Returns:
        (T, N) float64; zero for a task that has no finite cost.
    """
    finite = costs.isfinite()
    costs = costs.masked_fill(~finite, torch.inf)
    ordered = costs.sort(-1).values
    if elites == costs.shape[-1]:
        return finite.to(costs)
    last, following = ordered[:, elites - 1 : elites], ordered[:, elites : elites + 1]
    cut = last + 0.5 * (following - last)
    middle = costs.shape[-1] // 2
    median = torch.where(ordered[:, middle].isfinite(), ordered[:, middle], ordered[:, 0])[:, None]
    scale = torch.maximum(ordered[:, :1].abs(), median.abs()).clamp_min(torch.finfo(costs.dtype).tiny / tie)
    margin = (cut - costs) / (tie * scale)
    weights = (0.5 + margin.sign() * (margin.abs() - 0.5).clamp_min(0.0)).clamp(0.0, 1.0)
    # Fewer finite costs than a cut needs: all of them are elites.
    return torch.where(following.isfinite(), weights, finite.to(costs))


def cheapest(costs: Tensor, tie: float) -> tuple[Tensor, Tensor]:
    """The cheapest sample of each task, rounding having no say: the first of all that are tied with it.

    Samples are drawn in one order however the scene is turned, and their costs agree to rounding; an argmin would let
    rounding choose between samples that cost the same (a plateau: none of them reaches the body). Here all within
    `tie` of the lowest cost are one, and the first drawn stands for them. Rounding (1e-13) then decides only where a
    cost lies within its own width of the rim of that band, once in some 10^10 choices.

    Args:
        costs: (T, N) float64; what is not finite is never the cheapest.
        tie: width of a tie, relative to max(|best|, |median|) as in `elite_weights`.

    Returns:
        Index (T,) and the lowest cost (T,); inf for a task that has no finite cost.
    """
    costs = costs.masked_fill(~costs.isfinite(), torch.inf)
    best = costs.amin(-1, keepdim=True)
    median = costs.median(-1, keepdim=True).values
    scale = torch.maximum(best.abs(), torch.where(median.isfinite(), median, best).abs())
    tied = costs <= best + tie * scale
    return tied.to(torch.int8).argmax(-1), best[:, 0]


def softmin_weights(costs: Tensor, temperature: float) -> Tensor:
    """w = exp(-(cost - min) / (temperature std)), std over the task's finite costs; 1 for all where std = 0.

    The exponent is rounded to multiples of `EXPONENT_STEP`. Smooth weights hand the rounding of the costs on to the
    plan, enlarged by 1 / temperature in each iteration (1e-16 grew to 5e-8 over three plans of four iterations);
    weights that do not change with the last digits stop it, at no more than 0.05% of a weight.

    Args:
        costs: (T, N) float64; what is not finite has weight 0.
        temperature: in units of the costs' standard deviation, so that a cost may be scaled freely.
    """
    finite = costs.isfinite()
    best = costs.masked_fill(~finite, torch.inf).amin(-1, keepdim=True)
    excess = (costs - best).masked_fill(~finite, 0.0)
    count = finite.sum(-1, keepdim=True).clamp_min(1)
    mean = excess.sum(-1, keepdim=True) / count
    std = (((excess - mean).square() * finite).sum(-1, keepdim=True) / count).sqrt()
    # Below the rounding of the costs a spread says nothing.
    level = std > 1e-12 * best.abs().nan_to_num(posinf=0.0)
    exponent = (excess / (temperature * std) / EXPONENT_STEP).round() * EXPONENT_STEP
    return torch.where(level, (-exponent).exp(), 1.0) * finite


def weighted_mean(samples: Tensor, weights: Tensor) -> Tensor:
    """sum_n w_n a_n / sum_n w_n: (T, H, A, d, N), (T, N) -> (T, H, A, d, 1)."""
    share = (weights / weights.sum(-1, keepdim=True))[:, None, None, None]
    # Not a matrix product: its rounding would depend on the number of tasks.
    return (samples * share).sum(-1, keepdim=True)


def initial_spread(sigma: float, refit: Refit, shape: tuple[int, int, int, int]) -> Tensor:
    """The spread of N(0, sigma^2) for actions of shape (T, H, A, d): see `spread`."""
    d = shape[-1]
    if refit == "full":
        return (sigma * torch.eye(d, dtype=torch.float64)).expand(*shape, d)
    return torch.full((*shape[:-1], 1 if refit == "isotropic" else d, 1), sigma, dtype=torch.float64)


def spread(samples: Tensor, weights: Tensor, mean: Tensor, refit: Refit) -> Tensor:
    """How far the weighted samples lie from their mean, per step and channel.

    isotropic: sigma = sqrt(E |a - mean|^2 / d), (T, H, A, 1, 1): turns with the scene.
    full: S^(1/2), the symmetric root of the covariance S, (T, H, A, d, d): (R S R^T)^(1/2) = R S^(1/2) R^T.
    axis: a sigma for each laboratory axis, (T, H, A, d, 1): does not turn with the scene.
    """
    difference = samples - mean
    if refit == "full":
        share = (weights / weights.sum(-1, keepdim=True))[:, None, None, None]
        values, vectors = torch.linalg.eigh((difference * share) @ difference.transpose(-1, -2))
        return (vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.transpose(-1, -2)
    variance = weighted_mean(difference.square_(), weights)
    if refit == "isotropic":
        variance = variance.mean(-2, keepdim=True)
    return variance.sqrt()


def scattered(noise: Tensor, spread: Tensor, refit: Refit) -> Tensor:
    """Unit noise (T, H, A, d, N) stretched to the spread."""
    return spread @ noise if refit == "full" else noise * spread
