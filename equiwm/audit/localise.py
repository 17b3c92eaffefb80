"""Where a network breaks its symmetry: the residual layer by layer, in the order of execution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equiwm.nn.layer import Layer, to_flat
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep


@dataclass(frozen=True)
class LayerResidual:
    """Residual at the output of one layer.

    Attributes:
        name: the layer's name in the model, `encoder.network.layers.0`.
        kind: its class.
        relative: max over g of RMS(rho(g) y - y_g) / RMS(y), y its output in the network and rho its output rep.
    """

    name: str
    kind: str
    relative: float


def layer_residuals(
    model: nn.Module, fn: Callable[..., Tensor], in_reps: Sequence[Rep], elements: Elements, inputs: Sequence[Tensor]
) -> list[LayerResidual]:
    """The residual at every typed layer that `fn` runs through, innermost layers before what holds them.

    Args:
        model: the module that holds the layers.
        fn: a function that runs it, `model` itself or one of its methods.
        in_reps: rep of each argument of `fn`.
        elements: n group elements, batch shape (n,).
        inputs: one tensor per argument, (B, ...).
    """
    names = {layer: name for name, layer in model.named_modules() if isinstance(layer, Layer)}
    recorded: list[tuple[Layer, Tensor]] = []  # filled by the hooks, first straight and then turned

    def record(layer: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(layer, Layer):
            recorded.append((layer, to_flat(output) if layer.layout == "channels_last" else output))

    hooks = [layer.register_forward_hook(record) for layer in names]
    try:
        with torch.no_grad():
            fn(*inputs)
            count = len(recorded)
            turned = [rep.transform(_flat(x, rep), elements[:, None]) for rep, x in zip(in_reps, inputs, strict=True)]
            fn(*(x.flatten(0, 1).reshape(-1, *like.shape[1:]) for x, like in zip(turned, inputs, strict=True)))
    finally:
        for hook in hooks:
            hook.remove()
    return [
        LayerResidual(names[layer], type(layer).__name__, _relative(layer.out_rep, before, after, elements))
        for (layer, before), (_, after) in zip(recorded[:count], recorded[count:], strict=True)
    ]


def _flat(x: Tensor, rep: Rep) -> Tensor:
    return x.reshape(len(x), rep.dim)


def _relative(rep: Rep, straight: Tensor, turned: Tensor, elements: Elements) -> float:
    straight = straight.reshape(len(straight), -1, rep.dim)  # some layers run on each point of a cloud
    expected = rep.transform(straight, elements[:, None, None])
    error = (expected - turned.reshape(expected.shape)).cpu().double().square().flatten(1).mean(1).sqrt().max()
    return float(error / straight.cpu().double().square().mean().sqrt().clamp(min=torch.finfo(torch.float64).tiny))


def first_broken(residuals: Sequence[LayerResidual], tolerance: float) -> LayerResidual | None:
    """The first layer to run whose output is off by more than `tolerance`: where the symmetry is lost."""
    return next((entry for entry in residuals if not entry.relative <= tolerance), None)
