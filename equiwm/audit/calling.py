"""Calling other people's networks: on copies, in a dtype of ours, and leaving everything as it was found."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from equiwm.audit.pytree import is_array, leaves, replaced

Call = Literal["", "*", "**"]
"""How a sample becomes arguments: as the one it is, spread from a tuple, spread from a mapping."""

_DEPTH = 4
"""How many closures, partials and bound objects deep modules are looked for."""


def modules_of(model: object) -> list[nn.Module]:
    """The modules behind a callable: itself, what it is bound to, what it closes over, what its attributes hold."""
    found: dict[int, nn.Module] = {}
    _collect(model, found, set(), _DEPTH)
    inner = {id(part) for module in found.values() for part in module.modules() if part is not module}
    return [module for key, module in found.items() if key not in inner]


def _collect(value: Any, found: dict[int, nn.Module], seen: set[int], depth: int) -> None:
    if id(value) in seen or depth < 0:
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        found[id(value)] = value
        return
    held: list[Any] = []
    if isinstance(value, functools.partial):
        held += [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, list | tuple):
        held += value
    if isinstance(value, dict):
        held += value.values()
    if callable(value):
        held.append(getattr(value, "__self__", None))
        held.append(getattr(value, "__wrapped__", None))
        for cell in getattr(value, "__closure__", None) or ():
            try:
                held.append(cell.cell_contents)
            except ValueError:  # a name that is not bound yet
                continue
        code, names = getattr(value, "__code__", None), getattr(value, "__globals__", {})
        held += [names[name] for name in getattr(code, "co_names", ()) if isinstance(names.get(name), nn.Module)]
        held += getattr(value, "__defaults__", None) or ()
    if hasattr(value, "__dict__") and not isinstance(value, type) and not callable(getattr(value, "__code__", None)):
        held += [part for part in vars(value).values() if not isinstance(part, str | int | float)]
    for part in held:
        _collect(part, found, seen, depth - 1)


def own_tensors(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Parameters and buffers by name, those of several modules numbered."""
    return {
        f"{k}:{name}": tensor
        for k, module in enumerate(modules)
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }


@contextmanager
def tensors_as_found(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Give back parameters and buffers: the same objects with the same values."""
    held = [(tensor, tensor.detach().clone()) for tensor in own_tensors(modules).values()]
    places = [
        (part, dict(part._buffers), dict(part._parameters))
        for module in modules
        for part in module.modules()
        if not isinstance(part, torch.jit.ScriptModule)  # whose tensors have no other place
    ]
    try:
        yield
    finally:
        for part, buffers, parameters in places:
            part._buffers.clear()
            part._buffers.update(buffers)
            part._parameters.clear()
            part._parameters.update(parameters)
        with torch.no_grad():
            for tensor, before in held:
                if tensor.dtype != before.dtype or tensor.shape != before.shape:
                    tensor.data = before
                elif not torch.equal(tensor, before):
                    tensor.copy_(before)


@contextmanager
def left_as_found(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Give back what a check may disturb: weights, buffers, gradients, modes, random states, threads, default dtype."""
    grads = [
        (parameter, parameter.grad, None if parameter.grad is None else parameter.grad.clone())
        for module in modules
        for parameter in module.parameters()
    ]
    modes = [(part, part.training) for module in modules for part in module.modules()]
    state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002  what others draw from
    threads = torch.get_num_threads()
    with ExitStack() as stack:  # each is given back, whatever becomes of the others
        stack.callback(_set_threads, threads)
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        stack.callback(random.setstate, state[2])
        stack.callback(np.random.set_state, state[1])
        stack.callback(torch.set_rng_state, state[0])
        stack.callback(_set_grads, grads)
        stack.callback(_set_modes, modes)
        stack.enter_context(tensors_as_found(modules))
        yield


def _set_threads(threads: int) -> None:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _set_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for part, training in modes:
        part.training = training


def _set_grads(grads: list[tuple[nn.Parameter, Tensor | None, Tensor | None]]) -> None:
    for parameter, grad, values in grads:
        parameter.grad = grad
        if grad is not None and values is not None and not torch.equal(grad, values):
            with torch.no_grad():
                grad.copy_(values)


def _give_back(exchanged: list[tuple[Tensor, Tensor]]) -> None:
    for tensor, before in exchanged:
        tensor.data = before


@contextmanager
def in_dtype(
    modules: Sequence[nn.Module], dtype: torch.dtype | None, device: torch.device | None = None
) -> Iterator[None]:
    """Inside, floating parameters and buffers have another dtype, and so has what is made without one.

    None leaves them the dtype that they have. On another device they are all there, where one is given.

    The tensors are exchanged and given back, so that a function that closes over a module is seen through, and a
    module that cannot be copied too.
    """
    default = torch.get_default_dtype()
    exchanged: list[tuple[Tensor, Tensor]] = []
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, default)
        stack.callback(_give_back, exchanged)
        for tensor in own_tensors(modules).values():
            other = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
            place = tensor.device if device is None else device
            if tensor.dtype != other or tensor.device != place:
                exchanged.append((tensor, tensor.data))
                tensor.data = tensor.data.to(place, other)
        if dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
        yield


def cast(tree: Any, dtype: torch.dtype, device: torch.device | None = None) -> Any:
    """A copy of a sample: floating arrays in `dtype`, every array its own memory; tensors on `device` if given."""
    new: dict[Any, Any] = {}
    for path, leaf in leaves(tree).items():
        if not is_array(leaf):
            continue
        floating = torch.as_tensor(leaf).is_floating_point()
        if isinstance(leaf, Tensor):
            place = leaf.device if device is None else device
            new[path] = leaf.detach().to(place, dtype if floating else leaf.dtype, copy=True)
        else:
            new[path] = leaf.astype(str(dtype).removeprefix("torch.")) if floating else leaf.copy()
    return replaced(tree, new)


def spread(model: Callable[..., Any], sample: Any, call: Call) -> Any:
    """The model on a sample."""
    if call == "*":
        return model(*sample)
    if call == "**":
        return model(**sample)
    return model(sample)
