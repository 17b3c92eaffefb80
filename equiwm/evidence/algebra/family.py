"""The motions that are looked for: affine fields on every input and output, a column each, and what they are called.

With reps the space acts alike on every channel of a leaf; without, any matrix may act on a leaf. A column is a pair of
a field x' = A x + b on the inputs and y' = B y + c on the outputs, and the unknown generator is a sum of columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.evidence.algebra.maps import Leaf, Map, Values
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.kinds import PSEUDOVECTOR, VECTOR, Kind, Scalar, Untouched

MOST_COLUMNS = 2000
"""Columns of a family: the SVD of so many takes a minute."""
_MOST_SCALARS = 32
"""Scalar channels of a leaf that are scaled and shifted one by one."""
_SMALL = 0.1
"""Radians of the rotation whose logarithm gives the generator of a kind."""
AXES = "xyz"


@dataclass(frozen=True)
class Block:
    """Entries of a leaf that have one unit.

    Attributes:
        name: of the leaf and the term.
        entries: where they stand.
        kind: their kind; None without reps.
        width: entries of one copy.
    """

    name: str
    entries: slice
    kind: Kind | None
    width: int = 1


@dataclass(frozen=True)
class Column:
    """One known motion of one leaf.

    Attributes:
        what: `linear`, `translation`, `scaling`, `shift`, `boost`, `drift`, or `entry` without reps.
        leaf: name of the leaf.
        index: which one: (i, j) of a matrix, (k,) of an axis, the block's number.
    """

    what: str
    leaf: str
    index: tuple[int, ...]


@dataclass(eq=False)
class Family:
    """All columns.

    Attributes:
        columns: what each is.
        inputs: for each input A (p, D, D) and b (p, D), float64.
        outputs: the same for each output.
        d: dimension of the space; 0 without reps.
        input_blocks: the blocks of each input.
        output_blocks: the blocks of each output.
        centres: the point that linear motions of points leave in place, by leaf.
        labels: names of the blocks, by leaf.
    """

    columns: list[Column]
    inputs: list[tuple[Tensor, Tensor]]
    outputs: list[tuple[Tensor, Tensor]]
    d: int
    input_blocks: list[list[Block]]
    output_blocks: list[list[Block]]
    centres: dict[str, Tensor] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns)

    def select(self, keep: Sequence[int]) -> Family:
        """Some of the columns."""
        rows = torch.as_tensor(list(keep), dtype=torch.long)
        return Family(
            [self.columns[k] for k in keep],
            [(a[rows], b[rows]) for a, b in self.inputs],
            [(a[rows], b[rows]) for a, b in self.outputs],
            self.d,
            self.input_blocks,
            self.output_blocks,
            self.centres,
            self.labels,
        )

    def where(self, what: Iterable[str], leaf: str | None = None) -> list[int]:
        """Numbers of the columns of some kinds."""
        wanted = set(what)
        return [k for k, c in enumerate(self.columns) if c.what in wanted and leaf in (None, c.leaf)]

    def generator(self, theta: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The sum of columns as homogeneous matrices [[A, b], [0, 0]], (D + 1, D + 1), of every input and output."""

        def joined(parts: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
            made = []
            for linear, shift in parts:
                a, b = torch.einsum("p,pij->ij", theta, linear), theta @ shift
                made.append(torch.nn.functional.pad(torch.cat([a, b[:, None]], 1), (0, 0, 0, 1)))
            return made

        return joined(self.inputs), joined(self.outputs)


def fields(parts: list[tuple[Tensor, Tensor]], values: Values) -> list[Tensor]:
    """A x + b of every column, (p, *lead, D) for each leaf."""
    made = []
    for (linear, shift), value in zip(parts, values, strict=True):
        turned = torch.einsum("pij,...j->p...i", linear, value)
        made.append(turned + shift.reshape(len(shift), *[1] * (value.dim() - 1), -1))
    return made


def blocks_of(leaf: Leaf) -> list[Block]:
    """The parts of a leaf that have one unit: terms of its rep, scalars one by one, entries without a rep."""
    if leaf.rep is None:
        return [Block(f"{leaf.name}[{k}]", slice(k, k + 1), None) for k in range(leaf.dim)]
    found, at = [], 0
    for count, kind in leaf.rep.terms:
        width = count * kind.dim(leaf.rep.d)
        if isinstance(kind, Scalar) and 1 < count <= _MOST_SCALARS:
            found += [Block(f"{leaf.name} {kind}[{k}]", slice(at + k, at + k + 1), kind) for k in range(count)]
        elif width:
            name = leaf.name if len(leaf.rep.terms) == 1 else f"{leaf.name} {kind}"
            found.append(Block(name, slice(at, at + width), kind, kind.dim(leaf.rep.d)))
        at += width
    return found


class _Builder:
    """Columns are added one by one; matrices are made when all are known."""

    def __init__(self, inputs: Sequence[Leaf], outputs: Sequence[Leaf]) -> None:
        self.sizes = [leaf.dim for leaf in inputs], [leaf.dim for leaf in outputs]
        self.columns: list[Column] = []
        self.entries: list[list[tuple[int, int, Tensor | None, Tensor | None]]] = []

    def add(self, column: Column, *parts: tuple[int, int, Tensor | None, Tensor | None]) -> None:
        """A column and its (side, leaf, A, b): side 0 is the inputs."""
        self.columns.append(column)
        self.entries.append(list(parts))
        if len(self.columns) > MOST_COLUMNS:
            raise DataError(
                f"more than {MOST_COLUMNS} numbers would be unknown; give reps, which say how channels turn together."
            )

    def built(self, side: int) -> list[tuple[Tensor, Tensor]]:
        made = []
        for index, size in enumerate(self.sizes[side]):
            linear = torch.zeros(len(self.columns), size, size, dtype=torch.float64)
            shift = torch.zeros(len(self.columns), size, dtype=torch.float64)
            for k, parts in enumerate(self.entries):
                for where, leaf, a, b in parts:
                    if (where, leaf) == (side, index):
                        if a is not None:
                            linear[k] += a
                        if b is not None:
                            shift[k] += b
            made.append((linear, shift))
        return made


def family_of(built: Map, *, free: bool) -> Family:
    """The family of a map: by its reps, or any matrix on every leaf.

    Args:
        built: the map; points are turned and scaled about the mean of its own.
        free: any matrix and any shift on every leaf, whatever its rep.

    Raises:
        DataError: too many unknowns.
    """
    inputs, outputs = built.inputs, built.outputs
    if free:
        inputs, outputs = ([Leaf(x.name, x.dim, None) for x in side] for side in (inputs, outputs))  # type: ignore[assignment]
    builder = _Builder(inputs, outputs)
    centres: dict[str, Tensor] = {}
    for side, leaves_ in ((0, inputs), (1, outputs)):
        for index, leaf in enumerate(leaves_):
            if side == 1 and built.tied and index == 0:
                continue
            places = [(side, index), *([(1, 0)] if built.tied and (side, index) == (0, 0) else [])]
            if leaf.rep is None:
                _add_free(builder, leaf, places)
            else:
                values = (
                    torch.cat([point[index].reshape(-1, leaf.dim) for point in built.points]) if side == 0 else None
                )
                centres[leaf.name] = _add_leaf(builder, leaf, places, values)
    if built.tied and inputs[0].rep is not None:
        _add_boosts(builder, inputs[0])
    return Family(
        builder.columns,
        builder.built(0),
        builder.built(1),
        next((leaf.rep.d for leaf in inputs if leaf.rep is not None), 0),
        [blocks_of(leaf) for leaf in inputs],
        [blocks_of(leaf) for leaf in outputs],
        centres,
        {leaf.name: [block.name for block in blocks_of(leaf)] for leaf in (*inputs, *outputs)},
    )


def _add_free(builder: _Builder, leaf: Leaf, places: list[tuple[int, int]]) -> None:
    size = leaf.dim
    if size * (size + 1) > MOST_COLUMNS:
        raise DataError(
            f"{leaf.name} has {size} entries: a free matrix has {size * size} unknowns, expected at most "
            f"{MOST_COLUMNS}; give reps, which say how channels turn together."
        )
    for i in range(size):
        for j in range(size):
            entry = torch.zeros(size, size, dtype=torch.float64)
            entry[i, j] = 1.0
            builder.add(Column("entry", leaf.name, (i, j)), *[(*place, entry, None) for place in places])
    for i in range(size):
        unit = torch.zeros(size, dtype=torch.float64)
        unit[i] = 1.0
        builder.add(Column("shift", leaf.name, (i,)), *[(*place, None, unit) for place in places])


def _add_leaf(builder: _Builder, leaf: Leaf, places: list[tuple[int, int]], values: Tensor | None) -> Tensor:
    """The columns of a leaf with a rep; gives the centre of its points."""
    assert leaf.rep is not None
    d, rep = leaf.rep.d, leaf.rep
    terms = _terms(leaf)
    centre = torch.zeros(d, dtype=torch.float64)
    points = [at for at, kind in terms if kind.translates and kind.structured]
    if points and values is not None:
        centre = torch.cat([values[:, at] for at in points]).mean(0)
    for (i, j), matrix in _linear_of(leaf, terms).items():
        shift = torch.zeros(leaf.dim, dtype=torch.float64)
        for at in points:
            shift[at] = -matrix[at, at] @ centre
        builder.add(Column("linear", leaf.name, (i, j)), *[(*place, matrix, shift) for place in places])
    if rep.has_points:
        for k in range(d):
            shift = torch.zeros(leaf.dim, dtype=torch.float64)
            for at, kind in terms:
                if kind.translates:
                    shift[at] = kind.offset(_translation(d, k))
            builder.add(Column("translation", leaf.name, (k,)), *[(*place, None, shift) for place in places])
    for number, block in enumerate(blocks_of(leaf)):
        if isinstance(block.kind, Untouched):
            continue
        matrix = torch.zeros(leaf.dim, leaf.dim, dtype=torch.float64)
        matrix[block.entries, block.entries] = torch.eye(block.entries.stop - block.entries.start, dtype=torch.float64)
        shift = torch.zeros(leaf.dim, dtype=torch.float64)
        for at in points:
            shift[at] = -matrix[at, at] @ centre
        builder.add(Column("scaling", leaf.name, (number,)), *[(*place, matrix, shift) for place in places])
        if isinstance(block.kind, Scalar) and not block.kind.odd:
            unit = torch.zeros(leaf.dim, dtype=torch.float64)
            unit[block.entries] = 1.0
            builder.add(Column("shift", leaf.name, (number,)), *[(*place, None, unit) for place in places])
    return centre


def _terms(leaf: Leaf) -> list[tuple[slice, Kind]]:
    """Every copy of every kind, and where it stands."""
    assert leaf.rep is not None
    found, at = [], 0
    for count, kind in leaf.rep.terms:
        width = kind.dim(leaf.rep.d)
        for _ in range(count):
            found.append((slice(at, at + width), kind))
            at += width
    return found


def _linear_of(leaf: Leaf, terms: list[tuple[slice, Kind]]) -> dict[tuple[int, int], Tensor]:
    """What the matrix unit E_ij does to a leaf; of kinds that know rotations alone, E_ij - E_ji for i < j.

    Vectors and points follow v' = X v, pseudovectors (and their like) v' = -X^T v.
    """
    assert leaf.rep is not None
    d = leaf.rep.d
    rigid = any(not _follows_matrices(kind) for _, kind in terms)
    found = {}
    for i in range(d):
        for j in range(d):
            if rigid and i >= j:
                continue
            unit = torch.zeros(d, d, dtype=torch.float64)
            unit[i, j] = 1.0
            if rigid:
                unit[j, i] = -1.0
            matrix = torch.zeros(leaf.dim, leaf.dim, dtype=torch.float64)
            for at, kind in terms:
                if rigid:
                    matrix[at, at] = _derivative(kind, unit)
                elif kind == PSEUDOVECTOR:
                    matrix[at, at] = -unit.T
                elif kind.structured:
                    matrix[at, at] = unit
            if bool(matrix.any()):
                found[i, j] = matrix
    return found


def _follows_matrices(kind: Kind) -> bool:
    return isinstance(kind, Scalar | Untouched) or kind.structured


def _derivative(kind: Kind, unit: Tensor) -> Tensor:
    """d/dt rho(exp(t X)) at 0, by the logarithm of the matrix of a small rotation."""
    d = unit.shape[0]
    g = Elements(torch.linalg.matrix_exp(_SMALL * unit), torch.zeros(d, dtype=torch.float64))
    found = scipy.linalg.logm(kind.matrix(g).numpy())
    return torch.from_numpy(np.real(found) / _SMALL)


def _translation(d: int, k: int) -> Elements:
    return Elements(torch.eye(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)[k])


def _add_boosts(builder: _Builder, leaf: Leaf) -> None:
    """Velocities shifted, and points shifted after alone: together a boost, x' = x + t b, v' = v + b."""
    assert leaf.rep is not None
    terms = _terms(leaf)
    vectors = [at for at, kind in terms if kind == VECTOR]
    points = [at for at, kind in terms if kind.translates and kind.structured]
    if not vectors or not points:
        return
    for k in range(leaf.rep.d):
        unit = torch.eye(leaf.rep.d, dtype=torch.float64)[k]
        shifted, drifted = torch.zeros(leaf.dim, dtype=torch.float64), torch.zeros(leaf.dim, dtype=torch.float64)
        for at in vectors:
            shifted[at] = unit
        for at in points:
            drifted[at] = unit
        builder.add(Column("boost", leaf.name, (k,)), (0, 0, None, shifted), (1, 0, None, shifted))
        builder.add(Column("drift", leaf.name, (k,)), (1, 0, None, drifted))
