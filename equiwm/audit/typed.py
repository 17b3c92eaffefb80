"""Leaves with a representation: which axes it describes, how a group element turns them, what they are called."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.pytree import Path, is_array, label, leaves
from equiwm.audit.rebased import in_e3nn_basis
from equiwm.errors import DataError, RepError
from equiwm.printable import quoted
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.kinds import Kind
from equiwm.symmetry.notation import parse_kind
from equiwm.symmetry.reps import Rep

SAME = "same"
"""What a leaf is declared that nothing changes and that carries no coordinates, whatever its shape."""


@dataclass(frozen=True)
class Typed:
    """The rep of a leaf and the axis that it describes, where that is not the last: `Typed("1o", axis=1)`.

    Attributes:
        rep: a rep, its text, or e3nn's `Irreps`, in whose basis it is then.
        axis: the axis that holds the entries of the rep; saying -1 tells that an ambiguous shape is meant so.
    """

    rep: Rep | str
    axis: int

    def __post_init__(self) -> None:
        """Refuse an axis that is no number.

        Raises:
            RepError: such an axis.
        """
        if isinstance(self.axis, bool) or not isinstance(self.axis, int):
            raise RepError(f"Typed: got axis = {quoted(self.axis)}, expected the number of an axis, as -1.")


@dataclass(frozen=True)
class TypedLeaf:
    """One leaf of the inputs or outputs and its rep.

    Attributes:
        path: where it stands.
        rep: how it transforms.
        axis: the axis that the rep describes; None is the last one, or the last two where they are (C, d).
    """

    path: Path
    rep: Rep
    axis: int | None = None

    @property
    def name(self) -> str:
        """The path in words."""
        return label(self.path)

    def tensor(self, leaf: object) -> Tensor:
        """The leaf as a tensor.

        Raises:
            DataError: it is no array of real floating numbers.
        """
        if not is_array(leaf):
            raise DataError(f"{self.name}: got {type(leaf).__name__}, expected a tensor or array of rep {self.rep}.")
        found = torch.as_tensor(leaf)
        if not found.is_floating_point():
            raise DataError(f"{self.name}: got numbers of {found.dtype}, expected floating ones of rep {self.rep}.")
        return found

    def flat(self, leaf: object) -> Tensor:
        """The leaf as (*lead, dim).

        Raises:
            RepError: its shape does not fit the rep, or fits it in two ways.
        """
        found = self.tensor(leaf)
        if self.axis is not None:
            if not -found.dim() <= self.axis < found.dim() or found.shape[self.axis] != self.rep.dim:
                raise RepError(f"{self.name}: {self._said(found)} axis {self.axis} is not one of {self.rep.dim}.")
            return found.movedim(self.axis, -1)
        width = self._last_axes(found)
        if width == 0 and self.rep.dim == 1:  # a scalar needs no axis of its own
            return found[..., None]
        if width == 0:
            axes = [axis for axis, size in enumerate(found.shape) if size == self.rep.dim]
            hint = f" Axis {axes[0]} has: say equiwm.Typed('{self.rep}', axis={axes[0]})." if axes else ""
            count, d = self.rep.multiplicity, self.rep.d
            if not axes and self.rep.structured and tuple(found.shape[-2:]) in {(count, 2), (count, 3)} - {(count, d)}:
                hint = f" The group acts on d = {d}, and these have {found.shape[-1]} coordinates."
            raise RepError(f"{self.name}: {self._said(found)} its last axis is not one of {self.rep.dim}.{hint}")
        if width == 1 and found.dim() >= 2 and found.shape[-2] == self.rep.dim > 1 and self.rep.multiplicity == 1:
            raise RepError(
                f"{self.name}: {self._said(found)} two axes could hold it: say equiwm.Typed('{self.rep}', axis=-1), "
                "or axis=-2."
            )
        return found.flatten(-width) if width > 1 else found

    def _last_axes(self, found: Tensor) -> int:
        """How many of the last axes make one tensor of the rep; 0 where none do."""
        if found.shape[-1:] == (self.rep.dim,):
            return 1
        shapes: list[tuple[int, ...]] = []
        if self.rep.structured:
            shapes.append((self.rep.multiplicity, self.rep.d))
        if len(self.rep.terms) == 1:
            count, kind = self.rep.terms[0]
            inner = kind.axes(self.rep.d)
            shapes += [(count, *inner), *([inner] if count == 1 else [])]
        shapes += self._over_a_grid()
        return next((len(shape) for shape in shapes if tuple(found.shape[-len(shape) :]) == shape), 0)

    def _over_a_grid(self) -> list[tuple[int, ...]]:
        """(channels, *grid) of fields over one grid, whatever their kinds."""
        axes = [(count, kind.axes(self.rep.d)) for count, kind in self.rep.terms]
        grids = {inner[1:] for _, inner in axes}
        grid = grids.pop() if len(grids) == 1 else ()
        return [(sum(count * inner[0] for count, inner in axes), *grid)] if grid else []

    def _said(self, found: Tensor) -> str:
        return f"rep {self.rep} on a leaf of shape {tuple(found.shape)}:"

    def restored(self, flat: Tensor, like: Any) -> Any:
        """What `flat` gave, back in the shape, the dtype, and the kind of array that the leaf has."""
        found = torch.as_tensor(like)
        made = flat.reshape(found.shape) if self.axis is None else flat.movedim(-1, self.axis)
        made = made.to(found.dtype)
        return made.numpy().astype(like.dtype) if isinstance(like, np.ndarray) else made.to(found.device)

    def turned(self, leaf: Any, g: Elements) -> Any:
        """rho(g) of the leaf, computed in its dtype."""
        return self.restored(self.rep.transform(self.flat(leaf), g), leaf)


def typed_leaves(tree: Any, spec: Any, d: int, what: str, kinds: Iterable[Kind] = ()) -> list[TypedLeaf]:
    """The leaves that have a rep.

    Args:
        tree: inputs or outputs.
        spec: the same tree with reps for leaves, or a part of it; one rep for a tree that is one leaf.
        d: dimension of the reps.
        what: `takes` or `gives`, for messages.
        kinds: kinds of the user's own that the texts name.

    Raises:
        RepError: a rep that cannot be read or does not fit, or a part of the spec that the tree does not have.
        DataError: a leaf with a rep that holds no numbers.
    """
    there = leaves(tree)
    reps = declared(spec, what)
    found = []
    for path, given in reps.items():
        if path not in there:
            known = ", ".join(map(label, there))
            said = "one leaf" if () in there else f"leaves {known}"
            raise RepError(f"{what} names {label(path)}; what it describes has {said}.")
        if given == SAME:
            continue
        leaf = typed_leaf(path, given, d, kinds)
        leaf.flat(there[path])
        found.append(leaf)
    return found


def typed_leaf(path: Path, given: Rep | str | Typed, d: int, kinds: Iterable[Kind] = ()) -> TypedLeaf:
    """The leaf at a path, with the rep that a spec gives it.

    Raises:
        RepError: a rep that cannot be read.
    """
    rep, axis = (given.rep, given.axis) if isinstance(given, Typed) else (given, None)
    if isinstance(rep, str):
        rep = Rep.parse(rep, d, kinds)
    elif not isinstance(rep, Rep):
        rep = _of_irreps(rep)
    return TypedLeaf(path, rep, axis)


def declared(spec: Any, what: str) -> dict[Path, Rep | str | Typed]:
    """What a spec says of each leaf.

    Raises:
        RepError: something in it that is neither a rep nor a container.
    """
    if isinstance(spec, Rep | str | Typed) or _is_irreps(spec):
        return {(): spec}
    if isinstance(spec, Mapping):
        items: Iterable[tuple[Any, Any]] = spec.items()
    elif isinstance(spec, list | tuple):
        items = zip(getattr(spec, "_fields", range(len(spec))), spec, strict=True)
    elif dataclasses.is_dataclass(spec) and not isinstance(spec, type):
        items = ((field.name, getattr(spec, field.name)) for field in dataclasses.fields(spec))
    elif spec is None:
        return {}
    else:
        raise RepError(
            f"{what}: got {type(spec).__name__}, expected reps as text, in the form of what they describe; of an "
            "object a mapping of its attributes, {'pos': 'p'}."
        )
    return {(key, *path): rep for key, child in items for path, rep in declared(child, what).items()}


def _is_irreps(spec: object) -> bool:
    """Whether it is e3nn's `Irreps`, a tuple by its class; e3nn is not imported for that."""
    return type(spec).__name__ == "Irreps" and type(spec).__module__.partition(".")[0] == "e3nn"


def _of_irreps(irreps: Any) -> Rep:
    """e3nn's irreps as a rep, in e3nn's basis.

    Raises:
        RepError: something that is none.
    """
    if not _is_irreps(irreps):
        raise RepError(f"got {type(irreps).__name__} for a rep; expected a Rep, its text, or e3nn's Irreps.")
    return Rep([(count, in_e3nn_basis(parse_kind(str(kind), {}))) for count, kind in irreps if count], 3)


def undeclared(tree: Any, spec: Any, what: str) -> list[Path]:
    """Arrays of floating numbers with an axis or more that the spec says nothing of."""
    told = declared(spec, what)
    return [
        path
        for path, leaf in leaves(tree).items()
        if path not in told
        and is_array(leaf)
        and torch.as_tensor(leaf).is_floating_point()
        and math.prod(leaf.shape) > 1
    ]
