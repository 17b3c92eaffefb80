"""Several trainings of one configuration as one program: what a step costs beside its arithmetic is paid once.

A stack of S seeds has weights (S, ...), draws a batch of each seed's own data, and takes one step for all. Slice s has
the bits that seed s has alone, so that it does not matter whether, when and with whom a seed was stacked. That is not
taken on trust: how a product is rounded is the machine's affair, and `build_stack` compares before it stacks.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from equiwm.errors import TrainingError
from equiwm.training.fit import Fit, update_target
from equiwm.training.muon import StackedMuon
from equiwm.training.objective import JEPA, Forward
from equiwm.training.optimizers import OptimizerSet
from equiwm.training.soft import SoftForward, SoftJEPA
from equiwm.training.stack_model import can_stack, stack_modules

_BY_ENTRY: frozenset[type[Optimizer]] = frozenset({StackedMuon, AdamW, Adam, SGD, RMSprop})
"""Optimisers that treat every entry, or every matrix, for itself."""

STACKED_WEIGHTS = 2**21
"""Of all models of a stack. Of more the arithmetic is what a step costs, and as one they are no faster, or slower
(`docs/runs.md`)."""


class Stack:
    """Trainings that stand at the same epoch, as one; made by `build_stack`.

    After every epoch each `Fit` has the weights, target, optimiser and place in the data that it would have alone.

    Args:
        fits: the trainings.
    """

    def __init__(self, fits: Sequence[Fit]) -> None:
        self.fits, first = list(fits), fits[0]
        self.model = stack_modules([fit.model for fit in fits])
        self.target = stack_modules([fit.target for fit in fits])
        self._pairs = [
            ([fit.model.get_parameter(name) for fit in fits], parameter)
            for name, parameter in self.model.named_parameters()
        ]
        self._target_pairs = [
            ([fit.target.get_parameter(name) for fit in fits], parameter)
            for name, parameter in self.target.named_parameters()
        ]
        self.objective = _stack_objectives([fit.objective for fit in fits], self.target)
        self.optimizers = self._stack_optimizers()
        self.config = first.config

    def _stack_optimizers(self) -> OptimizerSet:
        """The optimisers over the stacked weights, at the states of those over each one's."""
        place = {id(alone[0]): whole for alone, whole in self._pairs}
        sets = [fit.optimizers for fit in self.fits]
        joint = []
        for optimizers in zip(*(each.optimizers for each in sets), strict=True):
            optimizer = copy.deepcopy(optimizers[0])
            optimizer.state = defaultdict(dict)
            for index, group in enumerate(optimizer.param_groups):
                alone = zip(*(each.param_groups[index]["params"] for each in optimizers), strict=True)
                group["params"] = []
                for parameters in alone:
                    whole = place[id(parameters[0])]
                    group["params"].append(whole)
                    states = [each.state.get(p, {}) for each, p in zip(optimizers, parameters, strict=True)]
                    if states[0]:
                        optimizer.state[whole] = _stack_states(states, whole)
            joint.append(optimizer)
        found = OptimizerSet(joint)
        found.base = sets[0].base
        return found

    def step(self, rows: Sequence[Tensor], turns: Sequence[Any], scale: float) -> Tensor:
        """One step on a batch of each: losses, predictions and variances, (S, 3)."""
        batches = [fit.batch(part, turn) for fit, part, turn in zip(self.fits, rows, turns, strict=True)]
        self.optimizers.set_lr_scale(scale)
        loss = self.objective(self.model, *(torch.stack(column) for column in zip(*batches, strict=True)))
        self.optimizers.zero_grad()
        loss.total.sum().backward()
        self.optimizers.step()
        update_target(self.target, self.model.encoder, self.config.ema)
        return torch.stack([loss.total, loss.prediction, loss.variance], -1).detach().double()

    def run_epoch(self) -> list[dict[str, float] | TrainingError]:
        """Train one epoch; of each, in order, what `Fit.run_epoch` gives or raises."""
        orders, turns = [fit.batches() for fit in self.fits], [fit.turns() for fit in self.fits]
        total = torch.zeros(len(self.fits), 3, dtype=torch.float64)
        steps = len(orders[0])
        for index, rows in enumerate(zip(*orders, strict=True)):
            total += self.step(rows, turns, self.fits[0].lr_scale(index / steps))
        self.give_back()
        outcomes: list[dict[str, float] | TrainingError] = []
        for fit, means in zip(self.fits, (total / steps).tolist(), strict=True):
            try:
                outcomes.append(fit.close_epoch(means))
            except TrainingError as error:
                outcomes.append(error)
        return outcomes

    @torch.no_grad()
    def give_back(self) -> None:
        """Put weights, targets and the optimisers' states into the trainings."""
        for alone, whole in (*self._pairs, *self._target_pairs):
            torch._foreach_copy_(list[Tensor](alone), list(whole.unbind()))
        for place, joint in enumerate(self.optimizers.optimizers):
            for index, fit in enumerate(self.fits):
                optimizer = fit.optimizers.optimizers[place]
                for group, own in zip(joint.param_groups, optimizer.param_groups, strict=True):
                    own["lr"] = group["lr"]
                    for whole, parameter in zip(group["params"], own["params"], strict=True):
                        _take(optimizer.state[parameter], joint.state[whole], index, whole)


