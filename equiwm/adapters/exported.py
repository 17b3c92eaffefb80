"""A program that torch exported, or scripted or traced: `exported_probe("net.pt2", inputs, group, takes, gives)`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from equiwm.adapters.batches import Shape, in_calls
from equiwm.audit.calling import Call
from equiwm.audit.probe import Probe
from equiwm.boundary import machine_error
from equiwm.errors import DataError
from equiwm.symmetry.group import Group


def exported_probe(
    program: Any,
    inputs: Any,
    group: Group | str,
    takes: Any,
    gives: Any,
    *,
    call: Call = "",
    shapes: list[Shape] | None = None,
) -> Probe:
    """The probe of an exported program.

    Args:
        program: a file of `torch.export.save` (`.pt2`) or `torch.jit.save`, or what these load.
        inputs: as `Probe` takes them. Of a program with fixed shapes one batch is cut into calls of the size that it
            was exported with.
        group: a group or its name.
        takes: reps of the inputs.
        gives: reps of the outputs.
        call: `*` or `**` spreads a tuple or mapping into arguments.
        shapes: of the program's array inputs, None for a free axis. An exported program tells them by itself; a
            traced one does not, and one that was traced with a fixed batch has to be told of.

    Raises:
        DataError: no such file, something that is no program, or inputs that do not fit the shapes.
    """
    if isinstance(program, str | Path):
        program = load_program(Path(program))
    found = shapes or []
    if isinstance(program, torch.export.ExportedProgram):
        found = shapes if shapes is not None else _shapes(program)
        program = program.module()
    elif not isinstance(program, torch.jit.ScriptModule | torch.jit.ScriptFunction | torch.fx.GraphModule):
        raise DataError(
            f"program: got {type(program).__name__}, expected a file, an ExportedProgram, or a scripted or traced "
            "module."
        )
    return Probe(program, in_calls(inputs, found, "the program"), group, takes=takes, gives=gives, call=call)


def load_program(path: Path) -> Any:
    """The program in a file of `torch.export.save` (`.pt2`) or `torch.jit.save`; either may hold code.

    Raises:
        DataError: no such file, or one that torch cannot read.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    try:
        return torch.export.load(path) if path.suffix == ".pt2" else torch.jit.load(str(path))
    except Exception as error:
        if machine_error(error) is not None:  # it says nothing about the file
            raise
        said = inspect.cleandoc(str(error)).splitlines()
        raise DataError(f"{path}: torch cannot read it: {said[0] if said else type(error).__name__}") from None


def _shapes(program: torch.export.ExportedProgram) -> list[Shape]:
    """Shapes of the array inputs; a size that is no plain number was exported as free."""
    names = set(program.graph_signature.user_inputs)
    found: list[Shape] = []
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and node.name in names and isinstance(value, torch.Tensor):
            found.append(tuple(size if type(size) is int else None for size in value.shape))
    return found
