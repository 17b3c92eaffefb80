"""Read-outs: what a latent says about the world, measured in the world's own quantities.

An error in a model's own latent compares nothing between models; the error of a linear read-out does. It is ridge
regression from the predicted latent F(s, a), fitted on training transitions, its penalty chosen by 5-fold
cross-validation over whole episodes. Equivariant models get equivariant read-outs only (the commutant: for
vectors the scalars, and in the plane also J), so that the read-out cannot spend what the model has not learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.symmetry.groups import Group
from equiwm.symmetry.intertwiners import maps_between
from equiwm.symmetry.kinds import SCALAR
from equiwm.symmetry.motions import turns_every_way
from equiwm.symmetry.quaternions import as_matrices, matrix_rep
from equiwm.symmetry.reps import Rep, vectors
from equiwm.training.data import parts_of

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


class TypedFeatures:
    """Rows for a regression of one kind on latents of any rep, whose maps are all that commute with a group.

    Of every channel of the latents and every map A between its kind and the target's, one column A x; and where the
    target has something that the group does not move, a constant. Quaternions are taken as rotation matrices.

    Args:
        rep: rep of the latents.
        target: rep of the target, copies of one kind.
        group: the group.
    """

    def __init__(self, rep: Rep, target: Rep, group: Group) -> None:
        ((self.count, kind),) = target.linear_part.terms
        self.rep, self.width = rep, kind.dim(target.d)
        self.maps = [maps_between(source, kind, group) for _, source in matrix_rep(rep).terms]
        self.constant = maps_between(SCALAR, kind, group)

    def rows(self, latent: Tensor) -> Tensor:
        """(n, D) -> (n width, K)."""
        whole = matrix_rep(self.rep)
        widths = [count * kind.dim(whole.d) for count, kind in whole.terms]
        parts = torch.split(as_matrices(latent, self.rep), widths, -1)
        columns = [
            torch.einsum("kmw,ncw->nmck", maps, part.reshape(len(latent), count, maps.shape[-1])).flatten(-2)
            for part, maps, (count, _) in zip(parts, self.maps, whole.terms, strict=True)
        ]
        columns.append(self.constant[..., 0].T.expand(len(latent), -1, -1))
        return torch.cat(columns, -1).flatten(0, 1)

    def targets(self, target: Tensor) -> Tensor:
        """(n, C, width) or flat -> (n width, C)."""
        return target.reshape(-1, self.count, self.width).transpose(1, 2).flatten(0, 1)

    def read(self, rows: Tensor, n: int) -> Tensor:
        """What `targets` makes rows of, (n, C, width)."""
        return rows.reshape(n, self.width, self.count).transpose(1, 2)


def affine_features(latent: Tensor) -> Tensor:
    """Rows for an affine regression: (n, D) -> (n, D + 1)."""
    return torch.cat([latent, torch.ones_like(latent[:, :1])], 1)


def _solve(moments: _Moments, penalties: tuple[float, ...]) -> Tensor:
    """Ridge weights for every penalty: argmin mean |X w - y|^2 + penalty |w|^2, (len(penalties), K, M)."""
    values, vectors = torch.linalg.eigh(moments.gram / moments.count)
    projected = vectors.T @ (moments.cross / moments.count)
    return torch.stack([vectors @ (projected / (values.clamp(min=0.0) + penalty)[:, None]) for penalty in penalties])


class Lazy:
    """Rows that are made when a slice of them is asked for.

    Args:
        count: how many there are.
        make: gives those of a slice.
    """

    def __init__(self, count: int, make: Callable[[slice], Tensor]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> Tensor:
        return self._make(part)


@dataclass(frozen=True, eq=False)
class Readout:
    """A fitted linear map from latents to a target.

    Attributes:
        rep: rep of the latents.
        commutant: whether it is restricted to equivariant maps.
        shape: of one target, (C', d) or flat.
        typed: its features where latents or target are more than vectors, or the group is less than all rotations.
        scale: (K,) root mean square of each feature in the data it was fitted on.
        weights: (K, M), on scaled features.
        penalty: ridge penalty, of scaled features; NaN of a model that diverged, as the weights are.
    """

    rep: Rep
    commutant: bool
    scale: Tensor
    weights: Tensor
    penalty: float
    shape: tuple[int, ...]
    typed: TypedFeatures | None = None

    def __call__(self, latent: Tensor) -> Tensor:
        """The target read out of latents (n, D): (n, C', d) or flat, as it was fitted, float64."""
        rows = _features(latent, self.rep, self.commutant, self.typed) / self.scale @ self.weights
        if self.typed is not None:
            read = self.typed.read(rows, len(latent))
        else:
            read = rows.reshape(len(latent), self.rep.d, -1).transpose(1, 2) if self.commutant else rows
        return read.reshape(len(latent), *self.shape)


def _features(latent: Tensor, rep: Rep, commutant: bool, typed: TypedFeatures | None) -> Tensor:
    latent = latent.detach().cpu().double()
    if typed is not None:
        return typed.rows(latent)
    return commutant_features(latent, rep) if commutant else affine_features(as_matrices(latent, rep))


def _typed(rep: Rep, channels: int, target_rep: Rep | None, group: Group | None) -> TypedFeatures | None:
    """The features of an equivariant read-out, where those of vectors under all rotations are not all there are."""
    if group is None or (target_rep is None and rep.structured and turns_every_way(group)):
        return None
    return TypedFeatures(rep, vectors(channels, rep.d) if target_rep is None else target_rep, group)


def fit_readout(
    latent: Tensor | Lazy,
    target: Tensor | Lazy,
    episode: Tensor,
    *,
    rep: Rep,
    commutant: bool,
    target_rep: Rep | None = None,
    group: Group | None = None,
) -> Readout:
    """Fit a read-out. From latents that are not finite there is none: whatever it reads out is NaN.

    More rows than are encoded at once are taken in parts, three times over, and their sums added: the same to rounding,
    in the memory of one part.

    Args:
        latent: (n, D) of `rep`.
        target: (n, C', d), vectors; or flat (n, dim) of `target_rep`.
        episode: (n,) folds never split an episode.
        rep: rep of the latents.
        commutant: restrict the read-out to maps that commute with the group; else it is affine.
        target_rep: rep of a flat target, copies of one kind; None is vectors.
        group: the world's; None is all rotations, of vectors.
    """
    shape = tuple(target[:1].shape[1:])
    typed = _typed(rep, shape[0], target_rep, group) if commutant else None
    blocks = _Blocks(latent, target, episode, rep, commutant, typed)
    scale = blocks.scale()
    if scale is None:
        width, targets = blocks.widths
        unknown = torch.full((width, targets), torch.nan, dtype=torch.float64)
        return Readout(rep, commutant, unknown[:, 0], unknown, torch.nan, shape, typed)
    everything, without = blocks.moments(scale)
    errors = torch.zeros(len(PENALTIES), dtype=torch.float64)
    weights = [None if each is None else _solve(each, PENALTIES) for each in without]
    for features, rows, fold in blocks.scaled(scale):
        for held_out, fitted in enumerate(weights):
            test = fold == held_out
            if fitted is not None and bool(test.any()):
                errors += (features[test] @ fitted - rows[test]).square().sum((1, 2))
    best = int(errors.argmin())
    fitted_on_all = _solve(everything, (PENALTIES[best],))[0]
    return Readout(rep, commutant, scale, fitted_on_all, PENALTIES[best], shape, typed)


class _Blocks:
    """The rows of a regression, part by part; of a single part they are made once."""

    def __init__(
        self,
        latent: Tensor | Lazy,
        target: Tensor | Lazy,
        episode: Tensor,
        rep: Rep,
        commutant: bool,
        typed: TypedFeatures | None,
    ) -> None:
        self._latent, self._target, self._episode = latent, target, episode
        self._rep, self._commutant, self._typed = rep, commutant, typed
        self._parts = parts_of(len(latent))
        self._only = self._made(self._parts[0]) if len(self._parts) == 1 else None
        features, rows = self._only or self._made(slice(0, 1))
        self.widths = features.shape[1], rows.shape[1]

    def _made(self, part: slice) -> tuple[Tensor, Tensor]:
        y = self._target[part].detach().cpu().double()
        if self._typed is not None:
            rows = self._typed.targets(y)
        else:
            rows = y.transpose(1, 2).flatten(0, 1) if self._commutant else y.flatten(1)
        return _features(self._latent[part], self._rep, self._commutant, self._typed), rows

    def _each(self) -> Iterator[tuple[Tensor, Tensor, slice]]:
        for part in self._parts:
            yield (*(self._only or self._made(part)), part)

    def scale(self) -> Tensor | None:
        """(K,) root mean square of each feature; None where one is not finite."""
        squares, count = torch.zeros(self.widths[0], dtype=torch.float64), 0
        for features, _, _ in self._each():
            squares, count = squares + features.square().sum(0), count + len(features)
        scale = (squares / count).sqrt().clamp(min=1e-12)
        return scale if bool(scale.isfinite().all()) else None

    def scaled(self, scale: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Features in units of their scale, targets, and the fold of each row."""
        for features, rows, part in self._each():
            fold = (self._episode[part] % _FOLDS).repeat_interleave(len(features) // (part.stop - part.start))
            yield features / scale, rows, fold

    def moments(self, scale: Tensor) -> tuple[_Moments, list[_Moments | None]]:
        """Of all rows, and of those without each fold; None where a fold has no row, or has all."""
        everything, without = _Moments(*self.widths), [_Moments(*self.widths) for _ in range(_FOLDS)]
        for features, rows, fold in self.scaled(scale):
            everything.add(features, rows)
            for held_out, moments in enumerate(without):
                rest = fold != held_out
                moments.add(features[rest], rows[rest])
        return everything, [each if 0 < each.count < everything.count else None for each in without]


class _Moments:
    """Sums X^T X and X^T y over rows."""

    def __init__(self, features: int, targets: int) -> None:
        self.count = 0
        self.gram = torch.zeros(features, features, dtype=torch.float64)
        self.cross = torch.zeros(features, targets, dtype=torch.float64)

    def add(self, features: Tensor, rows: Tensor) -> None:
        """Count some rows in."""
        self.count += len(features)
        self.gram += features.T @ features
        self.cross += features.T @ rows


def pooled_error(predicted: Tensor, target: Tensor, before: Tensor) -> float:
    """sum |predicted - target|^2 / sum |target - before|^2: 1 is what predicting no change gives."""
    target, before = target.detach().cpu().double(), before.detach().cpu().double()
    return float((predicted - target).square().sum() / (target - before).square().sum())


def action_only_error(
    action: Tensor | Lazy, change: Tensor | Lazy, episode: Tensor, test_action: Tensor, test_change: Tensor, rep: Rep
) -> float:
    """Error of an affine read-out of the change from the action alone, pooled: what a model has to beat.

    Predicting the change is the stronger control: the action knows nothing of where the block is.

    Args:
        action: (n, A), flat, of training.
        change: (n, C', d) of training.
        episode: (n,) of training.
        test_action: (m, ...).
        test_change: (m, C', d).
        rep: of actions.
    """
    fitted = fit_readout(action, change, episode, rep=rep, commutant=False)
    return pooled_error(fitted(test_action.flatten(1)), test_change, torch.zeros_like(test_change))
