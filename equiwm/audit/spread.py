"""How much a latent does: a collapsed network is perfectly invariant, so every verdict stands beside this."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """Spread of a batch of latents.

    Attributes:
        latent_std: mean over dimensions of the standard deviation over the batch.
        effective_rank: exp of the entropy of the normalised singular values of the centred latents, between 1
            and the latent dimension (Roy & Vetterli 2007).
    """

    latent_std: float
    effective_rank: float


def latent_std(latents: Tensor) -> float:
    """`Spread.latent_std` alone of latents (B, D), in float64: most of the time that a spread takes goes into ranks."""
    return float(latents.detach().cpu().double().std(0).mean())


def latent_spread(latents: Tensor) -> Spread:
    """Spread of latents (B, D), computed in float64."""
    z = latents.detach().cpu().double()
    return Spread(latent_std(z), _effective_rank(z - z.mean(0)))


def spread_in_parts(parts: Callable[[], Iterable[Tensor]]) -> Spread:
    """Spread of latents that come in parts (B_i, D), together, in the memory of one part.

    The singular values of all of them are those of the triangular factor of their QR decomposition, which is updated
    part by part: the spread is that of `latent_spread` to rounding.

    Args:
        parts: gives the parts; it is called twice.
    """
    count, mean = 0, torch.zeros((), dtype=torch.float64)
    for part in parts():
        z = part.detach().cpu().double()
        mean, count = mean + z.sum(0), count + len(z)
    mean = mean / count
    squares, factor = torch.zeros_like(mean), torch.zeros(0, len(mean), dtype=torch.float64)
    for part in parts():
        centred = part.detach().cpu().double() - mean
        squares += centred.square().sum(0)
        factor = torch.linalg.qr(torch.cat([factor, centred]), mode="r").R
    return Spread(float((squares / (count - 1)).sqrt().mean()), _effective_rank(factor))


def _effective_rank(rows: Tensor) -> float:
    singular = torch.linalg.svdvals(rows)
    share = singular / singular.sum().clamp(min=1e-300)
    return float((-(share * share.clamp(min=1e-300).log()).sum()).exp())
