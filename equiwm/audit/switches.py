"""Reduced precision told by experiment: each switch takes one source of it away while the residual is measured again.

| switch | what it takes away |
|---|---|
| autocast | `torch.autocast`, around the call or inside the model |
| products | TF32 and bfloat16 in float32 matrix products: `torch.set_float32_matmul_precision`, cuDNN's TF32 |
| short casts | casts to bfloat16 and half, and what is made in them: they keep the dtype that the model runs in |
| float32 casts | the same of float32 in a model that runs in float64 |

Every switch is put back. What no switch reaches (another library, a kernel of one's own, bits that are masked) keeps
its residual, and the audit says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode

SHORT = frozenset({torch.bfloat16, torch.float16})
"""Formats shorter than float32."""

Switch = Callable[[], AbstractContextManager[None]]
"""Something is switched off inside, and put back."""


def switches(dtype: torch.dtype) -> Mapping[str, Switch]:
    """The switches for a model that runs in `dtype`, by what they take away in words."""
    found: dict[str, Switch] = {
        "torch.autocast": without_autocast,
        "reduced float32 matrix products (torch.set_float32_matmul_precision, TF32)": full_products,
        "casts to bfloat16 or half": partial(casts_kept, SHORT, dtype),
    }
    if dtype == torch.float64:
        found["casts to float32"] = partial(casts_kept, SHORT | {torch.float32}, dtype)
    return found


@contextmanager
def without_autocast() -> Iterator[None]:
    """Autocast is off: what was entered outside, and what the model enters."""
    kept = torch.autocast.__enter__
    devices = [name for name in ("cpu", "cuda", "mps") if torch.amp.is_autocast_available(name)]

    def entered(self: Any) -> Any:
        enabled = self._enabled
        self._enabled = False
        try:
            return kept(self)
        finally:
            self._enabled = enabled

    with ExitStack() as stack:
        for name in devices:
            stack.callback(torch.set_autocast_enabled, name, torch.is_autocast_enabled(name))
            torch.set_autocast_enabled(name, False)
        stack.enter_context(patch.object(torch.autocast, "__enter__", entered))
        yield


@contextmanager
def full_products() -> Iterator[None]:
    """Matrix products of float32 have all its digits."""
    before, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with ExitStack() as stack:
        stack.callback(torch.set_float32_matmul_precision, before)
        stack.callback(setattr, torch.backends.cudnn, "allow_tf32", cudnn)
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        yield


@contextmanager
def casts_kept(short: frozenset[torch.dtype], wide: torch.dtype) -> Iterator[None]:
    """Casts to short formats, and tensors made in them, are in a wide one."""
    with _Wide(short, wide):
        yield


class _Wide(TorchFunctionMode):
    """Every call to torch with the dtypes exchanged."""

    def __init__(self, short: frozenset[torch.dtype], wide: torch.dtype) -> None:
        super().__init__()
        self.short, self.wide = short, wide
        self.methods = {
            torch.Tensor.bfloat16: torch.bfloat16,
            torch.Tensor.half: torch.float16,
            torch.Tensor.float: torch.float32,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        to = self.methods.get(func)
        if to in self.short:
            return args[0].to(self.wide)
        kwargs = {name: self._exchanged(value) for name, value in (kwargs or {}).items()}
        return func(*(self._exchanged(value) for value in args), **kwargs)

    def _exchanged(self, value: Any) -> Any:
        return self.wide if isinstance(value, torch.dtype) and value in self.short else value


@contextmanager
def all_of(found: Mapping[str, Switch]) -> Iterator[None]:
    """Several switches at once."""
    with ExitStack() as stack:
        for switch in found.values():
            stack.enter_context(switch())
        yield
