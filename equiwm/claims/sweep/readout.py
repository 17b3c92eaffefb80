"""Read-outs: what a latent says about the world, measured in the world's own quantities.

An error in a model's own latent compares nothing between models; the error of a linear read-out does. It is ridge
regression from the predicted latent F(s, a), fitted on training transitions, its penalty chosen by 5-fold
cross-validation over whole episodes. Equivariant models get equivariant read-outs only (the commutant: for
vectors the scalars, and in the plane also J), so that the read-out cannot spend what the model has not learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.symmetry.reps import Rep

PENALTIES = tuple(10.0**exponent for exponent in range(-6, 3))
_FOLDS = 5


def commutant_features(latent: Tensor, rep: Rep) -> Tensor:
    """Rows for a regression whose maps commute with rotations: latents (n, D) -> (n d, K).

    In the plane the columns are V_c and J V_c of every vector c (complex weights), in space V_c (real weights).
    Scalars have no equivariant linear map to a vector and are left out.
    """
    parts, start = [], 0
    for count, kind in rep.terms:
        width = count * kind.dim(rep.d)
        if kind.structured:
            parts.append(latent[:, start : start + width].reshape(-1, count, rep.d))
        start += width
    channels = torch.cat(parts, 1)  # (n, C, d)
    if rep.d == 2:
        quarter = torch.stack([-channels[..., 1], channels[..., 0]], -1)
        channels = torch.cat([channels, quarter], 1)
    return channels.transpose(1, 2).flatten(0, 1)


def affine_features(latent: Tensor) -> Tensor:
    """Rows for an affine regression: (n, D) -> (n, D + 1)."""
    return torch.cat([latent, torch.ones_like(latent[:, :1])], 1)


def _solve(features: Tensor, targets: Tensor, penalties: tuple[float, ...]) -> Tensor:
    """Ridge weights for every penalty: argmin mean |X w - y|^2 + penalty |w|^2, (len(penalties), K, M)."""
    gram, cross = features.T @ features / len(features), features.T @ targets / len(features)
    values, vectors = torch.linalg.eigh(gram)
    projected = vectors.T @ cross
    return torch.stack([vectors @ (projected / (values.clamp(min=0.0) + penalty)[:, None]) for penalty in penalties])


@dataclass(frozen=True, eq=False)
class Readout:
    """A fitted linear map from latents to a target.

    Attributes:
        rep: rep of the latents.
        commutant: whether it is restricted to equivariant maps.
        scale: (K,) root mean square of each feature in the data it was fitted on.
        weights: (K, M), on scaled features.
        penalty: ridge penalty, of scaled features; NaN of a model that diverged, as the weights are.
    """

    rep: Rep
    commutant: bool
    scale: Tensor
    weights: Tensor
    penalty: float

    def __call__(self, latent: Tensor) -> Tensor:
        """The target read out of latents (n, D): (n, C', d), float64."""
        features = _features(latent, self.rep, self.commutant) / self.scale
        return _structured(features @ self.weights, len(latent), self.rep.d, self.commutant)


def _features(latent: Tensor, rep: Rep, commutant: bool) -> Tensor:
    latent = latent.detach().cpu().double()
    return commutant_features(latent, rep) if commutant else affine_features(latent)


def _structured(rows: Tensor, n: int, d: int, commutant: bool) -> Tensor:
    """A read-out's rows as vectors (n, C', d)."""
    return rows.reshape(n, d, -1).transpose(1, 2) if commutant else rows.reshape(n, -1, d)


def fit_readout(latent: Tensor, target: Tensor, episode: Tensor, *, rep: Rep, commutant: bool) -> Readout:
    """Fit a read-out. From latents that are not finite there is none: whatever it reads out is NaN.

    Args:
        latent: (n, D) of `rep`.
        target: (n, C', d), vectors.
        episode: (n,) folds never split an episode.
        rep: rep of the latents.
        commutant: restrict the read-out to maps that commute with rotations; else it is affine.
    """
    features = _features(latent, rep, commutant)
    y = target.detach().cpu().double()
    rows = y.transpose(1, 2).flatten(0, 1) if commutant else y.flatten(1)
    scale = features.square().mean(0).sqrt().clamp(min=1e-12)
    features = features / scale
    if not features.isfinite().all():
        unknown = torch.full((features.shape[1], rows.shape[1]), torch.nan, dtype=torch.float64)
        return Readout(rep, commutant, scale, unknown, torch.nan)
    fold = (episode % _FOLDS).repeat_interleave(len(features) // len(latent))
    errors = torch.zeros(len(PENALTIES), dtype=torch.float64)
    for held_out in range(_FOLDS):
        test = fold == held_out
        if bool(test.any()) and not bool(test.all()):
            weights = _solve(features[~test], rows[~test], PENALTIES)
            errors += (features[test] @ weights - rows[test]).square().sum((1, 2))
    best = int(errors.argmin())
    return Readout(rep, commutant, scale, _solve(features, rows, (PENALTIES[best],))[0], PENALTIES[best])


def pooled_error(predicted: Tensor, target: Tensor, before: Tensor) -> float:
    """sum |predicted - target|^2 / sum |target - before|^2: 1 is what predicting no change gives."""
    target, before = target.detach().cpu().double(), before.detach().cpu().double()
    return float((predicted - target).square().sum() / (target - before).square().sum())


def action_only_error(
    action: Tensor, change: Tensor, episode: Tensor, test_action: Tensor, test_change: Tensor, rep: Rep
) -> float:
    """Error of an affine read-out of the change from the action alone, pooled: what a model has to beat.

    Predicting the change is the stronger control: the action knows nothing of where the block is.
    """
    fitted = fit_readout(action.flatten(1), change, episode, rep=rep, commutant=False)
    return pooled_error(fitted(test_action.flatten(1)), test_change, torch.zeros_like(test_change))
