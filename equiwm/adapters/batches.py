"""What a program was exported with, and what it can be called with: fixed shapes make one sample, or one batch, a call.

An export without dynamic axes takes one size of batch alone. A checker that stacks another number of rows meets an
error, or rows that were padded, and neither says anything of a symmetry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equiwm.audit.pytree import is_array, label, leaves, replaced
from equiwm.errors import DataError

Shape = tuple[int | None, ...]
"""Sizes of the axes of an input; None is free."""


def in_calls(inputs: Any, shapes: Sequence[Shape], what: str) -> Any:
    """The inputs as the program takes them: as they are, or a list of calls of the size that it was exported with.

    Args:
        inputs: a list of samples, each as the program takes it; or one batch: arrays whose first axis counts samples.
        shapes: of the program's array inputs in order; empty where they are not known.
        what: the program in words, for messages.

    Raises:
        DataError: arrays of other shapes than the program takes, or rows that do not make whole calls.
    """
    if isinstance(inputs, list):
        for index, sample in enumerate(inputs):
            _check(sample, shapes, f"{what}: sample {index}: ")
        return inputs
    arrays = {path: leaf for path, leaf in leaves(inputs).items() if is_array(leaf)}
    if not shapes or not arrays or _fits(inputs, shapes):
        return inputs
    counts = {leaf.shape[0] if leaf.ndim else 0 for leaf in arrays.values()}
    if len(counts) != 1 or len(arrays) != len(shapes):
        _check(inputs, shapes, f"{what}: ")
    (count,) = counts
    extra = {leaf.ndim - len(shape) for leaf, shape in zip(arrays.values(), shapes, strict=True)}
    if extra == {1}:  # every sample is a call
        calls = [replaced(inputs, {path: leaf[k] for path, leaf in arrays.items()}) for k in range(count)]
    else:
        sizes = {shape[0] for shape in shapes if shape} - {None}
        size = sizes.pop() if len(sizes) == 1 else None
        if extra != {0} or size is None:
            _check(inputs, shapes, f"{what}: ")
        if size is None or count % size:
            raise DataError(
                f"{what} was exported with {size} rows a call; got {count}: give a multiple of {size}, or export it "
                "with a dynamic first axis."
            )
        calls = [
            replaced(inputs, {path: leaf[k : k + size] for path, leaf in arrays.items()}) for k in range(0, count, size)
        ]
    for call in calls[:1]:
        _check(call, shapes, f"{what}: ")
    return calls


def _fits(sample: Any, shapes: Sequence[Shape]) -> bool:
    arrays = [leaf for leaf in leaves(sample).values() if is_array(leaf)]
    return len(arrays) == len(shapes) and all(
        len(leaf.shape) == len(shape) and all(b in (None, a) for a, b in zip(leaf.shape, shape, strict=True))
        for leaf, shape in zip(arrays, shapes, strict=True)
    )


def _check(sample: Any, shapes: Sequence[Shape], where: str) -> None:
    if not shapes or _fits(sample, shapes):
        return
    got = ", ".join(f"{label(path)} {tuple(leaf.shape)}" for path, leaf in leaves(sample).items() if is_array(leaf))
    expected = ", ".join("(" + ", ".join("any" if n is None else str(n) for n in shape) + ")" for shape in shapes)
    raise DataError(f"{where}it was exported with inputs of shape {expected}; got {got}.")
