"""Frames: a group element read off each state that turns with it, and functions of it that vary over the group.

Of a state and action x an equivariant map g(x), g(h x) = h g(x), gives coordinates u = g(x)^-1 x that the group does
not change. If the law of s' given (s, a) carries the group, the change seen in the frame is independent of g given u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equiwm.errors import DataError, GroupError
from equiwm.evidence.data.observed import Observed
from equiwm.symmetry.about import AboutAxis
from equiwm.symmetry.elements import Elements, planar_rotations
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import EuclideanGroup
from equiwm.symmetry.kinds import POINT, VECTOR
from equiwm.symmetry.orientations import RotationMatrix
from equiwm.symmetry.wigner import wigner

HARMONICS = 4
"""Of a rotation of the plane: walls of a square arena show in the fourth."""
MOST_ELEMENTS = 48
_SHORTEST = 1e-6
"""Of the usual length: a shorter vector has no direction."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frames:
    """The frame of each transition.

    Attributes:
        elements: (n,) g.
        vector: what its direction is read off.
        blocks: name -> (n, k) functions of g, mixed among themselves when the whole log is turned.
        angle_deg: (n,) the angle of g, of a group with rotations of the plane; else None.
        usable: (n,) whether a frame exists.
        lab: (d, k) directions of the lab in which a constant change breaks the group.
        places: names of the blocks that say where a frame lies, not how it is turned.
    """

    elements: Elements
    vector: str
    blocks: dict[str, Numbers]
    angle_deg: Numbers | None
    usable: NDArray[np.bool_]
    lab: Numbers
    places: frozenset[str] = frozenset()

    @property
    def all_of_space(self) -> bool:
        """Whether frames are turned by all rotations of space, not about one axis nor by finitely many elements."""
        return self.angle_deg is None and any(name.startswith("degree 1") for name in self.blocks)


@dataclass(frozen=True, eq=False)
class _Candidate:
    name: str
    values: Tensor
    point: bool


def frames_of(data: Observed, group: Group) -> Frames:
    """Frames of a group; which vectors they are read off is chosen by how seldom those are short or parallel.

    Raises:
        GroupError: a group whose frames are not known (permutations, products, groups of one's own that are infinite).
        DataError: no vector or point from which a frame can be read.
    """
    if group.items:
        raise GroupError(f"check-data knows groups that turn, mirror and translate; {group} permutes items.")
    candidates = _candidates(data)
    d = data.parts[0].rep.d
    if group.d != d:
        raise GroupError(f"{group} acts on {group.d} dimensions; the data live in {d}.")
    axis = group.frame if isinstance(group, AboutAxis) else torch.eye(d, dtype=torch.float64)
    planar = group.planar if isinstance(group, AboutAxis) else group
    shift, origin = None, ""
    if group.translations:
        points = [each for each in candidates if each.point]
        if not points:
            raise DataError(f"{data.source}: {group} translates, and no part of the state is a point (rep p).")
        shift, origin = points[0].values, points[0].name
        candidates = [
            _Candidate(f"{each.name} seen from {origin}", each.values - shift, False) if each.point else each
            for each in candidates
            if each is not points[0]
        ]
    if not candidates:
        raise DataError(f"{data.source}: no vector, point or direction from which a frame of {group} could be read.")
    if group.is_finite:
        return _finite(group, candidates)
    if not isinstance(planar, EuclideanGroup):
        raise GroupError(
            f"check-data has no frames for {group}; it knows so2, o2, se2, e2, so3, o3, se3, e3, those about an "
            "axis, and finite groups."
        )
    if planar.d == 2:
        flat = [_Candidate(each.name, (each.values @ axis)[:, :2], each.point) for each in candidates]
        return _planar(planar, flat, axis, shift)
    return _spatial(planar, candidates, shift)


def _candidates(data: Observed) -> list[_Candidate]:
    """Every vector, point and column of a rotation matrix of the states, then of the actions."""
    found = []
    for part in data.parts:
        start = 0
        for count, kind in part.rep.terms:
            width = kind.dim(part.rep.d)
            for copy in range(count):
                values = part.now[:, start : start + width]
                name = part.name if part.rep.multiplicity == 1 else f"{part.name}[{copy}]"
                if kind in (VECTOR, POINT):
                    found.append(_Candidate(name, values, kind == POINT))
                elif isinstance(kind, RotationMatrix):
                    columns = values.reshape(-1, part.rep.d, part.rep.d)
                    found += [_Candidate(f"{name} axis {k}", columns[:, :, k], False) for k in range(part.rep.d)]
                start += width
    return found


