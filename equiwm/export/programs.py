"""A model as two programs, `encode` and `predict`, which hold their own arithmetic: `torch.export` and ONNX."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equiwm.adapters.exported import load_program
from equiwm.adapters.onnx import load_session
from equiwm.adapters.packages import imported
from equiwm.boundary import machine_error
from equiwm.errors import ConfigError, RunError
from equiwm.models.world_model import WorldModel
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep

_BATCH = torch.export.Dim("batch")


class _Encode(nn.Module):
    """E alone, its argument by name."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, observation: Tensor) -> Tensor:
        made: Tensor = self.encoder(observation)
        return made


class _Predict(nn.Module):
    """f alone, its arguments by name."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.predictor = model.predictor

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        made: Tensor = self.predictor(latent, action)
        return made


def torch_files(model: WorldModel, observation: Tensor, action: Tensor) -> dict[str, bytes]:
    """The files of format `torch-export`: one program of `torch.export` a part, with a free batch axis.

    Args:
        model: in the dtype of the export, on the CPU.
        observation: two or more observations to trace it with.
        action: as many actions.

    Raises:
        ConfigError: torch cannot export the model.
    """
    return {f"{name}.pt2": torch_program(*part) for name, part in _parts(model, observation, action).items()}


def torch_program(module: nn.Module, given: tuple[Tensor, ...]) -> bytes:
    """A program of `torch.export`, with a free batch axis.

    Args:
        module: with arguments by name, on the CPU.
        given: what it is traced with, two rows or more.

    Raises:
        ConfigError: torch cannot export it.
    """
    buffer = io.BytesIO()
    torch.export.save(_program(module, given, "torch-export"), buffer)
    return buffer.getvalue()


def onnx_files(model: WorldModel, observation: Tensor, action: Tensor) -> dict[str, bytes]:
    """The files of format `onnx`: one ONNX model a part, with a free batch axis; arguments as of `torch_files`.

    Raises:
        ConfigError: torch cannot export the model, or it holds an operator that ONNX has not.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    parts = _parts(model, observation, action)
    return {
        "encode.onnx": onnx_program(*parts["encode"], ["observation"], "latent"),
        "predict.onnx": onnx_program(*parts["predict"], ["latent", "action"], "next_latent"),
    }


def onnx_program(module: nn.Module, given: tuple[Tensor, ...], names: list[str], gives: str) -> bytes:
    """An ONNX model, with a free batch axis.

    Args:
        module, given: as of `torch_program`.
        names: of its inputs.
        gives: name of its output.

    Raises:
        ConfigError: torch cannot export it, or it holds an operator that ONNX has not.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    for package in ("onnx", "onnxscript"):
        imported(package, package, "equiwm export --format onnx")
    program = _program(module, given, "onnx")
    with _quietly(), _refusals("onnx"), torch.no_grad():
        made = torch.onnx.export(program, given, dynamo=True, verbose=False, input_names=names, output_names=[gives])
    assert made is not None
    content: bytes = made.model_proto.SerializeToString()
    return content


def _parts(model: WorldModel, observation: Tensor, action: Tensor) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """Both parts as modules, and what each is traced with."""
    model = copy.deepcopy(model).requires_grad_(False).eval()
    with torch.no_grad():
        latent = model.encode(observation)
    return {"encode": (_Encode(model), (observation,)), "predict": (_Predict(model), (latent, action))}


def _program(module: nn.Module, given: tuple[Tensor, ...], what: str) -> torch.export.ExportedProgram:
    with _quietly(), _refusals(what), torch.no_grad():
        return torch.export.export(module, given, dynamic_shapes=tuple({0: _BATCH} for _ in given))


@contextlib.contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Whatever torch's exporters raise, in a line."""
    try:
        yield
    except Exception as error:
        if machine_error(error) is not None:
            raise
        cause: BaseException = error
        while cause.__cause__ is not None:  # the outer ones are pages about how to report it
            cause = cause.__cause__
        said = next(filter(None, map(str.strip, str(cause).splitlines())), type(cause).__name__)
        raise ConfigError(f"--format {what}: torch cannot export this model: {said[:200]}") from None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What exporters say of their own insides is kept to errors."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class ProgramLayer(Layer):
    """A program as encoder or predictor: flat tensors of its dtype in, and out.

    Args:
        call: the program.
        in_rep: rep of its first argument.
        out_rep: rep of what it gives.
        dtype: of the program.
        equivariant: whether it is meant to be equivariant, as the run's own part is.
        latent_is_state: whether what it gives is the state itself.
    """

    def __init__(
        self,
        call: Callable[..., Tensor],
        in_rep: Rep,
        out_rep: Rep,
        dtype: torch.dtype,
        *,
        equivariant: bool,
        latent_is_state: bool = False,
    ) -> None:
        super().__init__(in_rep, out_rep, "flat")
        self.ordinary, self.latent_is_state = not equivariant, latent_is_state
        # A module's dtype is that of its parameters, and a program that is no module has none.
        self.precision = nn.Parameter(torch.empty(0, dtype=dtype), requires_grad=False)
        self.call = call

    def forward(self, *arguments: Tensor) -> Tensor:
        return self.call(*arguments)


def torch_call(path: Path) -> Callable[..., Tensor]:
    """A program of `torch.export` as a function. Its file may hold code (pickles).

    Raises:
        DataError: torch cannot read it.
        RunError: it is no program of `torch.export`.
    """
    program = load_program(path)
    if not isinstance(program, torch.export.ExportedProgram):
        raise RunError(f"{path} is no program of torch.export: export the model again.")
    module = program.module()

    def call(*arguments: Tensor) -> Tensor:  # no module: an exported one refuses to be put into any mode
        made: Tensor = module(*arguments)
        return made

    return call


def onnx_call(path: Path) -> Callable[..., Tensor]:
    """An ONNX model as a function of tensors.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        DataError: onnxruntime cannot read it.
    """
    session = load_session(path, "load_export", threads=1)
    names = [entry.name for entry in session.get_inputs()]

    def call(*arguments: Tensor) -> Tensor:
        given = {
            name: np.ascontiguousarray(argument.detach().numpy())
            for name, argument in zip(names, arguments, strict=True)
        }
        made: Any = session.run(None, given)[0]
        return torch.from_numpy(made)

    return call
