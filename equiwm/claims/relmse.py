"""The relative mean square error, defined once; what a claim calls relMSE is this with its own normalisation."""

from __future__ import annotations

from torch import Tensor


def relmse(predicted: Tensor, true: Tensor, *, by: Tensor) -> Tensor:
    """sum |predicted - true|^2 / sum |by|^2, accumulated in float64 on the CPU.

    One step is normalised by the true displacement, a rollout by the true state too (paper, section 4). The difference
    is taken in the dtype of the arguments.

    Args:
        predicted: (B, ...).
        true: the same shape.
        by: what the error is relative to, the same shape.

    Returns:
        A scalar. Infinite or NaN where the prediction is.
    """
    error, size = ((part).detach().cpu().double().square() for part in (predicted - true, by))
    return error.sum() / size.sum()
