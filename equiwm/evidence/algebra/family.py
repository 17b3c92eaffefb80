"""The motions that are looked for: affine fields on every input and output, a column each, and what they are called.

With reps the space acts alike on every channel of a leaf; without, any matrix may act on a leaf. A column is a pair of
a field x' = A x + b on the inputs and y' = B y + c on the outputs, and the unknown generator is a sum of columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.evidence.algebra.atoms import Atom, atoms_of, follows_matrices, moved_by, scales, vectorial
from equiwm.evidence.algebra.maps import Leaf, Map, Values
from equiwm.symmetry.kinds import MASK, VECTOR, Kind, Scalar

MOST_COLUMNS = 2000
"""Columns of a family: the SVD of so many takes a minute."""
AXES = "xyz"


@dataclass(frozen=True, eq=False)
class Block:
    """Entries of a leaf that have one unit: all copies of a kind.

    Attributes:
        name: of the leaf and the term.
        entries: (n,) where they stand, copy after copy.
        kind: their kind; None without reps.
        width: entries of one copy.
    """

    name: str
    entries: Tensor
    kind: Kind | None
    width: int = 1

    @property
    def vectors(self) -> bool:
        """Whether its copies are vectors, or horizontal parts of them."""
        return self.kind is not None and vectorial(self.kind)

    @property
    def held(self) -> bool:
        """Whether it is never moved: a mask."""
        return self.kind == MASK

    @property
    def sign_blind(self) -> bool:
        """Whether its copies are known up to sign."""
        return self.kind is not None and self.kind.sign_blind

    def copies(self, x: Tensor) -> Tensor:
        """Its copies (..., n, width) in flat tensors (..., D) of the leaf."""
        return x[..., self.entries].unflatten(-1, (-1, self.width))

    def difference(self, x: Tensor, y: Tensor) -> Tensor:
        """x - y of its entries, (..., n): of what is known up to sign the smaller of x - y and x + y."""
        if not self.sign_blind:
            return x[..., self.entries] - y[..., self.entries]
        assert self.kind is not None
        return self.kind.difference(self.copies(x), self.copies(y), 3).flatten(-2)


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
    """The parts of a leaf that have one unit: the atoms of its rep, or its entries without a rep."""
    if leaf.rep is None:
        return [Block(f"{leaf.name}[{k}]", torch.tensor([k]), None) for k in range(leaf.dim)]
    atoms = atoms_of(leaf.rep)
    names = [leaf.name if len(atoms) == 1 else f"{leaf.name} {atom.name}" for atom in atoms]
    return [
        Block(name, atom.entries.flatten(), atom.kind, atom.entries.shape[1])
        for name, atom in zip(names, atoms, strict=True)
    ]


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
    translations = rep.translations
    centre = torch.zeros(d, dtype=torch.float64)
    if rep.has_points and values is not None:
        centre = torch.linalg.lstsq(translations, values.mean(0)[:, None], driver="gelsd").solution[:, 0]
    origin = translations @ centre  # what stands still where points are turned and scaled about the centre
    for (i, j), matrix in _linear_of(leaf).items():
        builder.add(Column("linear", leaf.name, (i, j)), *[(*place, matrix, -matrix @ origin) for place in places])
    for k in range(d if rep.has_points else 0):
        builder.add(Column("translation", leaf.name, (k,)), *[(*place, None, translations[:, k]) for place in places])
    for number, block in enumerate(blocks_of(leaf)):
        if block.kind is None or not scales(block.kind):
            continue
        moved = torch.zeros(leaf.dim, dtype=torch.float64)
        moved[block.entries] = 1.0
        matrix = torch.diag(moved)
        builder.add(Column("scaling", leaf.name, (number,)), *[(*place, matrix, -matrix @ origin) for place in places])
        if isinstance(block.kind, Scalar) and not block.kind.odd:
            builder.add(Column("shift", leaf.name, (number,)), *[(*place, None, moved) for place in places])
    return centre


def _linear_of(leaf: Leaf) -> dict[tuple[int, int], Tensor]:
    """What the matrix unit E_ij does to a leaf; where a kind knows rotations alone, E_ij - E_ji for i < j.

    Of a motion that a kind cannot be moved by, as the horizontal part of a vector out of the plane, there is none.
    """
    assert leaf.rep is not None
    d, atoms = leaf.rep.d, atoms_of(leaf.rep)
    rigid = any(not follows_matrices(atom.kind) for atom in atoms)
    found = {}
    for i in range(d):
        for j in range(d):
            if rigid and i >= j:
                continue
            unit = torch.zeros(d, d, dtype=torch.float64)
            unit[i, j] = 1.0
            if rigid:
                unit[j, i] = -1.0
            matrix = _matrix_of(leaf, atoms, unit)
            if matrix is not None and bool(matrix.any()):
                found[i, j] = matrix
    return found


def _matrix_of(leaf: Leaf, atoms: Sequence[Atom], unit: Tensor) -> Tensor | None:
    """What a motion of space does to a leaf, (D, D); None where one of its kinds cannot be moved so."""
    matrix = torch.zeros(leaf.dim, leaf.dim, dtype=torch.float64)
    for atom in atoms:
        part = moved_by(atom.kind, unit)
        if part is None:
            return None
        matrix[atom.entries[:, :, None], atom.entries[:, None, :]] = part
    return matrix


def _add_boosts(builder: _Builder, leaf: Leaf) -> None:
    """Velocities shifted, and points shifted after alone: together a boost, x' = x + t b, v' = v + b."""
    assert leaf.rep is not None
    vectors = [atom for atom in atoms_of(leaf.rep) if atom.kind == VECTOR]
    if not vectors or not leaf.rep.has_points:
        return
    translations = leaf.rep.translations
    for k in range(leaf.rep.d):
        shifted, drifted = torch.zeros(leaf.dim, dtype=torch.float64), translations[:, k]
        for atom in vectors:
            shifted[atom.entries[:, k]] = 1.0
        builder.add(Column("boost", leaf.name, (k,)), (0, 0, None, shifted), (1, 0, None, shifted))
        builder.add(Column("drift", leaf.name, (k,)), (1, 0, None, drifted))
