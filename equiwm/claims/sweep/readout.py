"""Read-outs: what a latent says about the world, measured in the world's own quantities.

An error in a model's own latent compares nothing between models; the error of a linear read-out does. It is ridge
regression from the predicted latent F(s, a), fitted on training transitions, its penalty chosen by 5-fold
cross-validation over whole episodes. Equivariant models get equivariant read-outs only (the commutant: for
vectors the scalars, and in the plane also J), so that the read-out cannot spend what the model has not learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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


def _solve(moments: _Moments, penalties: tuple[float, ...]) -> dict[str, Tensor]:
    """Ridge weights for every penalty: argmin mean |X w - y|^2 + penalty |w|^2, (len(penalties), K, M) by target."""
    values, vectors = torch.linalg.eigh(moments.gram / moments.count)
    found = {}
    for name, cross in moments.cross.items():
        projected = vectors.T @ (cross / moments.count)
        found[name] = torch.stack(
            [vectors @ (projected / (values.clamp(min=0.0) + penalty)[:, None]) for penalty in penalties]
        )
    return found


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


Targets = Callable[[slice], Mapping[str, Tensor]]
"""Rows of training -> each target, (n, C', d) or flat (n, dim)."""


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
    """`fit_readouts` of one target: (n, C', d), vectors; or flat (n, dim) of `target_rep`, None is vectors."""
    reps = {} if target_rep is None else {"": target_rep}
    (found,) = fit_readouts(
        latent, lambda part: {"": target[part]}, episode, rep=rep, commutant=commutant, target_reps=reps, group=group
    ).values()
    return found


def fit_readouts(
    latent: Tensor | Lazy,
    targets: Targets,
    episode: Tensor,
    *,
    rep: Rep,
    commutant: bool,
    target_reps: Mapping[str, Rep] | None = None,
    group: Group | None = None,
) -> dict[str, Readout]:
    """Fit a read-out of each target. From latents that are not finite there is none: whatever it reads out is NaN.

    More rows than are encoded at once are taken in parts, three times over, and their sums added: the same to rounding,
    in the memory of one part. In each pass a part is encoded once for all targets.

    Args:
        latent: (n, D) of `rep`.
        targets: gives them.
        episode: (n,) folds never split an episode.
        rep: rep of the latents.
        commutant: restrict the read-outs to maps that commute with the group; else they are affine.
        target_reps: reps of flat targets, copies of one kind; of others there is none, they are vectors.
        group: the world's; None is all rotations, of vectors.
    """
    shapes = {name: tuple(target.shape[1:]) for name, target in targets(slice(0, 1)).items()}
    families: dict[str | None, _Family] = {}
    for name, shape in shapes.items():
        typed = _typed(rep, shape[0], (target_reps or {}).get(name), group) if commutant else None
        own = None if typed is None else name
        families.setdefault(own, _Family(rep, commutant, typed, [])).names.append(name)
    found = {}
    for family, solved in zip(families.values(), _fitted(latent, targets, episode, [*families.values()]), strict=True):
        for name, (scale, weights, penalty) in solved.items():
            found[name] = Readout(rep, commutant, scale, weights, penalty, shapes[name], family.typed)
    return {name: found[name] for name in shapes}


@dataclass(frozen=True, eq=False)
class _Family:
    """Targets that are read out of the same features."""

    rep: Rep
    commutant: bool
    typed: TypedFeatures | None
    names: list[str]

    def features(self, latent: Tensor) -> Tensor:
        return _features(latent, self.rep, self.commutant, self.typed)

    def rows(self, target: Tensor) -> Tensor:
        y = target.detach().cpu().double()
        if self.typed is not None:
            return self.typed.targets(y)
        return y.transpose(1, 2).flatten(0, 1) if self.commutant else y.flatten(1)


Made = list[tuple[Tensor, dict[str, Tensor], Tensor]]
"""Of each family the features, the rows of each target, and the fold of each row."""


def _fitted(
    latent: Tensor | Lazy, targets: Targets, episode: Tensor, families: Sequence[_Family]
) -> list[dict[str, tuple[Tensor, Tensor, float]]]:
    """Of each family by target: the scale of its features, the weights and the penalty."""

    def made(part: slice) -> Made:
        encoded, given, found = latent[part], targets(part), []
        for family in families:
            features = family.features(encoded)
            fold = (episode[part] % _FOLDS).repeat_interleave(len(features) // len(encoded))
            found.append((features, {name: family.rows(given[name]) for name in family.names}, fold))
        return found

    parts = parts_of(len(latent))
    only = made(parts[0]) if len(parts) == 1 else None  # of a single part everything is made once
    fits = [_Fit(features.shape[1], rows) for features, rows, _ in only or made(slice(0, 1))]
    for see in (_Fit.measure, _Fit.add, _Fit.hold_out):
        for part in parts:
            for fit, rows_of_family in zip(fits, only or made(part), strict=True):
                see(fit, *rows_of_family)
    return [fit.found() for fit in fits]


class _Fit:
    """Ridge regressions of some targets on the same features, from three passes over all rows."""

    def __init__(self, width: int, rows: Mapping[str, Tensor]) -> None:
        self._squares, self._count = torch.zeros(width, dtype=torch.float64), 0
        self._everything, *self._without = (_Moments(width, rows) for _ in range(1 + _FOLDS))
        self._errors = {name: torch.zeros(len(PENALTIES), dtype=torch.float64) for name in rows}

    def measure(self, features: Tensor, rows: Mapping[str, Tensor], fold: Tensor) -> None:
        """The first pass: how large each feature is."""
        self._squares, self._count = self._squares + features.square().sum(0), self._count + len(features)

    @cached_property
    def _scale(self) -> Tensor:
        """(K,) root mean square of each feature."""
        return (self._squares / self._count).sqrt().clamp(min=1e-12)

    @cached_property
    def _finite(self) -> bool:
        return bool(self._scale.isfinite().all())

    def add(self, features: Tensor, rows: Mapping[str, Tensor], fold: Tensor) -> None:
        """The second: moments of all rows, and of those without each fold."""
        if not self._finite:
            return
        scaled = features / self._scale
        self._everything.add(scaled, rows)
        for held_out, moments in enumerate(self._without):
            rest = fold != held_out
            moments.add(scaled[rest], {name: each[rest] for name, each in rows.items()})

    @cached_property
    def _solved(self) -> list[dict[str, Tensor] | None]:
        """Weights without each fold, for every penalty; None where a fold has no row, or has all."""
        return [_solve(each, PENALTIES) if 0 < each.count < self._everything.count else None for each in self._without]

    def hold_out(self, features: Tensor, rows: Mapping[str, Tensor], fold: Tensor) -> None:
        """The third: the error in each fold of what was fitted without it."""
        if not self._finite:
            return
        scaled = features / self._scale
        for held_out, fitted in enumerate(self._solved):
            test = fold == held_out
            if fitted is not None and bool(test.any()):
                for name, each in rows.items():
                    self._errors[name] += (scaled[test] @ fitted[name] - each[test]).square().sum((1, 2))

    def found(self) -> dict[str, tuple[Tensor, Tensor, float]]:
        """By target the scale, the weights on scaled features, and the penalty; NaN of features that are not finite."""
        if not self._finite:
            return {
                name: (torch.full_like(self._scale, torch.nan), torch.full_like(cross, torch.nan), torch.nan)
                for name, cross in self._everything.cross.items()
            }
        found = {}
        for name, errors in self._errors.items():
            penalty = PENALTIES[int(errors.argmin())]
            found[name] = self._scale, _solve(self._everything, (penalty,))[name][0], penalty
        return found


class _Moments:
    """Sums X^T X and, for each target, X^T y over rows."""

    def __init__(self, features: int, rows: Mapping[str, Tensor]) -> None:
        self.count = 0
        self.gram = torch.zeros(features, features, dtype=torch.float64)
        self.cross = {name: torch.zeros(features, each.shape[1], dtype=torch.float64) for name, each in rows.items()}

    def add(self, features: Tensor, rows: Mapping[str, Tensor]) -> None:
        """Count some rows in."""
        self.count += len(features)
        self.gram += features.T @ features
        for name, each in rows.items():
            self.cross[name] += features.T @ each


def pooled_error(predicted: Tensor, target: Tensor, before: Tensor) -> float:
    """sum |predicted - target|^2 / sum |target - before|^2: 1 is what predicting no change gives."""
    target, before = target.detach().cpu().double(), before.detach().cpu().double()
    return float((predicted - target).square().sum() / (target - before).square().sum())


def action_only_errors(
    action: Tensor | Lazy,
    changes: Targets,
    episode: Tensor,
    test_action: Tensor,
    test_changes: Mapping[str, Tensor],
    rep: Rep,
) -> dict[str, float]:
    """Errors of affine read-outs of changes from the action alone, pooled: what a model has to beat.

    Predicting the change is the stronger control: the action knows nothing of where the block is.

    Args:
        action: (n, A), flat, of training.
        changes: gives those of training.
        episode: (n,) of training.
        test_action: (m, ...).
        test_changes: (m, C', d) each.
        rep: of actions.
    """
    fitted = fit_readouts(action, changes, episode, rep=rep, commutant=False)
    return {
        name: pooled_error(fitted[name](test_action.flatten(1)), change, torch.zeros_like(change))
        for name, change in test_changes.items()
    }
