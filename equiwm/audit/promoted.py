"""Every operation in float64, whatever the network asks for: what is left of a residual then is none of precision.

A network may compute in float32 inside, under autocast, in bfloat16, or close over tensors of float32 beside which
float64 inputs are refused. Every operation of torch is seen on its way to its kernel; here its arguments become
float64 first, and so does the dtype that it asks for. Nothing of the network is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from equiwm.audit.pytree import leaves

SHORT = (torch.float32, torch.float16, torch.bfloat16)
"""What becomes float64."""
OPAQUE = frozenset({"numpy", "__array__", "__dlpack__", "data_ptr", "untyped_storage", "storage"})
"""Doors out of torch: what is computed behind them is not seen."""
OWN = frozenset({"aten", "prim", "prims"})
"""Namespaces of torch's own operations; another's kernel may cast inside."""


class NotPromoted(Exception):
    """An operation on the bits of a number, or a computation that torch does not see."""


class InFloat64(TorchDispatchMode):
    """While it is entered, operations on shorter floats run in float64 and give float64.

    What is written in place into a tensor of a shorter float, or into a view of it, is rounded as it is stored.

    Args:
        sample: what the network is called with; of numpy arrays it is not seen what becomes of them.

    Raises:
        NotPromoted: when it is entered, numpy arrays; within, an operation that has no float64 twin, and whatever
            leaves torch (numpy, a kernel of another library), where a shorter float may hide.
    """

    def __init__(self, sample: Any) -> None:
        super().__init__()
        self._sample = sample
        self._doors = _Doors()

    def __enter__(self) -> InFloat64:
        if any(isinstance(leaf, np.ndarray) for leaf in leaves(self._sample).values()):
            raise NotPromoted("it computes on numpy arrays")
        self._doors.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *given: Any) -> None:
        super().__exit__(*given)
        self._doors.__exit__(*given)

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten.view.dtype:
            raise NotPromoted("it looks at the bits of a number")
        if func.namespace not in OWN:
            raise NotPromoted(f"{func} is no operation of torch")
        if func.is_view:  # of the tensor itself, not of its copy: what is written into the view is written into it
            return func(*args, **kwargs)
        given = tree_map(_up, (args, kwargs))
        made = func(*given[0], **given[1])
        written = _written(func, args, kwargs, given)
        for kept, new in written:
            kept.copy_(new)
        back = {id(new): kept for kept, new in written}
        return tree_map(lambda part: back.get(id(part), _up(part)), made)


class _Doors(TorchFunctionMode):
    """Refuses what leaves torch."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in OPAQUE:
            raise NotPromoted(f"it leaves torch by {name}")
        return func(*args, **(kwargs or {}))


def _up(part: Any) -> Any:
    if isinstance(part, Tensor) and part.dtype in SHORT:
        return part.to(torch.float64)
    return torch.float64 if isinstance(part, torch.dtype) and part in SHORT else part


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], given: Any) -> list[tuple[Tensor, Tensor]]:
    """Tensors of a shorter float that the operation writes into, each with its copy that was written."""
    found = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        kept = args[index] if index < len(args) else kwargs.get(argument.name)
        new = given[0][index] if index < len(args) else given[1].get(argument.name)
        if isinstance(kept, Tensor) and kept is not new:
            found.append((kept, new))
    return found
