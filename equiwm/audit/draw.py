"""Inputs drawn from reps alone, for who has none at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.pytree import Path, label
from equiwm.audit.typed import SAME, TypedLeaf, declared, typed_leaf
from equiwm.checks import as_seed
from equiwm.errors import DataError
from equiwm.symmetry.composites import DirectSum, TensorProduct
from equiwm.symmetry.elements import haar_rotations
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import Kind
from equiwm.symmetry.orientations import Quaternion, RotationMatrix
from equiwm.symmetry.places import places_of
from equiwm.symmetry.reps import Rep

BATCH = 64
"""How many samples are drawn."""
MOST = 2**27
"""Numbers of one leaf: 1 GB in float64."""

Shape = int | tuple[int, ...]


def draw(
    takes: Any,
    group: Group | str,
    *,
    batch: int | None = BATCH,
    free: Mapping[str, Shape] | Shape = (),
    values: Mapping[str, Any] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    flat: bool = False,
    kinds: Sequence[Kind] = (),
    axes: int = 3,
) -> Any:
    """Random inputs of given reps, in the form of `takes`: normal numbers, turned frames and unit quaternions.

        >>> takes = {"positions": "p", "numbers": "same"}
        >>> draw(takes, "e3", free={"positions": 6}, values={"numbers": torch.randint(0, 5, (64, 6))})

    A leaf has the shape (batch, *free, *rep): of vectors and points (copies, d), `16xp` is (16, 3) and `1o` is (3,);
    of products an axis for every factor, `1o*1o` is (3, 3); of everything else one axis, `8x0e+16x1o` is (56,).

    Args:
        takes: reps, as a `Probe` has them; tuples and mappings of them.
        group: a group or its name.
        batch: how many samples along the first axis; None for one structure without that axis.
        free: sizes of the axes between it and the rep, of all leaves or by name, as `positions` and `graph.pos`.
        values: leaves by name that are not drawn: those that are `same` have to be there.
        seed: of the numbers.
        dtype: of what is drawn, float32 or float64.
        flat: one axis for every rep.
        kinds: kinds of representation of one's own that the texts name.
        axes: dimension of the reps, where the group has none (`s5`).

    Raises:
        DataError: a leaf that is `same` and has no value, a name that is none, a size below 1, or too many numbers.
        RepError, GroupError: a rep that cannot be read, or a group that does not exist.
    """
    acting = group if isinstance(group, Group) else Group.parse(group)
    given = declared(takes, "takes")
    names = [label(path) for path in given]
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise DataError(f"draw: values: got {type(values).__name__}, expected a mapping of names of leaves.")
    by_name = free if isinstance(free, Mapping) else dict.fromkeys(names, free)
    for what, keys in (("free", by_name), ("values", values)):
        for key in keys:
            if key not in names:
                raise DataError(f"draw: {what} names {key!r}; takes has {', '.join(names) or 'nothing'}.")
    lead = () if batch is None else (_size("batch", batch),)
    rng = np.random.default_rng(as_seed(seed, "draw"))
    made: dict[Path, Any] = {}
    for path, rep in given.items():
        name = label(path)
        if name in values:
            made[path] = values[name]
        elif rep == SAME:
            raise DataError(
                f"draw: {name} is declared the same, and no rep says what it holds: pass values={{{name!r}: ...}}."
            )
        else:
            leaf = typed_leaf(path, rep, acting.d or axes, kinds)
            between = by_name.get(name, ())
            between = tuple(_size(f"free of {name}", size) for size in _axes(between))
            made[path] = _drawn(leaf, (*lead, *between), rng, flat=flat).to(_float(dtype))
    return _tree(takes, (), made)


def _axes(given: Shape) -> tuple[int, ...]:
    return (given,) if isinstance(given, int) else tuple(given)


def _size(what: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"draw: {what}: got {value!r}, expected a whole number above 0.")
    return value


def _float(dtype: object) -> torch.dtype:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise DataError(f"draw: dtype: got {dtype!r}, expected torch.float32 or torch.float64.")
    return dtype


def _drawn(leaf: TypedLeaf, lead: tuple[int, ...], rng: np.random.Generator, *, flat: bool) -> Tensor:
    rep = leaf.rep
    if prod(lead) * rep.dim > MOST:
        raise DataError(f"draw: {leaf.name} has {prod(lead) * rep.dim:,} numbers, expected at most {MOST:,}.")
    x = torch.from_numpy(rng.normal(size=(*lead, rep.dim)))
    whole = DirectSum(rep.terms)
    for places in places_of(whole, rep.d, Quaternion):
        x[..., places] = torch.nn.functional.normalize(x[..., places], dim=-1)
    for places in places_of(whole, rep.d, RotationMatrix):
        turned = haar_rotations(prod(lead), rng, rep.d)
        x[..., places] = turned.reshape(*lead, rep.d**2)
    if leaf.axis is not None:
        if not -x.dim() <= leaf.axis < x.dim():
            raise DataError(f"draw: {leaf.name}: axis {leaf.axis} needs more axes than {x.dim()}; give free ones.")
        return x.movedim(-1, leaf.axis).contiguous()
    return x if flat else x.reshape(*lead, *_shape(rep))


def _shape(rep: Rep) -> tuple[int, ...]:
    """The axes of a rep, as most networks have them."""
    if rep.structured:
        return (rep.multiplicity, rep.d) if rep.multiplicity > 1 else (rep.d,)
    if len(rep.terms) == 1:
        count, kind = rep.terms[0]
        if isinstance(kind, TensorProduct):
            inner = tuple(factor.dim(rep.d) for factor in kind.factors)
            return (count, *inner) if count > 1 else inner
    return (rep.dim,)


def _tree(spec: Any, path: Path, made: Mapping[Path, Any]) -> Any:
    """The leaves in the form of their spec; a list of reps is a tuple, for a list of inputs is one of samples."""
    if path in made:
        return made[path]
    if isinstance(spec, Mapping):
        return {key: _tree(child, (*path, key), made) for key, child in spec.items()}
    fields = getattr(spec, "_fields", None)
    parts = [_tree(child, (*path, key), made) for key, child in zip(fields or range(len(spec)), spec, strict=True)]
    return type(spec)(*parts) if fields else tuple(parts)