def _steadiness(lengths: Tensor) -> float:
    """How far from zero: the 5% quantile over the usual length."""
    usual = float(lengths.median())
    return 0.0 if usual == 0.0 else float(torch.quantile(lengths, 0.05)) / usual


def _best(scores: Sequence[float]) -> int:
    """The best, the first of those that are nearly as good: states come before actions."""
    return next(k for k, score in enumerate(scores) if score >= 0.9 * max(scores))


def _usable(lengths: Tensor) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (lengths > _SHORTEST * lengths.median()).numpy()
    return found


def _planar(group: EuclideanGroup, candidates: list[_Candidate], axis: Tensor, shift: Tensor | None) -> Frames:
    first = candidates[_best([_steadiness(each.values.norm(dim=1)) for each in candidates])]
    w = first.values
    usable = _usable(w.norm(dim=1))
    angle = torch.atan2(w[:, 1], w[:, 0]).numpy()
    flat = planar_rotations(angle)
    harmonics = {f"harmonic {m}": np.stack([np.cos(m * angle), np.sin(m * angle)], 1) for m in range(1, HARMONICS + 1)}
    name = first.name
    if group.reflections:
        across = [(w[:, 0] * each.values[:, 1] - w[:, 1] * each.values[:, 0]).abs() for each in candidates]
        second = candidates[_best([_steadiness(each) for each in across])]
        cross = w[:, 0] * second.values[:, 1] - w[:, 1] * second.values[:, 0]
        if not bool((cross.abs() > 0).any()):
            raise DataError(f"no second vector beside {name}: {group} needs one that tells left from right.")
        usable &= (cross != 0).numpy()
        sign = torch.where(cross < 0, -1.0, 1.0).double()
        flat = flat @ torch.diag_embed(torch.stack([torch.ones_like(sign), sign], 1))
        handed = sign.numpy()[:, None]
        harmonics = {
            "handedness": handed,
            **harmonics,
            **{f"{key} x handedness": part * handed for key, part in harmonics.items()},
        }
        name = f"{name} and {second.name}"
    d = axis.shape[0]
    linear = torch.eye(d, dtype=torch.float64).repeat(len(w), 1, 1)
    linear[:, :2, :2] = flat
    linear = axis @ linear @ axis.mT
    translation = torch.zeros(len(w), d, dtype=torch.float64)
    places: dict[str, Numbers] = {}
    if shift is not None:
        flat_shift = (shift @ axis)[:, :2]
        translation = torch.nn.functional.pad(flat_shift, (0, d - 2)) @ axis.mT
        places = _places(flat_shift, flat)
    return Frames(
        Elements(linear, translation),
        name,
        harmonics | places,
        np.rad2deg(angle) % 360.0,
        usable,
        axis[:, :2].numpy(),
        frozenset(places),
    )


def _places(shift: Tensor, linear: Tensor) -> dict[str, Numbers]:
    """Functions of where a frame lies: the place in the lab, the lab's middle seen in the frame, and the distance."""
    centred = shift - shift.mean(0)
    scaled = centred / centred.square().sum(1).mean().sqrt().clamp_min(1e-300)
    seen = (linear.mT @ scaled[..., None])[..., 0]
    return {
        "place": scaled.numpy(),
        "middle seen from the frame": seen.numpy(),
        "distance from the middle": scaled.square().sum(1, keepdim=True).numpy(),
    }


