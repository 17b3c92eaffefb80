"""Rollouts for planners: many samples of many tasks, samples last."""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor

from equiwm.models.world_model import WorldModel
from equiwm.nn.layer import Layer
from equiwm.planning.mlp_rollout import MLPRollout
from equiwm.planning.vn_rollout import VNRollout
from equiwm.symmetry.reps import Rep


class Rollout(Protocol):
    """z_h = f(z_{h-1}, a_h) for T tasks with N action sequences each."""

    def __call__(self, latent: Tensor, actions: Tensor) -> Tensor:
        """Roll out.

        Args:
            latent: z_0, (T, D), flat vectors.
            actions: (T, N, H, A, d), or (T, N, H, dim) of actions that are not vectors alone, of any float dtype;
                cast to the model's.

        Returns:
            z_1 ... z_H as (T, H, C, d, N) with C d = D, in the dtype of the model; possibly a strided view. Of latents
            that are not vectors alone (T, H, D, 1, N).
        """
        ...


class PredictRollout:
    """The rollout by a model's own `predict`: for every architecture, at its speed."""

    def __init__(self, model: WorldModel) -> None:
        self.model = model
        self.parameter = next(model.parameters())

    @torch.no_grad()
    def __call__(self, latent: Tensor, actions: Tensor) -> Tensor:
        tasks, samples, horizon, *action_shape = actions.shape
        z = latent.to(self.parameter)[:, None].expand(-1, samples, -1).reshape(tasks * samples, -1)
        vector = len(action_shape) == 2 and action_shape[0] == 1  # data have one vector without its axis of channels
        shape = (tasks * samples, *(action_shape[1:] if vector else action_shape))
        out = z.new_empty(horizon, tasks, samples, z.shape[-1])
        for step, action in enumerate(actions.to(self.parameter).unbind(2)):
            z = self.model.predict(z, action.reshape(shape))
            out[step] = z.view(tasks, samples, -1)
        return out.permute(1, 0, 3, 2).unflatten(2, trajectory_shape(self.model.latent_rep))


def trajectory_shape(rep: Rep) -> tuple[int, int]:
    """How a trajectory has the channels of a latent: (C, d) of vectors alone, else (D, 1)."""
    return (rep.multiplicity, rep.d) if rep.structured else (rep.dim, 1)


def compile_rollout(model: WorldModel) -> Rollout:
    """The fastest rollout there is for a model: `VNRollout` for vector-neuron predictors, `MLPRollout` for ordinary
    ones, else `PredictRollout`.

    The weights are copied: compile again after training on. A fast rollout that does not reproduce one step of
    the model's own `predict` (a predictor that has learnt something new) is not used.
    """
    slow = PredictRollout(model)
    fast = _fast_rollout(model, model.predictor)
    return slow if fast is None or not _agree(fast, slow, model) else fast


def ranking_rollout(model: WorldModel) -> Rollout | None:
    """The fast rollout of a model in float64, in float32; None for a model in another dtype, or without a fast one."""
    if isinstance(compile_rollout(model), PredictRollout) or next(model.parameters()).dtype != torch.float64:
        return None
    return _fast_rollout(model, copy.deepcopy(model.predictor).float())


def _fast_rollout(model: WorldModel, predictor: Layer) -> Rollout | None:
    """That of its predictor, or of a copy in another dtype; None where there is none."""
    if not (model.latent_rep.vectors_only and model.action_rep.vectors_only):
        return None
    return VNRollout.of(predictor, model.action_rep.multiplicity) or MLPRollout.of(predictor)


def _agree(fast: Rollout, slow: PredictRollout, model: WorldModel) -> bool:
    rng = torch.Generator().manual_seed(0)
    latent = torch.randn(2, model.latent_rep.dim, generator=rng, dtype=torch.float64)
    actions = torch.randn(
        2, 8, 1, model.action_rep.multiplicity, model.action_rep.d, generator=rng, dtype=torch.float64
    )
    expected, given = slow(latent, actions), fast(latent, actions)
    tolerance = 1e-3 if expected.dtype == torch.float32 else 1e-9
    return bool((given - expected).abs().max() <= tolerance * (1.0 + expected.abs().max()))
