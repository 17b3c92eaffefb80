"""Many small regressions at once: members of one architecture, each with its own data, weights and batch order.

A step of one small network is mostly the cost of calling torch. With the weights of several stacked along a leading
axis every layer is one batched matrix product for all of them, and one fused AdamW updates all. One by one / stacked,
five members, batch 256, one thread (`tests/benchmarks/test_stacking.py`): vector neurons of width 32 1.9x, MLP of width
64 2.2x, soft of width 256 1.4x, MLP of width 256 1.1x. At width 1024 the matrices fill the cache by themselves, and
stacking loses (0.8x). `torch.func.vmap` of one model over stacked weights pays its dispatch at every operation, and
takes 1.5 (vector neurons), 1.4 (MLP 64) and 1.1 times (MLP 256) as long as the layers below.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equiwm.errors import TrainingError
from equiwm.models.soft import SoftRegressor
from equiwm.nn.linear import VNLinear

_STACKED_PARAMETERS = 250_000
"""Members with more parameters than this are trained one by one, see above."""
_AT_ONCE = 8
"""Members in one stack: more gain nothing, and their activations leave the cache."""
_REPORT_EVERY = 100
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Regression:
    """How each member is trained: AdamW at a constant rate.

    Attributes:
        steps: updates.
        batch: transitions an update, at most the data's; None is all of them.
        lr: learning rate.
        weight_decay: AdamW's.
        penalty: beta of `SoftRegressor`; nothing to the others.
    """

    steps: int
    batch: int | None = None
    lr: float = 3e-3
    weight_decay: float = 0.01
    penalty: float = 0.0


class StackedLinear(nn.Module):
    """S linear maps at once, y_s = x_s W_s^T + b_s: (S, ..., i) -> (S, ..., o).

    Args:
        weight: (S, o, i).
        bias: (S, o), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        # The gradient of x W^T is laid out as W^T: in the layout of W it would be copied at every step.
        self.weight = nn.Parameter(weight.mT.contiguous().mT)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(len(self.weight), -1, x.shape[-1])
        if self.bias is None:
            mapped = torch.bmm(rows, self.weight.mT)
        else:
            mapped = torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight.mT)
        return mapped.view(*x.shape[:-1], -1)


def stack(models: Sequence[nn.Module]) -> nn.Module:
    """One module of S models: what each took and gave gets a leading axis of length S.

    The models' own layers work on any leading axes; only those that hold weights are exchanged, for `StackedLinear`.

    Args:
        models: of one architecture, all weights in layers `VNLinear` and `nn.Linear`.

    Raises:
        ValueError: a model with parameters elsewhere, or models of different architectures.
    """
    shapes = [{name: parameter.shape for name, parameter in model.named_parameters()} for model in models]
    if any(other != shapes[0] for other in shapes):
        raise ValueError("the models of a stack are of one architecture; their parameters differ in name or shape.")
    stacked = copy.deepcopy(models[0])
    for name, layer in models[0].named_modules():
        if isinstance(layer, VNLinear | nn.Linear):
            stacks = {
                key: torch.stack([model.get_parameter(f"{name}.{key}").detach() for model in models])
                for key, _ in layer.named_parameters()
            }
            parent, _, attribute = name.rpartition(".")
            setattr(stacked.get_submodule(parent), attribute, StackedLinear(**stacks))
    left = [name for name, parameter in stacked.named_parameters() if parameter.shape == shapes[0][name]]
    if left:
        raise ValueError(f"cannot stack {', '.join(left)}: weights of a layer that is neither VNLinear nor nn.Linear.")
    return stacked


def unstack(stacked: nn.Module, models: Sequence[nn.Module]) -> None:
    """Copy the weights of a `stack` back into its models."""
    with torch.no_grad():
        for name, parameter in stacked.named_parameters():
            for own, model in zip(parameter, models, strict=True):
                model.get_parameter(name).copy_(own)