def _spatial(group: EuclideanGroup, candidates: list[_Candidate], shift: Tensor | None) -> Frames:
    first = candidates[_best([_steadiness(each.values.norm(dim=1)) for each in candidates])]
    e1 = torch.nn.functional.normalize(first.values, dim=1)
    across = [torch.linalg.cross(e1, each.values).norm(dim=1) for each in candidates]
    second = candidates[_best([_steadiness(each) for each in across])]
    normal = torch.linalg.cross(e1, second.values)
    usable = _usable(first.values.norm(dim=1)) & _usable(normal.norm(dim=1))
    if not usable.any():
        raise DataError(f"no two vectors that are not parallel: a frame of {group} needs them.")
    e3 = torch.nn.functional.normalize(normal, dim=1)
    linear = torch.stack([e1, torch.linalg.cross(e3, e1), e3], 2)
    # Rows without a frame are left out by the caller; until then they need some element.
    linear[~torch.from_numpy(usable)] = torch.eye(3, dtype=torch.float64)
    proper = linear
    name = f"{first.name} and {second.name}"
    blocks = {f"degree 1, column {k}": linear[:, :, k].numpy() for k in range(3)}
    tensors = wigner(2, proper)
    blocks |= {f"degree 2, column {k}": tensors[:, :, k].numpy() for k in range(5)}
    if group.reflections:
        heights = [(each.values * e3).sum(1).abs() for each in candidates]
        third = candidates[_best([_steadiness(each) for each in heights])]
        height = (third.values * e3).sum(1)
        if not bool((height.abs() > 0).any()):
            raise DataError(
                f"no third vector out of the plane of {name}: {group} needs one that tells left from right."
            )
        usable &= (height != 0).numpy()
        sign = torch.where(height < 0, -1.0, 1.0).double()
        linear = torch.cat([linear[:, :, :2], linear[:, :, 2:] * sign[:, None, None]], 2)
        handed = sign.numpy()[:, None]
        blocks = {
            "handedness": handed,
            **blocks,
            **{f"{key} x handedness": part * handed for key, part in blocks.items()},
        }
        name = f"{name} and {third.name}"
    places = {} if shift is None else _places(shift, linear)
    translation = torch.zeros(len(e1), 3, dtype=torch.float64) if shift is None else shift
    elements = Elements(linear, translation)
    return Frames(elements, name, blocks | places, None, usable, np.eye(3), frozenset(places))


def _finite(group: Group, candidates: list[_Candidate]) -> Frames:
    """The element that brings a vector nearest to one direction, which no element but the identity leaves in place."""
    every: Elements = group.all_elements  # type: ignore[attr-defined]
    count = len(every)
    if count > MOST_ELEMENTS:
        raise GroupError(f"check-data tests finite groups of at most {MOST_ELEMENTS} elements; {group} has {count}.")
    d = every.d
    generic = torch.tensor([1.0, 0.3712, 0.2191][:d], dtype=torch.float64)
    images = every.linear @ generic
    margins, chosen = [], []
    for each in candidates:
        scores = each.values @ images.mT
        best = scores.topk(2, 1).values
        margins.append(_steadiness(best[:, 0] - best[:, 1]))
        chosen.append((scores.argmax(1), best[:, 0] > best[:, 1]))
    at = _best(margins)
    index, usable = chosen[at]
    indicator = torch.nn.functional.one_hot(index, count).double().numpy() - 1.0 / count
    fixed = every.linear.mean(0)
    moved = torch.linalg.svd(torch.eye(d, dtype=torch.float64) - fixed)
    lab = moved.U[:, moved.S > 1e-9].numpy()
    present = indicator[:, :-1] if count > 1 else indicator
    return Frames(every[index], candidates[at].name, {"element": present}, None, usable.numpy(), lab)


def seen_frames(data: Observed, frames: Frames) -> tuple[Observed, Frames]:
    """The transitions that have a frame, with their frames."""
    keep = frames.usable
    if keep.all():
        return data, frames
    at = torch.from_numpy(np.flatnonzero(keep))
    blocks = {name: part[keep] for name, part in frames.blocks.items()}
    angle = None if frames.angle_deg is None else frames.angle_deg[keep]
    return data.take(keep), Frames(
        frames.elements[at], frames.vector, blocks, angle, keep[keep], frames.lab, frames.places
    )


def in_frame(data: Observed, frames: Frames) -> tuple[Numbers, list[Numbers]]:
    """u, (n, D), and for every predicted part the change seen in the frame, (n, dim)."""
    back = frames.elements.inverse()
    turned = [part.rep.transform(part.now, back).numpy() for part in data.parts]
    changes = [
        part.rep.linear_part.transform(part.change, back).numpy() for part in data.parts if part.change is not None
    ]
    return np.concatenate(turned, 1), changes


def vector_copies(data: Observed) -> list[tuple[int, int, str]]:
    """Of the predicted parts: which part, where a vector of it starts, and what it is called."""
    found = []
    for index, part in enumerate(each for each in data.parts if each.change is not None):
        start = 0
        for count, kind in part.rep.terms:
            for copy in range(count):
                if kind in (VECTOR, POINT):
                    found.append((index, start, part.name if part.rep.multiplicity == 1 else f"{part.name}[{copy}]"))
                start += kind.dim(part.rep.d)
    return found
