"""An ONNX model, run by onnxruntime: `session_probe("policy.onnx", inputs, group, takes, gives)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from equiwm.adapters.batches import Shape, in_calls
from equiwm.adapters.packages import imported
from equiwm.audit.probe import Probe
from equiwm.audit.pytree import is_array
from equiwm.audit.typed import declared
from equiwm.boundary import machine_error
from equiwm.errors import DataError, RepError
from equiwm.symmetry.group import Group

_DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def session_probe(model: Any, inputs: Any, group: Group | str, takes: Any, gives: Any) -> Probe:
    """The probe of an ONNX model.

    Args:
        model: a file, or an `onnxruntime.InferenceSession`.
        inputs: arrays by the names of the model's inputs, or one array where it has one; a list of those, or one batch
            whose first axis counts samples. Of a model that was exported with a fixed first axis it is cut into calls
            of that size.
        group: a group or its name.
        takes: reps by the names of the inputs, or one rep where it has one input; `same` for what does not turn.
        gives: reps by the names of outputs, or one rep where it has one output.

    Returns:
        A probe that runs the session; a float32 model is fed float32, and float64 tells nothing more of it.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        DataError: no such file, one that onnxruntime cannot read, or inputs that do not fit the model's.
        RepError: a name that the model does not have.
    """
    if isinstance(model, str | Path):
        model = load_session(Path(model), "session_probe")
    if not all(hasattr(model, name) for name in ("run", "get_inputs", "get_outputs")):
        raise DataError(f"model: got {type(model).__name__}, expected a file or an onnxruntime.InferenceSession.")
    entries = {entry.name: entry for entry in model.get_inputs()}
    outputs = [entry.name for entry in model.get_outputs()]
    takes = _by_name(takes, list(entries), "takes")
    gives = _by_name(gives, outputs, "gives")
    found = inputs if isinstance(inputs, list) else [inputs]
    samples = [_fed(sample, entries) for sample in found]
    shapes = [_shape(entries[name].shape) for name in samples[0]] if samples else []
    calls = in_calls(samples if isinstance(inputs, list) else samples[0], shapes, "the ONNX model")
    return Probe(_Session(model, outputs), calls, group, takes=takes, gives=gives)


def load_session(path: Path, what: str, *, threads: int = 0) -> Any:
    """A session of onnxruntime on the CPU.

    Args:
        path: the model's file.
        what: what needs it, for the message where onnxruntime is missing.
        threads: of one operator; 0 leaves it to onnxruntime.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        DataError: no such file, or one that onnxruntime cannot read.
    """
    runtime = imported("onnxruntime", "onnxruntime", what)
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    try:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if machine_error(error) is not None:  # it says nothing about the file
            raise
        said = str(error).strip().splitlines()
        raise DataError(f"{path}: onnxruntime cannot read it: {said[0] if said else type(error).__name__}") from None


class _Session:
    """A session as a function of arrays by name."""

    def __init__(self, session: Any, outputs: list[str]) -> None:
        self.session, self.outputs = session, outputs

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, np.ndarray]:
        made = self.session.run(self.outputs, {name: np.asarray(leaf) for name, leaf in sample.items()})
        return dict(zip(self.outputs, map(np.asarray, made), strict=True))


def _by_name(spec: Any, names: list[str], what: str) -> dict[str, Any]:
    """Reps by name.

    Raises:
        RepError: one rep for several, or a name that is none.
    """
    told = declared(spec, what)
    if () in told:
        if len(names) != 1:
            raise RepError(f"{what}: got one rep for {len(names)} arrays: give a mapping of {', '.join(names)}.")
        return {names[0]: spec}
    wrong = [str(path[0]) for path in told if path[0] not in names]
    if wrong:
        raise RepError(f"{what} names {wrong[0]}; the model has {', '.join(names)}.")
    return dict(spec)


def _fed(sample: Any, entries: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A sample in the dtypes that the model takes.

    Raises:
        DataError: other names than the model's.
    """
    if is_array(sample) and len(entries) == 1:
        sample = {next(iter(entries)): sample}
    if not isinstance(sample, Mapping) or set(sample) != set(entries):
        got = ", ".join(map(str, sample)) if isinstance(sample, Mapping) else type(sample).__name__
        raise DataError(f"inputs: got {got}; the model takes {', '.join(entries)}.")
    found = {}
    for name, entry in entries.items():
        array = sample[name].detach().cpu().numpy() if isinstance(sample[name], torch.Tensor) else sample[name]
        array = np.asarray(array)
        wanted = _DTYPES.get(entry.type)
        found[name] = array.astype(wanted) if wanted is not None and array.dtype.kind == "f" else array
    return found


def _shape(given: list[Any]) -> Shape:
    """Sizes that are numbers are fixed; names stand for free ones."""
    return tuple(size if isinstance(size, int) else None for size in given)
