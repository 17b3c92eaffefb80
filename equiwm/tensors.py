"""Files of tensors: bounded before they are unpickled, and checked against the module that they are for."""

from __future__ import annotations

import os
import pickle
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from equiwm.disk.files import reason
from equiwm.errors import RunError

LARGEST = 4 * 2**30
"""Bytes of a file of tensors whose content nobody can foretell: training data that was given by hand."""
_ROOM = 2**20  # names, generators and the archive itself

_UNREADABLE = (
    *(EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What zipfile, pickle and torch raise on files that they did not write, or not all of."""


def size_limit(model: nn.Module, copies: int) -> int:
    """Bytes that a file may have which holds `copies` of a model's tensors, in whatever precision."""
    widest = torch.complex128.itemsize
    scalars = sum(tensor.numel() for tensor in model.state_dict().values())
    return copies * widest * scalars + _ROOM


def read_tensors(path: Path, *, limit: int = LARGEST) -> dict[str, Any]:
    """The mapping in a file of `torch.save`, tensors and plain data only.

    Nothing is unpickled before it is known that the file is a regular one, that it is not too large, and that its
    archive holds no more than its bytes: `torch.save` compresses nothing.

    Args:
        path: the file.
        limit: bytes that it may have.

    Raises:
        RunError: the file is missing, cannot be read, is too large, truncated, or holds anything else.
    """
    damaged = f"{path} is damaged or was not written by equiwm: train the run again, or restore the file."
    try:
        # Asked before it is opened, for to open a device may do something; and after it, for then nobody can change it.
        _require_bounded(os.stat(path), path, limit)
        # Without O_NONBLOCK a named pipe would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            _require_bounded(os.fstat(file.fileno()), path, limit)
            data = _unpickled(file)
    except FileNotFoundError:
        raise RunError(f"no such file: {path}.") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {reason(error)}.") from None
    except _UNREADABLE as error:
        if isinstance(error.__context__, OSError):  # zipfile calls a file that cannot be read no archive
            raise RunError(f"cannot read {path}: {reason(error.__context__)}.") from None
        if "allocate memory" in str(error):  # torch's allocator raises RuntimeError
            raise MemoryError(str(error)) from None
        raise RunError(damaged) from None
    if not isinstance(data, dict):
        raise RunError(f"{path} was not written by equiwm: expected named tensors, got {type(data).__name__}.")
    held = 0
    for tensor in _tensors_in(data):
        # A view of one number can claim any shape; what is copied from it is as large as it claims.
        held += tensor.numel() * tensor.element_size()
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or held > limit:
            raise RunError(damaged)
    return data


def _require_bounded(found: os.stat_result, path: Path, limit: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise RunError(f"{path} is no regular file; restore the file that was there.")
    if found.st_size > limit:
        raise RunError(
            f"{path} has {found.st_size:,} bytes, expected at most {limit:,} for what its config.yaml describes; "
            "restore the file that was there."
        )


def _unpickled(file: BinaryIO) -> object:
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > size:
            raise zipfile.BadZipFile("compressed, or parts of it overlap")
        if archive.testzip():  # torch does not compare checksums: a flipped bit would be another weight
            raise zipfile.BadZipFile("a checksum does not match")
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def _tensors_in(data: object) -> Iterator[Tensor]:
    """Every tensor in nested plain data, each once however often it is referred to."""
    seen: set[int] = set()
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += value


def require_tensors(found: object, module: nn.Module, path: Path) -> None:
    """Refuse tensors that are not a module's: other names, shapes or dtypes, or parameters that are not finite.

    `load_state_dict` casts whatever it is given: integers, booleans, half and complex numbers.

    Args:
        found: named tensors from a file.
        module: the module as it was trained.
        path: the file, for the message.

    Raises:
        RunError: the first tensor that is wrong, by its name.
    """
    expected = module.state_dict()
    said = f"{path} does not fit its config.yaml"
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise RunError(f"{said}: it holds no named tensors.")
    other = "the configuration gives other layers or sizes."
    for name in expected:
        if name not in found:
            raise RunError(f"{said}: it has no tensor '{name}'; {other}")
    for name, tensor in found.items():
        if name not in expected:
            raise RunError(f"{said}: it has a tensor '{str(name)[:80]}' too many; {other}")
        wanted = expected[name]
        if tensor.shape != wanted.shape:
            raise RunError(
                f"{said}: '{name}' has shape {tuple(tensor.shape)}, expected {tuple(wanted.shape)}: "
                "other layers or sizes than the configuration gives."
            )
        if tensor.dtype != wanted.dtype:
            raise RunError(
                f"{said}: '{name}' is {_name(tensor.dtype)}, expected {_name(wanted.dtype)}: somebody cast the "
                "weights; restore the file, or train the run again."
            )
    for name, _ in module.named_parameters():
        if not bool(torch.isfinite(found[name]).all()):
            raise RunError(f"{path} holds weights that are not finite ({name}): train the run again.")


def require_same_precision(found: object, path: Path) -> None:
    """Refuse the state of an optimiser whose tensors are not float32, as all of ours are, or hold a NaN.

    An infinity may stand there: the square of a large gradient, after which a training goes on.

    Raises:
        RunError: the dtype that was found, or that something is no number.
    """
    for tensor in _tensors_in(found):
        if tensor.dtype != torch.float32:
            raise RunError(f"{path} holds an optimiser in {_name(tensor.dtype)}, expected float32; restore the file.")
        if bool(torch.isnan(tensor).any()):
            raise RunError(f"{path} holds an optimiser whose state is no number; restore the file.")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