def batches(samples: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Endless batches of `batch` indices: one random order of all samples after another, cut without a remainder."""
    generator = torch.Generator().manual_seed(seed)
    queue = torch.randperm(samples, generator=generator)
    while True:
        while len(queue) < batch:
            queue = torch.cat([queue, torch.randperm(samples, generator=generator)])
        yield queue[:batch]
        queue = queue[batch:]


def losses(network: nn.Module, state: Tensor, action: Tensor, target: Tensor, scale: Tensor, penalty: float) -> Tensor:
    """(E|f - v|^2 + beta E|f_free|^2) / scale of each member, (S,); the penalty is for a `SoftRegressor`."""
    if isinstance(network, SoftRegressor):
        hard, free = network.paths(state, action)
        squares = (hard + free - target).square() + penalty * free.square()
    else:
        squares = (network(state, action) - target).square()
    return squares.flatten(1).mean(1) / scale


def fit_stack(
    models: Sequence[nn.Module],
    state: Tensor,
    action: Tensor,
    target: Tensor,
    settings: Regression,
    seeds: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Train S models of one architecture in place, each on its own data, with

        loss = (E|f(s, a) - v|^2 + beta E|f_free(s, a)|^2) / E|v|^2,    E|v|^2 over all of the member's data.

    Members know nothing of each other: a member of a stack of S is to rounding what it is alone. Which are computed
    together is decided by size alone, so that the same call gives the same bits in whatever process of one thread.

    Args:
        models: S models from states and actions to velocities.
        state: (S, N, C, d), in the dtype of the models.
        action: (S, N, d).
        target: v, (S, N, C, d).
        settings: optimiser, steps, batch and penalty.
        seeds: S seeds, of the order of each member's data.
        progress: called with (updates done, updates) summed over the members.

    Returns:
        The loss of each member on all its data at the end, (S,).

    Raises:
        ValueError: unequal numbers of models, seeds and sets of data, or models that `stack` refuses.
        TrainingError: a loss that is not finite; the message names the seeds.
    """
    if not len(models) == len(seeds) == len(state) == len(action) == len(target):
        counts = [len(part) for part in (models, seeds, state, action, target)]
        raise ValueError(f"models, seeds, state, action and target are for as many members; got {counts}.")
    parameters = sum(parameter.numel() for parameter in models[0].parameters())
    at_once = _AT_ONCE if parameters <= _STACKED_PARAMETERS else 1
    final = []
    for start in range(0, len(models), at_once):
        rows = slice(start, start + at_once)
        chosen = models[rows]
        # A model takes a leading axis as it is: a stack of one is the model itself.
        network = chosen[0] if len(chosen) == 1 else stack(chosen)

        def report(steps: int, before: int = start, count: int = len(chosen)) -> None:
            if progress is not None:
                progress(before * settings.steps + count * steps, len(models) * settings.steps)

        final.append(_fit(network, state[rows], action[rows], target[rows], settings, seeds[rows], report))
        if len(chosen) > 1:
            unstack(network, chosen)
    result = torch.cat(final)
    diverged = [seed for seed, loss in zip(seeds, result.tolist(), strict=True) if not loss < float("inf")]
    if diverged:
        raise TrainingError(f"training diverged for the seeds {diverged}: the loss is not finite; try a smaller rate.")
    return result


def _fit(
    network: nn.Module,
    state: Tensor,
    action: Tensor,
    target: Tensor,
    settings: Regression,
    seeds: Sequence[int],
    report: Callable[[int], None],
) -> Tensor:
    samples = state.shape[1]
    batch = samples if settings.batch is None else min(settings.batch, samples)
    orders = [batches(samples, batch, seed) for seed in seeds]
    # One gather a step and not three, from rows of all members.
    rows = torch.cat([state, action.unflatten(-1, (-1, state.shape[-1])), target], -2).flatten(0, 1)
    first = samples * torch.arange(len(seeds))[:, None]
    channels = (state.shape[-2], rows.shape[-2] - 2 * state.shape[-2], state.shape[-2])
    scale = target.square().flatten(1).mean(1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    now_state, now_action, now_target = state, action, target
    for step in range(settings.steps):
        if batch < samples:
            chosen = first + torch.stack([next(order) for order in orders])
            picked = rows.index_select(0, chosen.flatten()).unflatten(0, chosen.shape)
            now_state, now_action, now_target = picked.split(channels, -2)
        optimizer.zero_grad(set_to_none=True)
        losses(network, now_state, now_action, now_target, scale, settings.penalty).sum().backward()
        optimizer.step()
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == settings.steps:
            report(step + 1)
    optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():  # in parts: the activations of all data at once may not fit the memory
        sums = []
        for start in range(0, samples, _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            part = losses(network, state[:, some], action[:, some], target[:, some], scale, settings.penalty)
            sums.append(part * len(state[0, some]))
        return torch.stack(sums).sum(0) / samples
