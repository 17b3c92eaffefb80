"""Shapes that broadcast together, found by torch's own kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def broadcast_shape(*shapes: Sequence[int]) -> torch.Size:
    """The shape that tensors of such shapes broadcast to; it may be traced and exported.

    `torch.broadcast_shapes` says the same, and its first call imports sympy: 34 MB of memory, and half a CPU second.

    Raises:
        RuntimeError: they do not broadcast.
    """
    scalar = torch.zeros(())
    shape: torch.Size = torch.broadcast_tensors(*(scalar.expand(tuple(each)) for each in shapes))[0].shape
    return shape
