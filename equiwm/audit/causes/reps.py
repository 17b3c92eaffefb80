"""Causes in the declaration: another rep, another order or axis under which it is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from typing import Any

import torch

from equiwm.audit.causes.experiments import Experiments
from equiwm.audit.judgement import VACUOUS
from equiwm.audit.measure import output_name
from equiwm.audit.preflight import Finding
from equiwm.audit.pytree import is_array, label, leaves
from equiwm.audit.rebased import in_e3nn_basis, reordered
from equiwm.audit.running import CallFailed
from equiwm.audit.typed import SAME, Typed, TypedLeaf, declared
from equiwm.errors import EquiwmError, RepError
from equiwm.symmetry.exchanges import SignedPermutation
from equiwm.symmetry.kinds import PSEUDOSCALAR, PSEUDOVECTOR, SCALAR, VECTOR, Irreducible, Kind
from equiwm.symmetry.reps import Rep

MOST_TERMS = 4
"""Terms of a rep of which every order is tried."""


def _flipped(kind: Kind) -> Kind | None:
    """The kind of the other parity."""
    pairs = {SCALAR: PSEUDOSCALAR, PSEUDOSCALAR: SCALAR, VECTOR: PSEUDOVECTOR, PSEUDOVECTOR: VECTOR}
    if isinstance(kind, Irreducible):
        return Irreducible(kind.degree, not kind.odd)
    return pairs.get(kind)


def _near(kind: SignedPermutation) -> Iterator[SignedPermutation]:
    """Mirrors that differ in one sign, or in one pair of channels that change places or do not."""
    images = kind.images
    for i in range(len(images)):
        for j in range(i, len(images)):
            made = list(images)
            if i == j:
                made[i] = -made[i]
            elif abs(images[i]) == i + 1 and abs(images[j]) == j + 1:
                made[i], made[j] = j + 1, i + 1
            elif abs(images[i]) == j + 1:
                made[i], made[j] = i + 1, j + 1
            with suppress(RepError):
                yield SignedPermutation(made)


def _variants(rep: Rep) -> Iterator[tuple[str, Rep]]:
    """Other reps of the same width that a leaf might have been meant to have, with what is said of them."""

    def each(change: Callable[[Kind], Kind | None]) -> Rep | None:
        new = [(count, change(kind) or kind) for count, kind in rep.terms]
        made = Rep(new, rep.d)
        return None if made == rep else made

    flipped = each(_flipped)
    if flipped is not None:
        yield str(flipped), flipped
    for k, (count, kind) in enumerate(rep.terms):
        if isinstance(kind, SignedPermutation):
            for near in _near(kind):
                made = Rep([*rep.terms[:k], (count, near), *rep.terms[k + 1 :]], rep.d)
                yield str(made), made
    if len(rep.terms) > 1:
        for k, (count, kind) in enumerate(rep.terms):
            other = _flipped(kind)
            if other is not None:
                made = Rep([*rep.terms[:k], (count, other), *rep.terms[k + 1 :]], rep.d)
                yield str(made), made
    for terms in permutations(rep.terms) if 1 < len(rep.terms) <= MOST_TERMS else ():
        made = Rep(terms, rep.d)
        if made != rep:
            yield f"{made} (its terms in another order)", made
    based = each(in_e3nn_basis)
    if based is not None:
        yield "the same in e3nn's basis (give e3nn.o3.Irreps)", based
    if rep.d == 3:
        for order in ((1, 2, 0), (2, 0, 1), (2, 1, 0), (1, 0, 2), (0, 2, 1)):
            made = _in_order(rep, order)
            if made != rep:
                yield f"the same with components in the order {', '.join('xyz'[k] for k in order)}", made
    if rep.d == 2:
        made = _in_order(rep, (1, 0))
        if made != rep:
            yield "the same with components in the order y, x", made
    scalars = all(kind in (SCALAR, PSEUDOSCALAR) for _, kind in rep.terms)
    if scalars and rep.dim % rep.d == 0:
        yield f"{rep.dim // rep.d}x1o", Rep([(rep.dim // rep.d, VECTOR)], rep.d)
        yield f"{rep.dim // rep.d}x1e", Rep([(rep.dim // rep.d, PSEUDOVECTOR)], rep.d)
    if not scalars:
        yield f"{rep.dim}x0e", Rep([(rep.dim, SCALAR)], rep.d)


def other_reps(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """Another rep of one input or output, or one reading of all, under which it is exact."""
    probe, elements = tried.probe, tried.sample()
    if tried.holds(tried.again(elements), names):  # whatever is tried here would seem to cure it
        return

    def cured(takes: Any, gives: Any) -> bool:
        try:
            changed = replace(probe, takes=takes, gives=gives)
        except EquiwmError:
            return False
        outputs = {name for name in names if " - input " not in name} or names
        if not tried.holds(tried.again(elements[:1], changed), outputs):  # what one element breaks, eight do not mend
            return False
        found = tried.again(elements, changed)
        return tried.holds(found, outputs) and found is not None and all(each.verdict != VACUOUS for each in found[:1])

    first = probe.samples[0]
    there = leaves(first)
    for path, given in declared(probe.takes, "takes").items():
        leaf = there.get(path)
        if given != SAME or leaf is None or not is_array(leaf) or not torch.as_tensor(leaf).is_floating_point():
            continue
        for text in _vector_reps(tuple(leaf.shape), probe.d):
            if cured(_with(probe.takes, path, text), probe.gives):
                yield Finding(
                    "an input declared the same",
                    f"{label(path)} is declared the same and carries coordinates: as {text} it is exact.",
                )
                return
    typed_in, typed_out = tried.state.runner.inputs, tried.state.runner.outputs
    wrong = {each.best.quantity.leaf.path for each in tried.failing}
    for leaf_out in (leaf for leaf in typed_out if leaf.path in wrong):
        for text, rep in (*_variants(leaf_out.rep),):
            if cured(probe.takes, _with(probe.gives, leaf_out.path, _like(leaf_out, rep))):
                yield Finding("a wrong rep", f"{output_name(leaf_out)} as {leaf_out.rep} fails: as {text} it is exact.")
                return
        for axis in _other_axes(leaf_out, tried):
            if cured(probe.takes, _with(probe.gives, leaf_out.path, Typed(leaf_out.rep, axis))):
                yield Finding(
                    "a wrong axis", f"{leaf_out.name}: with equiwm.Typed('{leaf_out.rep}', axis={axis}) it is exact."
                )
                return
    for leaf_in in typed_in:
        for text, rep in _variants(leaf_in.rep):
            if all(kind == SCALAR for _, kind in rep.terms):  # then nothing is turned, and anything passes
                continue
            if cured(_with(probe.takes, leaf_in.path, _like(leaf_in, rep)), probe.gives):
                yield Finding(
                    "a wrong rep", f"{leaf_in.name} of the inputs as {leaf_in.rep} fails: as {text} it is exact."
                )
                return
        for axis in _input_axes(leaf_in, there):
            if cured(_with(probe.takes, leaf_in.path, Typed(leaf_in.rep, axis)), probe.gives):
                yield Finding(
                    "a wrong axis",
                    f"{leaf_in.name} of the inputs: with equiwm.Typed('{leaf_in.rep}', axis={axis}) it is exact.",
                )
                return
    orders = ((1, 2, 0), (2, 0, 1)) if probe.d == 3 else ((1, 0),)
    for order in orders:
        takes, gives = probe.takes, probe.gives
        for leaf in typed_in:
            takes = _with(takes, leaf.path, _like(leaf, _in_order(leaf.rep, order)))
        for leaf in typed_out:
            gives = _with(gives, leaf.path, _like(leaf, _in_order(leaf.rep, order)))
        if cured(takes, gives):
            letters = ", ".join("xyz"[k] for k in order)
            yield Finding("the order of components", f"With components in the order {letters} everywhere it is exact.")
            return


def _in_order(rep: Rep, order: tuple[int, ...]) -> Rep:
    return Rep([(count, reordered(kind, order) if kind.structured else kind) for count, kind in rep.terms], rep.d)


def _like(leaf: TypedLeaf, rep: Rep) -> Rep | Typed:
    return rep if leaf.axis is None else Typed(rep, leaf.axis)


def _vector_reps(shape: tuple[int, ...], d: int) -> list[str]:
    found = []
    if shape[-1:] and shape[-1] % d == 0:
        found.append(f"{shape[-1] // d}x1o")
    if len(shape) >= 2 and shape[-1] == d:
        found.append(f"{shape[-2]}x1o")
    return list(dict.fromkeys(found))


def _other_axes(leaf: TypedLeaf, tried: Experiments) -> list[int]:
    try:
        output = tried.state.runner.raw(tried.probe.samples[0], tried.dtype)
    except CallFailed:
        return []
    return _input_axes(leaf, leaves(output))


def _input_axes(leaf: TypedLeaf, there: Any) -> list[int]:
    """Other axes of the width of the rep."""
    found = there.get(leaf.path)
    if not is_array(found):
        return []
    last = (len(found.shape) - 1) if leaf.axis is None else leaf.axis % len(found.shape)
    return [axis - len(found.shape) for axis, size in enumerate(found.shape) if size == leaf.rep.dim and axis != last]


def _with(spec: Any, path: tuple[Any, ...], rep: Any) -> Any:
    """A spec with another rep at a path."""
    if not path:
        return rep
    key, *rest = path
    if isinstance(spec, list | tuple):
        names = list(getattr(spec, "_fields", range(len(spec))))
        parts = [_with(part, tuple(rest), rep) if name == key else part for name, part in zip(names, spec, strict=True)]
        return type(spec)(*parts) if hasattr(spec, "_fields") else type(spec)(parts)
    return {**spec, key: _with(spec[key], tuple(rest), rep)}
