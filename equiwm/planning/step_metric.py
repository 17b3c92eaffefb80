"""How far a latent is from another, in steps: each of its directions in units of what one step changes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from equiwm.models.world_model import WorldModel
from equiwm.planning.view import PlannerView
from equiwm.symmetry.group import Group
from equiwm.symmetry.irreducibles import irreducibles
from equiwm.symmetry.reps import Rep

if TYPE_CHECKING:  # an exported model plans without any world
    from equiwm.worlds.world import Transitions

FLOOR = 1e-3
"""Variance of a step, of the largest there is, below which a direction counts no more: a model predicts it too badly.
On PushT 1e-2 leaves the block, which moves less than the agent, too little weight, and 1e-5 weighs noise."""

_PART = 8192
"""Steps that are encoded at a time."""


@dataclass(frozen=True, eq=False)
class StepMetric:
    """|W (z - z*)|^2 with W = (S + floor max(S))^(-1/2), S = E (z' - z)(z' - z)^T over the steps of the training data.

    A latent is trained to be predicted, so it is large where much moves in every step, the agent, and small where
    little does, the body that is pushed. In this metric both count in steps: it is about the number of steps, squared,
    that lie between two latents (temporal whitening, as in slow feature analysis; Wiskott and Sejnowski 2002).

    S is taken on the irreducible types of the latent's rep, with one matrix for the copies of each, so that W commutes
    with rho(g) and the cost is invariant: C(rho z, rho z*) = C(z, z*). Of a model that is not meant to be equivariant
    S is of all entries.

    Attributes:
        matrix: W, float64: (C, C) on the channels of latents that are vectors alone, else (D, D) on flat latents.
        centroid: square of what a step moves the centroid by, in the world's unit; None where there is no centroid.
    """

    matrix: Tensor
    centroid: float | None = None


def latent_metric(model: WorldModel, data: Transitions, group: Group, control: PlannerView | None) -> StepMetric:
    """The metric of a model's latents (`fitted`).

    Args:
        model: in the dtype and on the device to evaluate in.
        data: the steps it was trained on.
        group: that it was built for.
        control: the world's tasks; None of a world that has none.
    """
    like = next(model.parameters())
    return fitted(
        lambda observation: model.encode(observation.to(like)),
        data,
        model.latent_rep,
        group,
        equivariant=model.equivariant,
        control=control,
    )


def fitted(
    encode: Callable[[Tensor], Tensor],
    data: Transitions,
    rep: Rep,
    group: Group,
    *,
    equivariant: bool,
    control: PlannerView | None,
) -> StepMetric:
    """The metric of a latent, from the steps of its training data.

    Args:
        encode: E, observations (n, *shape) to flat latents (n, D).
        data: the steps.
        rep: of the latents.
        group: that acts on them.
        equivariant: whether the metric is to commute with the group.
        control: the world's tasks, which may give a centroid; None of a world that has none.
    """
    as_vectors = equivariant and rep.vectors_only
    parts = _parts(rep, group, as_vectors) if equivariant else [torch.eye(rep.dim, dtype=torch.float64)[:, None]]
    moved = [maps.new_zeros(len(maps), len(maps)) for maps in parts]
    with torch.no_grad():
        for before, after in zip(data.observation.split(_PART), data.next_observation.split(_PART), strict=True):
            step = (encode(after) - encode(before)).double().cpu()
            if as_vectors:
                step = step.unflatten(-1, (rep.multiplicity, rep.d)).mT.flatten(0, 1)
            for each, maps in zip(moved, parts, strict=True):
                found = torch.einsum("mid,nd->mni", maps, step).flatten(1)
                each += found @ found.mT / (len(data) * (rep.d if as_vectors else maps.shape[1]))
    return StepMetric(_whitening(parts, moved), _centroid(control, data))


def _parts(rep: Rep, group: Group, as_vectors: bool) -> list[Tensor]:
    """Of each type the maps (copies, width, D) onto its copies; of vectors alone the channels, whatever the group."""
    if as_vectors:
        return [torch.eye(rep.multiplicity, dtype=torch.float64)[:, None]]
    linear = rep.linear_part
    return [maps for maps in irreducibles(group, linear).copies(linear) if len(maps)]


def _whitening(parts: Sequence[Tensor], moved: Sequence[Tensor]) -> Tensor:
    """sum_t R_t^T (S_t + floor)^(-1/2) R_t, with one floor for all types: the symmetric root, which is unique."""
    spectra = [torch.linalg.eigh(each) for each in moved]
    most = max(float(values[-1]) for values, _ in spectra)
    whole = torch.zeros(parts[0].shape[-1], parts[0].shape[-1], dtype=torch.float64)
    for maps, (values, turn) in zip(parts, spectra, strict=True):
        root = (turn / (values.clamp(min=0.0) + FLOOR * most).sqrt()) @ turn.mT
        whole += torch.einsum("mid,mn,nie->de", maps, root, maps)
    return whole


def _centroid(control: PlannerView | None, data: Transitions) -> float | None:
    """E |c(x') - c(x)|^2 of the centroid c that the world's goals are given for."""
    if control is None:
        return None
    goals = []
    for wanted in (data.observation, data.next_observation):
        term = control.centroid_term(data.observation, wanted, weight=1.0, horizon=1)
        if term is None:
            return None
        goals.append(term.goal)
    return float((goals[1] - goals[0]).square().sum(-1).mean())