def _stack_states(states: Sequence[dict[str, Any]], whole: Tensor) -> dict[str, Any]:
    """An optimiser's states of one parameter: what is of its shape stacked, what counts steps once."""
    return {
        key: torch.stack([state[key] for state in states]) if _of_shape(value, whole.shape[1:]) else copy.copy(value)
        for key, value in states[0].items()
    }


def _of_shape(value: object, shape: torch.Size) -> bool:
    return isinstance(value, Tensor) and value.shape == shape


def _take(state: dict[str, Any], joint: dict[str, Any], index: int, whole: Tensor) -> None:
    """Copy one training's part of a joint state into its own."""
    for key, value in joint.items():
        part = value[index] if _of_shape(value, whole.shape) else value
        if not isinstance(part, Tensor):
            state[key] = part
        elif key in state:
            state[key].copy_(part)
        else:
            state[key] = part.clone()


def _stack_objectives(objectives: Sequence[JEPA | Forward], target: nn.Module) -> JEPA | Forward:
    """The objective of a stack, which gives the losses of each."""
    whole = copy.copy(objectives[0])
    whole.axis = 1
    if isinstance(whole, JEPA):
        whole.target = target
    else:
        # Samples stand between the models and the channels.
        whole.weight = torch.stack([each.weight for each in objectives if isinstance(each, Forward)]).unsqueeze(1)
    return whole


def _can_stack(fits: Sequence[Fit]) -> bool:
    """Whether trainings have the same settings, sizes and epoch, parts that can be stacked, and few enough weights."""
    first = fits[0]
    return (
        first.columns[0].device.type == "cpu"
        and all(fit.config == first.config and fit.epoch == first.epoch for fit in fits)
        and all([c.shape for c in fit.columns] == [c.shape for c in first.columns] for fit in fits)
        and all(type(fit.objective) is type(first.objective) for fit in fits)
        and type(first.objective) in (JEPA, Forward, SoftJEPA, SoftForward)
        and all(type(each) in _BY_ENTRY for fit in fits for each in fit.optimizers.optimizers)
        and can_stack([fit.model for fit in fits])
        and len(fits) * first.model.parameter_count <= STACKED_WEIGHTS
    )


def build_stack(fits: Sequence[Fit]) -> Stack | None:
    """A stack of trainings; None if they cannot be one, are too large to gain, or would round otherwise than alone.

    What is rounded how depends on the shapes, the libraries and the machine. So the steps with the largest and the
    smallest batch of an epoch are made both ways first, and every bit compared; the trainings are as they were then.
    """
    if len(fits) < 2 or not _can_stack(fits):
        return None
    before = [copy.deepcopy(fit.state_dict()) for fit in fits]
    rates = [[[group["lr"] for group in each.param_groups] for each in fit.optimizers.optimizers] for fit in fits]

    def restore() -> None:
        for fit, state, rate in zip(fits, before, rates, strict=True):
            fit.load_state_dict(copy.deepcopy(state))
            for optimizer, groups in zip(fit.optimizers.optimizers, rate, strict=True):
                for group, lr in zip(optimizer.param_groups, groups, strict=True):
                    group["lr"] = lr

    orders, turns = [fit.batches() for fit in fits], [fit.turns() for fit in fits]
    places, scale = sorted({0, len(orders[0]) - 1}), fits[0].lr_scale(0.0)
    alone = []
    for fit, order, turn in zip(fits, orders, turns, strict=True):
        losses = [fit.step(order[place], turn, scale) for place in places]
        alone.append([*losses, *copy.deepcopy(_tensors(fit))])
    restore()
    stack = Stack(fits)
    losses = [stack.step([order[place] for order in orders], turns, scale) for place in places]
    stack.give_back()
    together = [[*(each[index] for each in losses), *_tensors(fit)] for index, fit in enumerate(fits)]
    same = all(
        all(_same_bits(*pair) for pair in zip(ours, theirs, strict=True))
        for ours, theirs in zip(alone, together, strict=True)
    )
    restore()
    return Stack(fits) if same else None


def _tensors(fit: Fit) -> list[Tensor]:
    """Everything that a step changes: weights, target, and what the optimisers keep."""
    kept = [
        value
        for optimizer in fit.optimizers.optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
        for value in optimizer.state[parameter].values()
        if isinstance(value, Tensor)
    ]
    return [*(p.detach() for p in (*fit.model.parameters(), *fit.target.parameters())), *kept]


def _same_bits(first: Tensor, second: Tensor) -> bool:
    """Equality in which what is no number equals what is none."""
    return torch.equal(first.isnan(), second.isnan()) and torch.equal(first.nan_to_num(), second.nan_to_num())
