"""The fast rollout of vector-neuron predictors.

Against a batch-first rollout with the spatial axis last (measured in `tests/benchmarks/test_planner.py`):

- Samples lie last: a hidden layer is d planes (channels, samples), each contiguous, so the inner products and
  projections of a VN-ReLU run along memory, and a linear map is one matrix product from the left.
- The direction K V of a VN-ReLU is K W x for the linear map before it: K W is multiplied out once, and value and
  direction come from one product of [W; K W]. Where x has few channels this saves most of the layer.
- Latents and actions of all steps lie in one record: the predictor's input is a slice of it and its output is
  written where the next step reads it. Everything else happens in place.

Complex weights (A + iB) become the real matrix [[A, -B], [B, A]] on the two planes stacked; real weights act on
each plane by itself. Cross products are a branch beside the network (`cross_rollout`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equiwm.models.cross import CrossVNPredictor
from equiwm.models.relative import RelativePredictor
from equiwm.models.vector_neurons import VNPredictor
from equiwm.nn.layer import Layer
from equiwm.nn.linear import ComplexVNLinear, VNLinear
from equiwm.nn.nonlinear import VNReLU
from equiwm.planning.cross_rollout import CrossBranch


class VNRollout:
    """z_h = z_{h-1} + net([z_{h-1}, a_h]) of a `VNPredictor` or a `CrossVNPredictor`, as `rollouts.Rollout`.

    Use `VNRollout.of`. Weights are copied, folded in float64 and cast once.
    """

    def __init__(
        self,
        predictor: VNPredictor | CrossVNPredictor,
        actions: int,
        linears: Sequence[Layer],
        relus: list[VNReLU],
        differences: Tensor | None = None,
    ) -> None:
        weights = [_weight(linear) for linear in linears]
        if differences is not None:  # [D z, a] = (D + 1) [z, a], multiplied out as well
            own = torch.eye(actions, dtype=torch.float64, device=differences.device)
            seen = torch.block_diag(differences.double(), own)
            weights[0] = weights[0] @ seen.to(weights[0])
        # `stacked` planes go through a matrix together: both with complex weights, one at a time with real ones.
        self.stacked = 2 if any(weight.is_complex() for weight in weights) else 1
        self.like = next(predictor.parameters()).detach()
        self.latents, self.actions = predictor.in_rep.multiplicity, actions
        self.eps = [relu.eps for relu in relus]
        self.widths = [weight.shape[0] for weight in weights[:-1]]
        directions = [_weight(relu.direction) @ weight for relu, weight in zip(relus, weights[:-1], strict=True)]
        self.hidden = [
            torch.cat([self._real(weight), self._real(direction)]).to(self.like)
            for weight, direction in zip(weights[:-1], directions, strict=True)
        ]
        # The last map is kept apart by output plane: in the record the planes of the latent do not touch.
        self.last = list(self._real(weights[-1]).to(self.like).chunk(self.stacked))
        self.branch = CrossBranch(predictor) if isinstance(predictor, CrossVNPredictor) else None

    @staticmethod
    def of(predictor: Layer, actions: int) -> VNRollout | None:
        """The rollout of a `VNPredictor` or `CrossVNPredictor` for actions of so many channels, a `VNPredictor`
        seen through a `RelativePredictor` or not; None for any other predictor."""
        differences: Tensor | None = None
        if type(predictor) is RelativePredictor:
            differences, predictor = predictor.differences, predictor.inner
        if not (type(predictor) is VNPredictor or (type(predictor) is CrossVNPredictor and differences is None)):
            return None  # the cross products of differences are not multiplied out
        layers = list(predictor.network.layers)
        linears = [layer for layer in layers[::2] if isinstance(layer, VNLinear | ComplexVNLinear)]
        relus = [layer for layer in layers[1::2] if isinstance(layer, VNReLU)]
        kinds = {type(layer) for layer in (*linears, *(relu.direction for relu in relus))}
        if len(linears) + len(relus) != len(layers) or kinds not in ({VNLinear}, {ComplexVNLinear}):
            return None
        return VNRollout(predictor, actions, linears, relus, differences)

    def _real(self, weight: Tensor) -> Tensor:
        """(C', C) as the matrix on stacked planes, (stacked C', stacked C), float64."""
        if self.stacked == 1:
            return weight
        real, imaginary = weight.real, weight.imag
        return torch.cat([torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)])

    def __call__(self, latent: Tensor, actions: Tensor) -> Tensor:
        """See `rollouts.Rollout`."""
        tasks, samples, horizon, _, d = actions.shape
        columns, groups = tasks * samples, d // self.stacked
        record = self.like.new_empty(horizon + 1, d, self.latents + self.actions, columns)
        by_task = record.unflatten(-1, (tasks, samples))
        by_task[:-1, :, self.latents :].copy_(actions.permute(2, 4, 3, 0, 1))
        by_task[0, :, : self.latents].copy_(latent.unflatten(-1, (-1, d)).permute(2, 1, 0)[..., None])
        layers = [_Hidden(self.like, width, groups, self.stacked, columns) for width in self.widths]
        inputs = record.view(horizon + 1, groups, -1, columns)
        branch = None if self.branch is None else self.branch.on(columns)
        for step in range(horizon):
            x = list(inputs[step])
            for layer, matrix, eps in zip(layers, self.hidden, self.eps, strict=True):
                x = layer(matrix, x, eps)
            now, after = record[step, :, : self.latents], record[step + 1, :, : self.latents]
            for plane in range(d):
                group, part = divmod(plane, self.stacked)
                torch.addmm(now[plane], self.last[part], x[group], out=after[plane])
            if branch is not None:
                branch(inputs[step], after)
        return by_task[1:, :, : self.latents].permute(3, 0, 2, 1, 4)


class _Hidden:
    """One linear map with its VN-ReLU: the buffers, and the views of them that every step uses."""

    def __init__(self, like: Tensor, width: int, groups: int, stacked: int, columns: int) -> None:
        buffer = like.new_empty(groups, 2, stacked, width, columns)
        self.both = list(buffer.view(groups, -1, columns))
        self.values = list(buffer[:, 0].flatten(1, 2))
        planes = [(group, part) for group in range(groups) for part in range(stacked)]
        self.value, self.direction = ([buffer[g, kind, p] for g, p in planes] for kind in (0, 1))
        self.dot, self.norm = like.new_empty(width, columns), like.new_empty(width, columns)

    def __call__(self, matrix: Tensor, x: list[Tensor], eps: float) -> list[Tensor]:
        for group, out in zip(x, self.both, strict=True):
            torch.mm(matrix, group, out=out)
        dot, norm = self.dot, self.norm.fill_(eps)
        torch.mul(self.value[0], self.direction[0], out=dot)
        for v, q in zip(self.value[1:], self.direction[1:], strict=True):
            dot.addcmul_(v, q)
        for q in self.direction:
            norm.addcmul_(q, q)
        dot.clamp_max_(0.0).div_(norm)
        for v, q in zip(self.value, self.direction, strict=True):
            v.addcmul_(dot, q, value=-1.0)
        return self.values


def _weight(linear: Layer) -> Tensor:
    """A copy of the weights of a `VNLinear` in float64, or of a `ComplexVNLinear` in complex128: (C', C)."""
    if isinstance(linear, ComplexVNLinear):
        return torch.complex(linear.real.detach().double(), linear.imaginary.detach().double())
    assert isinstance(linear, VNLinear)
    return linear.weight.detach().double().clone()  # of float64 the cast would be no copy
