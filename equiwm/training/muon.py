"""Muon with the Newton-Schulz iterations of many small matrices run as one batch.

A small network has dozens of small matrices, and orthogonalising them one after another is more than half of a
training step. The arithmetic is `torch.optim.Muon`'s, in its precision (bfloat16) and order.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_TILE, _STACK_TILE = 64, 32
"""Matrices are padded with zeros to multiples of this and batched: zero rows and columns stay zero in the iteration,
and at these sizes a call costs more than the arithmetic. Of stacks there are more in a batch, and the arithmetic costs
more than a call; with fewer rows than a register holds, sums would be rounded otherwise than with 64."""


Coefficients = tuple[float, float, float]


def newton_schulz(matrices: Tensor, *, coefficients: Coefficients, steps: int, eps: float) -> Tensor:
    """Nearly U V^T of each M = U S V^T, for a batch of matrices (n, rows, columns) with rows <= columns.

        X <- M / max(|M|, eps);  `steps` times: X <- a X + (b A + c A^2) X with A = X X^T

    In bfloat16, as `torch.optim.Muon` does for one matrix. Source: K. Jordan, "Muon"; paper, section 3.
    """
    a, b, c = coefficients
    x = matrices.bfloat16()
    # Over one axis: a norm over two axes of the batch rounds otherwise than that of one matrix.
    x = x / x.flatten(1).norm(dim=1).clamp(min=eps)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT
        update = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, update, x, beta=a)
    return x


def orthogonalize(matrices: Sequence[Tensor], *, coefficients: Coefficients, steps: int, eps: float) -> list[Tensor]:
    """`newton_schulz` of matrices of any shapes, batched by padded shape; gives bfloat16.

    Each is (rows, columns), or a stack of such matrices, (n, rows, columns); one of a stack has the bits of it alone.
    """
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        tile = _TILE if matrix.dim() == 2 else _STACK_TILE
        small, large = (-(-size // tile) * tile for size in sorted(matrix.shape[-2:]))
        buckets[small, large].append(index)
    results = list(matrices)
    for (rows, columns), members in buckets.items():
        counts = [1 if matrices[index].dim() == 2 else len(matrices[index]) for index in members]
        batch = torch.zeros(sum(counts), rows, columns, dtype=torch.bfloat16, device=matrices[members[0]].device)
        for slot, index in zip(batch.split(counts), members, strict=True):
            _wide_part(slot, matrices[index].shape).copy_(matrices[index])
        batch = newton_schulz(batch, coefficients=coefficients, steps=steps, eps=eps)
        for slot, index in zip(batch.split(counts), members, strict=True):
            part = _wide_part(slot, matrices[index].shape)
            results[index] = part[0] if matrices[index].dim() == 2 else part
    return results


def _wide_part(slot: Tensor, shape: torch.Size) -> Tensor:
    """The part of wide padded matrices (n, ...) that holds those of `shape`: as they are, or transposed if tall."""
    rows, columns = shape[-2:]
    return slot[:, :rows, :columns] if rows <= columns else slot[:, :columns, :rows].mT


class StackedMuon(torch.optim.Muon):
    """`torch.optim.Muon`, with its arguments, state and (to bfloat16 rounding) results, for many small matrices.

    A parameter that is put in place of a matrix later may be a stack of matrices, (n, rows, columns).
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step on all matrices that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._step_group(group, parameters)
        return loss

    def _step_group(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        updates = torch._foreach_lerp(gradients, buffers, group["momentum"]) if group["nesterov"] else buffers
        directions = orthogonalize(
            updates, coefficients=group["ns_coefficients"], steps=group["ns_steps"], eps=group["eps"]
        )
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.add_(direction, alpha=-group["lr"] * _rate_scale(group["adjust_lr_fn"], parameter.shape))


def _rate_scale(adjust: str | None, shape: torch.Size) -> float:
    """torch's scaling of the learning rate by the matrix's shape."""
    rows, columns = shape[-2:]
    if adjust in (None, "original"):
        return math.sqrt(max(1, rows / columns))
    return 0.2 * math.sqrt(max(rows, columns)) if adjust == "match_rms_adamw" else 1.0
