"""What a user hands over, as numbers of the right shape, or a line that says what is wrong."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import DataError, RunError
from equiwm.printable import quoted


def as_finite(value: object, shape: tuple[int, ...], what: str, *, single: bool = False) -> Tensor:
    """`value`, a tensor or what numpy makes numbers of, as float64 (..., *shape) on the CPU; `single` for one alone.

    Raises:
        DataError: not numbers, numbers of another shape, or NaN or infinite ones; the message calls it `what`.
    """
    expected = f"a {what} has shape ({'' if single else '..., '}{', '.join(map(str, shape))})"
    if not isinstance(value, Tensor):
        try:
            value = torch.from_numpy(np.array(value, dtype=np.float64))
        except (TypeError, ValueError):
            raise DataError(f"{expected}; got {value!r}, which is not an array of numbers.") from None
    if (value.shape if single else value.shape[-len(shape) :]) != shape:
        empty = " (empty)" if value.numel() == 0 else ""
        raise DataError(f"{expected}; got {tuple(value.shape)}{empty}.")
    bad = int((~value.isfinite()).sum())
    if bad:
        raise DataError(f"a {what} is finite numbers; got {bad} that are NaN or infinite.")
    return value.cpu().double()


def as_path(given: object, what: str, of: str = "a folder") -> Path:
    """What names a file or folder, which the message calls `of`, as a path.

    Raises:
        RunError: it is no text and no path.
    """
    if not isinstance(given, str | PathLike):
        raise RunError(f"{what}: got {type(given).__name__}, expected the path of {of}.")
    return Path(given)


def as_seed(given: object, what: str) -> int:
    """What seeds random numbers.

    Raises:
        DataError: no integer from 0.
    """
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 0:
        raise DataError(f"{what}: seed = {quoted(given)}, expected an integer from 0.")
    return int(given)


def at_least_one(what: str, **counts: int) -> None:
    """Refuse counts that are no integers from 1: `at_least_one("sequences", n=n, horizon=horizon)`.

    Raises:
        DataError: such a count; the message calls the whole `what`.
    """
    given = [f"{name} = {quoted(count)}" for name, count in counts.items() if not isinstance(count, int) or count < 1]
    if given:
        raise DataError(f"{what}: got {', '.join(given)}; expected at least 1.")
