"""Sets in a log: a mask says which items a row has, and what its empty places hold is not read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from equiwm.errors import DataError, RepError
from equiwm.logs.raw import Raw
from equiwm.logs.spec import ColumnSpec, LogSpec
from equiwm.printable import quoted
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import has_mask, set_layout

Numbers = NDArray[np.float64]


def without_padding(
    raw: Raw, spec: LogSpec, state: Mapping[str, Numbers], action: Mapping[str, Numbers]
) -> tuple[dict[str, Numbers], dict[str, Numbers]]:
    """States and actions with zeros in the empty places of their set, whatever the log has there, NaN included.

    Raises:
        RepError: a set that is none (`set_layout`), or columns that do not fit its rep.
        DataError: a mask that is neither 0 nor 1.
    """
    entries = (*spec.state, *spec.action)
    reps = {entry.name: _stored(entry, spec.dimension, raw) for entry in entries}
    if not any(has_mask(rep) for rep in reps.values()):
        return dict(state), dict(action)
    columns = {**state, **action}
    for name, rep in reps.items():
        if rep.dim != columns[name].shape[1]:
            raise RepError(
                f"{raw.path}: {quoted(name)} has {columns[name].shape[1]} entries a row, rep {rep} takes {rep.dim} in "
                f"{spec.dimension} dimensions."
            )
    try:
        layout = set_layout(Rep([term for rep in reps.values() for term in rep.terms], spec.dimension))
    except RepError as error:
        raise RepError(f"{raw.path}: {error}") from None
    assert layout is not None
    assert layout.mask is not None
    whole = np.concatenate([columns[name] for name in reps], axis=1)
    _check_mask(raw, whole[:, layout.mask.numpy()])
    parts = np.split(
        layout.cleared(torch.from_numpy(whole)).numpy(), np.cumsum([reps[name].dim for name in reps])[:-1], axis=1
    )
    cleared = dict(zip(reps, parts, strict=True))
    return {name: cleared[name] for name in state}, {name: cleared[name] for name in action}


def _check_mask(raw: Raw, mask: Numbers) -> None:
    bad = ~np.isin(mask, (0.0, 1.0))
    if bad.any():
        row = int(bad.any(1).argmax())
        place = int(bad[row].argmax())
        raise DataError(
            f"{raw.path}: {raw.place(row)}: the mask of item {place} is {mask[row, place]:g} "
            f"({int(bad.any(1).sum()):,} such rows); expected 1 where an item is there, 0 where its place is empty."
        )


def _stored(entry: ColumnSpec, d: int, raw: Raw) -> Rep:
    """The rep of a quantity as wide as the log stores it: an angle is one entry, a quaternion four."""
    if entry.rep in ("angle", "quat"):
        return Rep.parse("0e" if entry.rep == "angle" else "same4", d)
    try:
        return Rep.parse(entry.rep, d)
    except RepError as error:
        raise RepError(f"{raw.path}: {quoted(entry.name)}: {error}") from None
