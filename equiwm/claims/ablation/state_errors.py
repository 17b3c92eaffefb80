"""Errors of a forward model's own prediction, in the targets of a read-out: nothing is fitted."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.claims.sweep.readout import pooled_error
from equiwm.models.world_model import WorldModel
from equiwm.results.ablation import ReadoutErrors
from equiwm.results.result import UNKNOWN
from equiwm.worlds.world import Transitions, World


def state_errors(model: WorldModel, world: World, seen: Transitions, ood: Transitions) -> dict[str, ReadoutErrors]:
    """Of each target that changes its error over its true change, on two sets of transitions."""
    errors = [_errors(model, world, part.to(torch.float32, "cpu")) for part in (seen, ood)]
    return {
        target: ReadoutErrors(seen=errors[0][target], ood=errors[1][target], action=UNKNOWN) for target in errors[0]
    }


@torch.no_grad()
def _errors(model: WorldModel, world: World, data: Transitions) -> dict[str, float]:
    def targets(latent: Tensor) -> dict[str, Tensor]:
        return dict(world.readout_targets(latent.reshape(-1, *world.observation_rep.shape).double()))

    predicted = targets(model(data.observation, data.action))
    now, then = (targets(model.encode(part)) for part in (data.observation, data.next_observation))
    return {
        name: pooled_error(predicted[name], then[name], now[name])
        for name in predicted
        if not torch.equal(then[name], now[name])  # nothing to predict
    }
