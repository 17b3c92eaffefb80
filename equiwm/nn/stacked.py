"""Linear maps of a stack: one layer of several networks at once, whose weights have the network as a first axis.

    y_s = x_s W_s^T + b_s,   x (S, ..., I), W (S, O, I), b (S, O) -> y (S, ..., O)

Each slice has the bits that `torch.nn.functional.linear` gives of it alone: the products, and those of the derivatives,
run over the same operands in the same order. A batched product left to autograd turns the operands of dW round, and
sums a narrow matrix in another order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def is_stacked(weight: Tensor) -> bool:
    """Whether a matrix is a stack of matrices, (S, O, I)."""
    return weight.dim() == 3


def _alone(x: Tensor, *weights: Tensor) -> bool:
    """Whether a product has to be computed network by network.

    Without a gradient torch does not copy a spread input into rows, but multiplies it sample by sample; these are other
    products, with other rounding.
    """
    wanted = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
    return not wanted and not x.is_contiguous()


class _Linear(torch.autograd.Function):
    """y_s = x_s W_s^T + b_s; with G = dL/dy: dx = G W, dW = G^T x, db = sum G."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.flatten(1, -2)
        ctx.save_for_backward(rows, weight)
        ctx.shape = x.shape
        y = torch.bmm(rows, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        g = gradient.flatten(1, -2)
        return (
            torch.bmm(g, weight).view(ctx.shape) if of_x else None,
            torch.bmm(g.mT, rows) if of_weight else None,
            g.sum(1) if of_bias else None,
        )


class _ComplexLinear(torch.autograd.Function):
    """y = A x + B J x of planar vectors (..., 2, I), both products as one: y_1 = A x_1 - B x_2, y_2 = A x_2 + B x_1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
        rows, weight = x.flatten(1, -2), torch.cat([real, imaginary], -2)
        ctx.save_for_backward(rows, weight)
        ctx.shape = x.shape
        product = torch.bmm(rows, weight.mT).view(*x.shape[:-1], weight.shape[-2])
        straight, turned = product.chunk(2, -1)
        y = torch.empty_like(straight, memory_format=torch.contiguous_format)
        torch.sub(straight[..., 0, :], turned[..., 1, :], out=y[..., 0, :])
        torch.add(straight[..., 1, :], turned[..., 0, :], out=y[..., 1, :])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        out = gradient.shape[-1]
        of_product = gradient.new_empty(*gradient.shape[:-1], 2 * out)
        of_product[..., :out] = gradient
        of_product[..., 0, out:] = gradient[..., 1, :]
        torch.neg(gradient[..., 0, :], out=of_product[..., 1, out:])
        g = of_product.flatten(1, -2)
        of_x = torch.bmm(g, weight).view(ctx.shape) if ctx.needs_input_grad[0] else None
        of_real, of_imaginary = torch.bmm(g.mT, rows).chunk(2, -2)
        return of_x, of_real, of_imaginary


def stacked_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_s = x_s W_s^T + b_s: (S, ..., I), (S, O, I), (S, O) -> (S, ..., O)."""
    if _alone(x, weight):
        biases = [None] * len(weight) if bias is None else bias
        return torch.stack([functional.linear(*each) for each in zip(x, weight, biases, strict=True)])
    return _Linear.apply(x, weight, bias)


def stacked_complex_linear(x: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """y_s = A_s x_s + B_s J x_s: (S, ..., 2, I), two (S, O, I) -> (S, ..., 2, O)."""
    if _alone(x, real, imaginary):
        straight, turned = stacked_linear(x, torch.cat([real, imaginary], -2)).chunk(2, -1)
        return straight + torch.stack([-turned[..., 1, :], turned[..., 0, :]], -2)
    return _ComplexLinear.apply(x, real, imaginary)


def stacked_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm over the last axis, network by network: (S, ..., I), (S, I), (S, I) -> (S, ..., I).

    torch has it for one scale alone, and in one pass, which rounds otherwise than a norm and a scale after it.
    """
    parts = zip(x, weight, bias, strict=True)
    return torch.stack(
        [functional.layer_norm(part, part.shape[-1:], scale, shift, eps) for part, scale, shift in parts]
    )
