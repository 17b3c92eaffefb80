"""Optimisers by name, behind one interface.

Equivariance does not depend on the choice: it is a property of the layers at any weights (claim A). The names
exist so that this can be shown.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from equiwm.config import OptimizerName
from equiwm.training.muon import StackedMuon

DEFAULT_LR: dict[OptimizerName, float] = {"muon": 0.02, "adamw": 1e-3, "adam": 1e-3, "sgd": 2e-2, "rmsprop": 1e-3}
"""Learning rates of the protocol; for muon that of the matrices."""

DEFAULT_WEIGHT_DECAY: dict[OptimizerName, float] = {"muon": 0.0, "adamw": 0.01, "adam": 0.0, "sgd": 0.0, "rmsprop": 0.0}
"""Without its weight decay AdamW would be Adam."""

_ADAMW_BESIDE_MUON = 1e-3


class OptimizerSet:
    """One or more torch optimisers over disjoint parameters, stepped together, with a common schedule."""

    def __init__(self, optimizers: list[Optimizer]) -> None:
        self.optimizers = optimizers
        self.base = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]

    def set_lr_scale(self, scale: float) -> None:
        """Set every learning rate to `scale` times its initial value."""
        for optimizer, rates in zip(self.optimizers, self.base, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Step every optimiser."""
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """State of every optimiser, tensors and plain data."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Restore what `state_dict` gave."""
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def build_optimizer(
    name: OptimizerName, model: nn.Module, *, lr: float | None = None, weight_decay: float | None = None
) -> OptimizerSet:
    """The optimiser of that name over all parameters of `model`.

    `muon` gives matrices to Muon (`StackedMuon`; momentum 0.95, Nesterov, 5 Newton-Schulz steps, update scaled by
    sqrt(max(1, rows / columns))) and everything else to AdamW at 1e-3.

    Args:
        name: a key of `DEFAULT_LR`.
        lr: learning rate; None is the protocol's.
        weight_decay: weight decay; None is that of `DEFAULT_WEIGHT_DECAY`.
    """
    rate = DEFAULT_LR[name] if lr is None else lr
    weight_decay = DEFAULT_WEIGHT_DECAY[name] if weight_decay is None else weight_decay
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if name == "muon":
        matrices = [parameter for parameter in parameters if parameter.ndim == 2]
        rest = [parameter for parameter in parameters if parameter.ndim != 2]
        # torch's defaults (weight decay 0.1, other scalings) are not the paper's.
        chosen: list[Optimizer] = [
            StackedMuon(matrices, lr=rate, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="original")
        ]
        if rest:
            chosen.append(torch.optim.AdamW(rest, lr=_ADAMW_BESIDE_MUON, weight_decay=weight_decay))
        return OptimizerSet(chosen)
    builders = {
        "adamw": lambda: torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay),
        "adam": lambda: torch.optim.Adam(parameters, lr=rate, weight_decay=weight_decay),
        "sgd": lambda: torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=weight_decay),
        "rmsprop": lambda: torch.optim.RMSprop(parameters, lr=rate, weight_decay=weight_decay),
    }
    return OptimizerSet([builders[name]()])
