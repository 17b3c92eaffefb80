"""How much a latent does: a collapsed network is perfectly invariant, so every verdict stands beside this."""

from __future__ import annotations

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


def latent_spread(latents: Tensor) -> Spread:
    """Spread of latents (B, D), computed in float64."""
    z = latents.detach().cpu().double()
    centred = z - z.mean(0)
    singular = torch.linalg.svdvals(centred)
    share = singular / singular.sum().clamp(min=1e-300)
    entropy = -(share * share.clamp(min=1e-300).log()).sum()
    return Spread(float(z.std(0).mean()), float(entropy.exp()))
