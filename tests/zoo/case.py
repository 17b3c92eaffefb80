"""One network of the zoo, and the truth about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.probe import Probe

DTYPES = ("float32", "float64")
"""Of the inputs."""
EQUIVARIANT = ("exact",)
UP_TO_PRECISION = ("precision-limited",)
NOT = ("approximate", "broken")
"""A break of a size that nobody wrote down: that it is one is known."""


@dataclass(frozen=True)
class Case:
    """A network and what is true of it.

    Attributes:
        name: what it is and what is wrong with it.
        make: the probe, with inputs of the given dtype.
        verdicts: the right ones.
        cause: the name of the cause that should be found, or None where nothing names it.
        layer: the module in which the break was planted, or None where it is no module's.
        fault: what the audit gets wrong about the verdict at present; such a case has to fail.
        faulty: in which dtypes it does.
    """

    name: str
    make: Callable[[torch.dtype], Probe]
    verdicts: tuple[str, ...]
    cause: str | None = None
    layer: str | None = None
    fault: str | None = None
    faulty: tuple[str, ...] = DTYPES


def drawn(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def built(make: Callable[..., Any], *args: Any, dtype: torch.dtype, seed: int = 0, **settings: Any) -> Any:
    """A module of seeded weights in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(*args, **settings).to(dtype).eval()
