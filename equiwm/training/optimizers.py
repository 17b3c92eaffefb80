"""Optimisers by name, behind one interface.

Equivariance does not depend on the choice: it is a property of the layers at any weights (claim A). The names
exist so that this can be shown.

A new one is one `OptimizerRule`, in a file of the user's (`training.optimizer: my_package.optim:LION`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from equiwm.errors import ConfigError
from equiwm.locate import RAISED, is_foreign, locate, reason_of
from equiwm.training.muon import StackedMuon

Build = Callable[[Sequence[nn.Parameter], float, float], list[Optimizer]]
"""(parameters, learning rate, weight decay) -> torch optimisers over disjoint parts of them."""


@dataclass(frozen=True)
class OptimizerRule:
    """An optimiser as `training.optimizer` names it.

    Attributes:
        build: makes it.
        lr: learning rate where the configuration gives none; None asks for one.
        weight_decay: weight decay where the configuration gives none.
    """

    build: Build
    lr: float | None = None
    weight_decay: float = 0.0


_ADAMW_BESIDE_MUON = 1e-3


@contextmanager
def _named(name: str, part: str) -> Iterator[None]:
    """Name what an optimiser from outside the package raises; a fault of ours stays one."""
    try:
        yield
    except RAISED as error:
        if not is_foreign(name):
            raise
        raise ConfigError(f"training.optimizer '{name}': {part} raised {reason_of(error)}") from None


class OptimizerSet:
    """One or more torch optimisers over disjoint parameters, stepped together, with a common schedule.

    Args:
        optimizers: the optimisers.
        name: as `training.optimizer` names them; what one from outside the package raises is said to be its own.
    """

    def __init__(self, optimizers: list[Optimizer], name: str = "") -> None:
        self.optimizers = optimizers
        self._name = name
        self.base = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]

    def set_lr_scale(self, scale: float) -> None:
        """Set every learning rate to `scale` times its initial value."""
        for optimizer, rates in zip(self.optimizers, self.base, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer in self.optimizers:
            with _named(self._name, "zero_grad"):
                optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Step every optimiser."""
        for optimizer in self.optimizers:
            with _named(self._name, "step"):
                optimizer.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """State of every optimiser, tensors and plain data."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Restore what `state_dict` gave."""
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def _muon(parameters: Sequence[nn.Parameter], lr: float, weight_decay: float) -> list[Optimizer]:
    """Matrices to Muon (momentum 0.95, Nesterov, 5 Newton-Schulz steps, update scaled by sqrt(max(1, rows / columns))),
    everything else to AdamW at 1e-3."""
    matrices = [parameter for parameter in parameters if parameter.ndim == 2]
    rest = [parameter for parameter in parameters if parameter.ndim != 2]
    # torch's defaults (weight decay 0.1, other scalings) are not the paper's.
    chosen: list[Optimizer] = [
        StackedMuon(matrices, lr=lr, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="original")
    ]
    if rest:
        chosen.append(torch.optim.AdamW(rest, lr=_ADAMW_BESIDE_MUON, weight_decay=weight_decay))
    return chosen


def _alone(kind: Callable[..., Optimizer], **options: Any) -> Build:
    """One torch optimiser over all parameters."""
    return lambda parameters, lr, weight_decay: [kind(parameters, lr=lr, weight_decay=weight_decay, **options)]


# Learning rates of the protocol; for Muon that of the matrices.
MUON = OptimizerRule(_muon, lr=0.02)
ADAMW = OptimizerRule(_alone(torch.optim.AdamW), lr=1e-3, weight_decay=0.01)  # without it AdamW would be Adam
ADAM = OptimizerRule(_alone(torch.optim.Adam), lr=1e-3)
SGD = OptimizerRule(_alone(torch.optim.SGD, momentum=0.9), lr=2e-2)
RMSPROP = OptimizerRule(_alone(torch.optim.RMSprop), lr=1e-3)


def build_optimizer(
    name: str, model: nn.Module, *, lr: float | None = None, weight_decay: float | None = None
) -> OptimizerSet:
    """The optimiser of that name over all trained parameters of `model`.

    Args:
        name: as `training.optimizer` takes it; `module:name` is an `OptimizerRule`, or a torch optimiser's class.
        model: whose parameters it trains.
        lr: learning rate; None is the rule's own.
        weight_decay: weight decay; None is the rule's own.

    Raises:
        ConfigError: an unknown name, something else than an optimiser, a learning rate that nobody gives, or a model
            without parameters.
    """
    rule = locate("optimizer", name)
    if isinstance(rule, type) and issubclass(rule, Optimizer):
        rule = OptimizerRule(_alone(rule))
    if not isinstance(rule, OptimizerRule):
        raise ConfigError(f"training.optimizer '{name}' is {rule!r}; expected an OptimizerRule or a torch optimizer.")
    rate = rule.lr if lr is None else lr
    if rate is None:
        raise ConfigError(f"training.optimizer '{name}' has no learning rate of its own; pass --set training.lr=1e-3.")
    decay = rule.weight_decay if weight_decay is None else weight_decay
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ConfigError("the model has no parameters that a training could change; expected one at least.")
    with _named(name, "building it"):
        built = list(rule.build(parameters, rate, decay))
    for each in built:
        if not isinstance(each, Optimizer):
            raise ConfigError(f"training.optimizer '{name}' builds {type(each).__name__}; expected torch optimisers.")
    return OptimizerSet(built, name)
