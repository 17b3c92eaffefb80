"""What a generator is: the null space rotated to motions that have a name, and whether it is closed under brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from equiwm.evidence.algebra.family import AXES, Column, Family
from equiwm.evidence.algebra.naming import (
    ROUND,
    described,
    first_leaf,
    parts_name,
    rotation_name,
    scaling_name,
    shift_of,
    translation_name,
    turn_of,
    turned_alone,
    weights_of,
)

_NEW = 1e-3
"""What is left of a motion beside those already found, relative to it, to count as another one."""
_CENTRE = re.compile(r" through \([^)]*\)")
_COARSE = 0.03
"""The same of motions that are nearly symmetries."""


@dataclass(frozen=True, eq=False)
class Generator:
    """A named motion.

    Attributes:
        name: `rotation about z`, `scaling (state 1, action 1)`.
        theta: (p,) in columns of the family.
        compact: whether it turns and comes back.
    """

    name: str
    theta: Tensor
    compact: bool = False


@dataclass(frozen=True)
class _Subspace:
    """Motions that are named together: spanned by the columns (p, q) of a matrix, `by` says how one is called."""

    what: str
    spans: Tensor
    leaf: str = ""


def recognised(family: Family, null: Tensor, whitening: Tensor, tolerance: float) -> list[Generator]:
    """A basis of a null space in motions that have a name, as far as they have one.

    Args:
        family: the columns.
        null: (r, k) an orthonormal basis in whitened coordinates.
        whitening: (r, p).
        tolerance: how far from the null space, as an angle, a motion may be and still be in it.
    """
    chosen: list[Generator] = []
    basis = torch.zeros(null.shape[0], 0, dtype=torch.float64)
    for subspace in _subspaces(family):
        if len(chosen) == null.shape[1]:
            break
        for theta in _meeting(subspace.spans, null, whitening, tolerance):
            z = whitening @ theta
            left = z - basis @ (basis.T @ z)
            if float(left.norm()) <= _NEW * float(z.norm()):
                continue
            basis = torch.cat([basis, (left / left.norm())[:, None]], 1)
            chosen.append(_named(family, subspace, theta))
    chosen = _without_centres(family, chosen)
    rest = null - basis @ (basis.T @ null)
    left_vectors, sizes, _ = torch.linalg.svd(rest, full_matrices=False)
    for k in range(null.shape[1] - len(chosen)):
        assert float(sizes[k]) > 0
        theta = torch.linalg.lstsq(whitening, left_vectors[:, k : k + 1], driver="gelsd").solution[:, 0]
        chosen.append(Generator(described(family, theta), theta))
    return chosen


def _without_centres(family: Family, chosen: list[Generator]) -> list[Generator]:
    """A rotation has no centre of its own where all translations in its plane are symmetries."""
    shifts = [each for each in chosen if each.name.startswith("translation") and "alone" not in each.name]
    directions = [shift_of(family, each.theta, first_leaf(family, each.theta, "translation")) for each in shifts]
    if not directions:
        return chosen
    along = np.stack(directions, 1)
    projector = along @ np.linalg.pinv(along)

    def anywhere(each: Generator) -> bool:
        matrix = turn_of(family, each.theta, first_leaf(family, each.theta, "linear"))
        return float(np.abs(matrix - projector @ matrix).max()) <= _NEW * float(np.abs(matrix).max())

    return [
        replace(each, name=_CENTRE.sub("", each.name)) if each.name.startswith("rotation") and anywhere(each) else each
        for each in chosen
    ]


def _meeting(spans: Tensor, null: Tensor, whitening: Tensor, tolerance: float) -> list[Tensor]:
    """Motions of a subspace that lie in the null space: single columns where they do, else a reduced basis."""
    moved = whitening @ spans
    sizes = moved.norm(dim=0)
    alive = torch.nonzero(sizes > 1e-9 * max(float(sizes.max()), 1e-300)).flatten() if len(sizes) else sizes.long()
    if not len(alive) or not null.shape[1]:
        return []
    spans, moved = spans[:, alive] / sizes[alive], moved[:, alive] / sizes[alive]
    left, values, right = torch.linalg.svd(moved, full_matrices=False)
    there = values > 1e-7 * values[0]
    left, back = left[:, there], (right[there].T / values[there])
    off = left - null @ (null.T @ left)
    _, angles, vectors = torch.linalg.svd(off, full_matrices=True)
    angles = torch.cat([angles, angles.new_zeros(len(vectors) - len(angles))])
    inside = vectors[angles <= tolerance]
    if not len(inside):
        return []
    weights = _reduced((back @ inside.T).T.numpy(), tolerance)
    return [spans @ torch.from_numpy(row) for row in weights]


def _reduced(rows: np.ndarray, tolerance: float) -> np.ndarray:
    """Reduced row echelon form: as few numbers as a basis can do with."""
    rows, at = rows / np.abs(rows).max(), 0
    nothing = min(max(10 * tolerance, 1e-9), _COARSE)
    for column in range(rows.shape[1]):
        pivot = at + int(np.abs(rows[at:, column]).argmax())
        if np.abs(rows[pivot, column]) <= nothing:
            continue
        rows[[at, pivot]] = rows[[pivot, at]]
        rows[at] /= rows[at, column]
        for other in range(len(rows)):
            if other != at:
                rows[other] -= rows[other, column] * rows[at]
        at += 1
        if at == len(rows):
            break
    rows[np.abs(rows) <= max(nothing, ROUND) * np.abs(rows).max()] = 0.0
    return rows[:at]


@dataclass(frozen=True, eq=False)
class _Vocabulary:
    """Sums of columns by what they are."""

    family: Family

    @property
    def names(self) -> list[str]:
        """The leaves that have columns."""
        return list(dict.fromkeys(c.leaf for c in self.family.columns))

    @cached_property
    def numbers(self) -> dict[Column, int]:
        """Column -> its number."""
        return {column: k for k, column in enumerate(self.family.columns)}

    def column(self, *parts: tuple[str, str, tuple[int, ...], float]) -> Tensor:
        """A sum of columns (what, leaf, index, weight), those that exist."""
        made = torch.zeros(len(self.family), dtype=torch.float64)
        for what, leaf, index, weight in parts:
            number = self.numbers.get(Column(what, leaf, index))
            if number is not None:
                made[number] += weight
        return made

    def span(self, *columns: Tensor) -> Tensor:
        """Columns side by side, (p, q), without those that are zero."""
        kept = [c for c in columns if bool(c.any())]
        return torch.stack(kept, 1) if kept else torch.zeros(len(self.family), 0, dtype=torch.float64)

    def turns(self, leaves: list[str]) -> list[Tensor]:
        """Rotations in every plane of two axes, of some leaves at once: x_i' = -x_j, x_j' = x_i."""
        found = []
        for i, j in self.planes:
            parts: list[tuple[str, str, tuple[int, ...], float]] = []
            for leaf in leaves:
                parts += [("linear", leaf, (i, j), -1.0), ("linear", leaf, (j, i), 1.0)]
            found.append(self.column(*parts))
        return found

    @property
    def planes(self) -> list[tuple[int, int]]:
        """Pairs of axes."""
        return [(i, j) for i in range(self.family.d) for j in range(i + 1, self.family.d)]

    def shifts(self, leaves: list[str]) -> list[Tensor]:
        """Translations along every axis, of some leaves at once."""
        return [self.column(*[("translation", leaf, (k,), 1.0) for leaf in leaves]) for k in range(self.family.d)]

    def each(self, what: str) -> list[Tensor]:
        """Every column of a kind by itself."""
        rows = torch.eye(len(self.family), dtype=torch.float64)
        return [rows[k] for k in self.family.where([what])]


def _subspaces(family: Family) -> Iterator[_Subspace]:
    """Motions from the plainest to any."""
    words = _Vocabulary(family)
    yield from _spatial(words) if family.d else _free(words)


def _spatial(words: _Vocabulary) -> Iterator[_Subspace]:
    """Of leaves with reps: translations, rotations, scalings, boosts, shifts, and what else a matrix does."""
    names, span = words.names, words.span
    apart = [one for leaf in names for one in words.shifts([leaf])]
    yield _Subspace("translation", span(*words.shifts(names)))
    yield _Subspace("translation", span(*apart))
    yield _Subspace("rotation", span(*words.turns(names), *apart))
    for leaf in names if len(names) > 1 else ():
        yield _Subspace("rotation", span(*words.turns([leaf]), *words.shifts([leaf])), leaf)
    yield _Subspace("scaling", span(*words.each("scaling")))
    yield _Subspace("scaling", span(*words.each("scaling"), *apart))
    yield _Subspace("scaling", span(*words.each("scaling"), *words.each("shift")))
    for k in range(words.family.d):
        parts = [(what, leaf, (k,), 1.0) for leaf in names for what in ("boost", "drift")]
        yield _Subspace("boost", span(*(words.column(part) for part in parts)))
    for one in words.each("shift"):
        yield _Subspace("shift", span(one))
    yield _Subspace("shift", span(*words.each("shift")))
    for leaves in [names, *([leaf] for leaf in names if len(names) > 1)]:
        yield from _deformations(words, leaves, leaves[0] if len(leaves) < len(names) else "")
    yield _Subspace("rotation and scaling", span(*words.turns(names), *words.each("scaling")))


def _deformations(words: _Vocabulary, leaves: list[str], said: str) -> Iterator[_Subspace]:
    """Boosts of Minkowski's kind, shears, squeezes and scalings of one axis, of some leaves at once."""

    def entry(i: int, j: int) -> Tensor:
        return words.column(*[("linear", leaf, (i, j), 1.0) for leaf in leaves])

    for i, j in words.planes:
        one, other = AXES[i], AXES[j]
        yield _Subspace(f"hyperbolic boost {one}{other}", words.span(entry(i, j) + entry(j, i)), said)
        yield _Subspace(f"shear of {one} along {other}", words.span(entry(i, j)), said)
        yield _Subspace(f"shear of {other} along {one}", words.span(entry(j, i)), said)
        yield _Subspace(f"squeeze {one} against {other}", words.span(entry(i, i) - entry(j, j)), said)
    for k in range(words.family.d):
        yield _Subspace(f"scaling of {AXES[k]}", words.span(entry(k, k)), said)


