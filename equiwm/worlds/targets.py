"""Targets of read-outs, kind by kind: a scalar, a vector and an orientation are recovered each in its own unit."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.symmetry.quaternions import as_matrices, matrix_rep
from equiwm.symmetry.reps import Rep


def kind_reps(rep: Rep) -> dict[str, Rep]:
    """The kinds of a rep, each with all of its copies, by name; orientations as rotation matrices."""
    counts: dict[str, int] = {}
    for count, kind in matrix_rep(rep).terms:
        counts[kind.name] = counts.get(kind.name, 0) + count
    kinds = {kind.name: kind for _, kind in matrix_rep(rep).terms}
    return {name: Rep(((count, kinds[name]),), rep.d) for name, count in counts.items()}


def by_kind(state: Tensor, rep: Rep) -> dict[str, Tensor]:
    """A flat state (n, dim) of a rep, by kind as `kind_reps` names them: each (n, its dim)."""
    whole = matrix_rep(rep)
    found: dict[str, list[Tensor]] = {}
    parts = as_matrices(state, rep).split([count * kind.dim(rep.d) for count, kind in whole.terms], -1)
    for part, (_, kind) in zip(parts, whole.terms, strict=True):
        found.setdefault(kind.name, []).append(part)
    return {name: torch.cat(same, -1) for name, same in found.items()}
