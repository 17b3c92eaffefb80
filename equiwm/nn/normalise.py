"""Scaling to unit size that commutes with a group: one sigma a vector, one mean and sigma a scalar."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from equiwm.errors import DataError, RepError
from equiwm.nn.layer import Layer
from equiwm.nn.typed import constant
from equiwm.symmetry.groups import SE2, SE3, Group
from equiwm.symmetry.irreducibles import irreducibles
from equiwm.symmetry.motions import translated_directions
from equiwm.symmetry.orientations import Quaternion
from equiwm.symmetry.reps import Rep

_STILL = 1e-9
"""A standard deviation below this, relative to the mean, is a constant's: it is not blown up."""


class Normalise(Layer):
    """x -> (x - mu) / sigma on the irreducible parts of a rep; (..., *shape) of it -> the same shape.

    Every copy of a type has one sigma, whatever its width; mu is not zero only on what the group does not turn. So it
    commutes with the group whatever data it was fitted on: under SO(3) a vector is scaled as a whole, and about the
    vertical of space its height, a scalar, has a mean and a sigma of its own. Points have one sigma for all, and no
    mean along directions in which the group translates: what is scaled is what lies between them. A quaternion has one
    sigma and no mean.

    Before it is fitted mu is 0 and sigma is 1. Both are buffers: a checkpoint keeps them.

    Args:
        rep: rep of what it takes and gives.
        group: the group; None is all rotations and translations of the plane or of space.

    Raises:
        RepError: a kind other than a quaternion that is known up to sign.
    """

    rows: Tensor
    mean: Tensor
    sigma: Tensor

    def __init__(self, rep: Rep, group: Group | None = None) -> None:
        super().__init__(rep, rep, "flat")
        if group is None:
            if rep.d not in (2, 3):
                raise RepError(f"to normalise rep {rep} in d = {rep.d} needs the group.")
            group = SE2 if rep.d == 2 else SE3
        quaternions: list[int] = []
        plain: list[int] = []
        start = 0
        for count, kind in rep.terms:
            stop = start + count * kind.dim(rep.d)
            (quaternions if isinstance(kind, Quaternion) else plain).extend(range(start, stop))
            start = stop
        turned = Rep([term for term in rep.linear_part.terms if not isinstance(term[1], Quaternion)], rep.d)
        blocks = irreducibles(group, turned).copies(turned)
        rows = torch.zeros(rep.dim, rep.dim, dtype=torch.float64)
        rows[: len(plain), plain] = torch.cat([maps.flatten(0, 1) for maps in blocks])
        rows[len(plain) :, quaternions] = torch.eye(len(quaternions), dtype=torch.float64)
        self.register_buffer("rows", constant(rows), persistent=False)
        self.register_buffer("mean", constant(torch.zeros(rep.dim, dtype=torch.float64)))
        self.register_buffer("sigma", constant(torch.ones(rep.dim, dtype=torch.float64)))
        self._scalars = blocks[0].shape[0] if blocks else 0
        self._copies = [maps.shape[1] for maps in blocks for _ in range(len(maps))] + [4] * (len(quaternions) // 4)
        directions = translated_directions(group, rep.d)
        shift = rep.translations if directions is None else rep.translations @ directions
        self._shifted = (rows @ shift).abs().amax(1) > _STILL
        self._shift, self._points = rep.translations.mT, rep.translations[:, 0].sum().clamp(min=1.0)
        self._mean_of = shift / self._points

    @torch.no_grad()
    def fit(self, batches: Tensor | Iterable[Tensor], *, still: float = 1.0) -> Normalise:
        """Take mu and sigma from data; itself.

        Args:
            batches: (..., *shape) or flat, in one or in several batches.
            still: sigma of what is the same in all of them.

        Raises:
            DataError: no data.
        """
        count = 0
        total, square = (torch.zeros(self.in_rep.dim, dtype=torch.float64) for _ in range(2))
        for batch in [batches] if isinstance(batches, Tensor) else batches:
            flat = batch.detach().cpu().double().reshape(-1, self.in_rep.dim)
            found = (flat - flat @ self._mean_of @ self._shift) @ self.rows.cpu().double().mT
            count, total, square = count + len(found), total + found.sum(0), square + found.square().sum(0)
        if not count:
            raise DataError("normalisation: expected at least one sample to fit it on.")
        mean = torch.where(self._mask(), total / count, torch.zeros_like(total))
        deviation = (square / count - mean.square()).clamp(min=0.0)
        start, spread = 0, torch.ones_like(mean)
        for width in self._copies:
            part = slice(start, start + width)
            spread[part] = deviation[part].mean().sqrt()
            start += width
        if bool(self._shifted.any()):
            spread[self._shifted] = deviation[self._shifted].mean().sqrt()
        constant_ = spread <= _STILL * (1.0 + mean.abs())
        self.sigma.copy_(torch.where(constant_, torch.full_like(spread, still), spread))
        self.mean.copy_(mean)
        return self

    def _mask(self) -> Tensor:
        """Which rows are scalars that no translation moves."""
        mask = torch.zeros(self.in_rep.dim, dtype=torch.bool)
        mask[: self._scalars] = True
        return mask & ~self._shifted

    def forward(self, x: Tensor) -> Tensor:
        return self._by(x, lambda parts: (parts - self.mean) / self.sigma)

    def inverse(self, x: Tensor) -> Tensor:
        """x sigma + mu: what `forward` was given, from what it gave."""
        return self._by(x, lambda parts: parts * self.sigma + self.mean)

    def scaled(self, x: Tensor) -> Tensor:
        """x sigma: a difference in the data's own unit, from one in units of sigma."""
        return self._by(x, lambda parts: parts * self.sigma)

    def _by(self, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        flat = x.flatten(-len(self.in_rep.shape)) if x.shape[-1] != self.in_rep.dim else x
        return (change(flat @ self.rows.mT) @ self.rows).reshape(x.shape)