def _free(words: _Vocabulary) -> Iterator[_Subspace]:
    """Of free matrices: shifts, scalings, rotations of two entries, single entries."""
    column, span = words.column, words.span
    sizes = {leaf: 1 + max(c.index[0] for c in words.family.columns if c.leaf == leaf) for leaf in words.names}
    entries = [(leaf, k) for leaf in words.names for k in range(sizes[leaf])]
    pairs = [(leaf, i, j) for leaf in words.names for i in range(sizes[leaf]) for j in range(i + 1, sizes[leaf])]
    for leaf, k in entries:
        yield _Subspace(f"shift of {leaf}[{k}]", span(column(("shift", leaf, (k,), 1.0))))
    yield _Subspace("shift", span(*words.each("shift")))
    yield _Subspace("scaling of everything", span(column(*[("entry", leaf, (k, k), 1.0) for leaf, k in entries])))
    for leaf, i, j in pairs:
        one, other = ("entry", leaf, (i, j), 1.0), ("entry", leaf, (j, i), 1.0)
        yield _Subspace(f"rotation of {leaf}[{i}] and [{j}]", span(column(one) - column(other)))
        yield _Subspace(f"hyperbolic boost of {leaf}[{i}] and [{j}]", span(column(one, other)))
    yield _Subspace("weighted scaling", span(*(column(("entry", leaf, (k, k), 1.0)) for leaf, k in entries)))
    for leaf, i, j in pairs:
        yield _Subspace(f"shear of {leaf}[{i}] along [{j}]", span(column(("entry", leaf, (i, j), 1.0))))
        yield _Subspace(f"shear of {leaf}[{j}] along [{i}]", span(column(("entry", leaf, (j, i), 1.0))))
    turning = [column(("entry", leaf, (i, j), -1.0), ("entry", leaf, (j, i), 1.0)) for leaf, i, j in pairs]
    yield _Subspace("rotation of several entries", span(*turning))
    yield _Subspace("linear motion", span(*words.each("entry")))


