"""Devices and dtypes by name."""

from __future__ import annotations

import torch

from equiwm.errors import DataError, DeviceError
from equiwm.printable import quoted

DTYPES = {"float32": torch.float32, "float64": torch.float64}
DEVICES = ("auto", "cpu", "mps", "cuda")


def resolve_device(name: str) -> torch.device:
    """The device of that name; `auto` is cuda where it exists, else the CPU.

    MPS is only taken when it is asked for: it has no float64, and these networks are too small to gain from it.

    Raises:
        DeviceError: an unknown device, or one that this machine does not have.
    """
    if name not in DEVICES:
        raise DeviceError(f"unknown device '{name}': expected one of {', '.join(DEVICES)}.")
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[name]:
        raise DeviceError(f"this machine has no {name} device that torch can use; pass --device cpu or auto.")
    return torch.device(name)


def known_dtype(given: object) -> torch.dtype:
    """A dtype that is computed in.

    Raises:
        DataError: any other.
    """
    if given not in DTYPES.values():
        raise DataError(f"dtype: got {quoted(given)}, expected torch.float32 or torch.float64.")
    assert isinstance(given, torch.dtype)
    return given


def known_device(given: torch.device | str) -> torch.device:
    """A device of torch.

    Raises:
        DeviceError: torch knows none of this name.
    """
    try:
        return torch.device(given)
    except (RuntimeError, TypeError):
        raise DeviceError(f"unknown device {quoted(given)}: expected one of cpu, mps, cuda.") from None


def evaluation_device(device: torch.device, dtype: torch.dtype) -> tuple[torch.device, str | None]:
    """Where to evaluate in `dtype`: MPS has no float64, so that work moves to the CPU, with a notice that says so."""
    if device.type == "mps" and dtype == torch.float64:
        return torch.device("cpu"), "mps has no float64: evaluating on the CPU."
    return device, None
