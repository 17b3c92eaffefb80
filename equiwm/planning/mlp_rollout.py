"""The fast rollout of ordinary predictors.

Samples lie last, as in `vn_rollout`, so that the costs read along memory; latents and actions of all steps lie in one
record, of which the predictor's input is a slice, and its output is written where the next step reads it. The mean
that a layer norm takes off is taken off the weights before it, once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from equiwm.models.mlp import MLPPredictor
from equiwm.models.relative import RelativePredictor
from equiwm.nn.layer import Layer
from equiwm.nn.linear import DenseLinear
from equiwm.nn.nonlinear import DenseReLU


class MLPRollout:
    """z_h = z_{h-1} + net([z_{h-1}, a_h]) of an `MLPPredictor`, as `rollouts.Rollout`.

    Use `MLPRollout.of`. Weights are copied, folded in float64 and cast once.
    """

    def __init__(self, predictor: MLPPredictor, differences: Tensor | None = None) -> None:
        self.like = next(predictor.parameters()).detach()
        self.latents, self.actions, self.d = predictor.in_rep.dim, predictor.action_rep.dim, predictor.in_rep.d
        layers = list(predictor.network.layers)
        maps = [_affine(linear) for linear in layers[::2]]
        if differences is not None:  # [D z, a] = (D + 1) [z, a], multiplied out
            eye = partial(torch.eye, dtype=torch.float64, device=differences.device)
            seen = torch.block_diag(torch.kron(differences.double(), eye(self.d)), eye(self.actions))
            maps[0] = maps[0][0] @ seen.to(maps[0][0]), maps[0][1]
        self.hidden = [_Hidden(*given, relu, self.like) for given, relu in zip(maps[:-1], layers[1::2], strict=True)]
        self.last, self.bias = (part.to(self.like) for part in maps[-1])

    @staticmethod
    def of(predictor: Layer) -> MLPRollout | None:
        """The rollout of an `MLPPredictor`, seen through a `RelativePredictor` or not; None for any other predictor."""
        differences: Tensor | None = None
        if type(predictor) is RelativePredictor:
            differences, predictor = predictor.differences, predictor.inner
        if type(predictor) is not MLPPredictor:
            return None
        layers = list(predictor.network.layers)
        linears, relus = layers[::2], layers[1::2]
        norms = [relu.norm for relu in relus if type(relu) is DenseReLU]
        known = len(norms) == len(relus) and all(type(norm) in (nn.Identity, nn.LayerNorm) for norm in norms)
        if not known or any(type(linear) is not DenseLinear for linear in linears):
            return None
        return MLPRollout(predictor, differences)

    def __call__(self, latent: Tensor, actions: Tensor) -> Tensor:
        """See `rollouts.Rollout`."""
        tasks, samples, horizon, copies, width = actions.shape
        columns = tasks * samples
        record = self.like.new_empty(horizon + 1, self.latents + self.actions, columns)
        by_task = record.unflatten(-1, (tasks, samples))
        by_task[:-1, self.latents :].unflatten(1, (copies, width)).copy_(actions.permute(2, 3, 4, 0, 1))
        by_task[0, : self.latents].copy_(latent.T[..., None])
        layers = [layer.on(columns) for layer in self.hidden]
        for step in range(horizon):
            x = record[step]
            for layer in layers:
                x = layer(x)
            now, after = record[step, : self.latents], record[step + 1, : self.latents]
            torch.addmm(now, self.last, x, out=after).add_(self.bias)
        return by_task[1:, : self.latents].unflatten(1, (-1, self.d)).permute(3, 0, 1, 2, 4)


class _Hidden:
    """An affine map with its ReLU and, where it has one, the layer norm between them."""

    def __init__(self, weight: Tensor, bias: Tensor, relu: nn.Module, like: Tensor) -> None:
        assert isinstance(relu, DenseReLU)
        self.norm = relu.norm if isinstance(relu.norm, nn.LayerNorm) else None
        if self.norm is not None:
            weight, bias = weight - weight.mean(0), bias - bias.mean(0)
            self.scale, self.shift = (part.detach().clone()[:, None] for part in (self.norm.weight, self.norm.bias))
        self.weight, self.bias = weight.to(like), bias.to(like)

    def on(self, columns: int) -> Callable[[Tensor], Tensor]:
        """The layer for so many samples, (C, columns) -> (C', columns), with its buffers."""
        out = self.weight.new_empty(len(self.weight), columns)
        norm, squared = self.norm, None if self.norm is None else torch.empty_like(out)

        def call(x: Tensor) -> Tensor:
            torch.addmm(self.bias, self.weight, x, out=out)
            if norm is not None and squared is not None:
                inverse = torch.mul(out, out, out=squared).mean(0).add_(norm.eps).rsqrt_()
                out.mul_(inverse).mul_(self.scale).add_(self.shift)
            return out.relu_()

        return call


def _affine(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weights (C', C) and bias (C', 1) of a `DenseLinear`, copies in float64."""
    assert isinstance(layer, DenseLinear)
    weight, bias = layer.linear.weight.detach(), layer.linear.bias.detach()
    return weight.double().clone(), bias.double().clone()[:, None]