def _named(family: Family, subspace: _Subspace, theta: Tensor) -> Generator:
    """The name of a motion of a subspace."""
    what = subspace.what
    alone = f" of {subspace.leaf} alone" if subspace.leaf else ""
    own = {"rotation": "linear", "scaling": "scaling", "boost": "boost"}
    # What a coarse tolerance leaves of it: about a far centre.
    if what in own and not weights_of(family, theta, own[what]):
        if weights_of(family, theta, "translation"):
            return Generator(translation_name(family, theta), theta)
        return Generator(described(family, theta), theta)
    if what == "translation":
        return Generator(translation_name(family, theta), theta)
    if what == "rotation":
        return Generator(rotation_name(family, theta) + (alone or turned_alone(family, theta)), theta, compact=True)
    if what == "scaling":
        return Generator(scaling_name(family, theta), theta)
    if what == "boost":
        k = next(iter(weights_of(family, theta, "boost")))[1][0]
        return Generator(f"boost along {AXES[k]}", theta)
    if what == "shift" and family.d:
        return Generator("shift of " + parts_name(family, theta), theta)
    if what in ("shift", "weighted scaling", "rotation of several entries", "linear motion", "rotation and scaling"):
        return Generator(f"{what}: {parts_name(family, theta)}", theta)
    return Generator(what + alone, theta, compact=what.startswith("rotation"))
