"""`equiwm export`: a trained model as files that need no training stack."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from equiwm.cli.options import Dtype, JsonOption, RunArgument, SeedOption, TrustOption


class ExportFormat(StrEnum):
    """How the model is written."""

    safetensors = "safetensors"
    torch_export = "torch-export"
    onnx = "onnx"


def export(
    run: RunArgument,
    format: Annotated[
        ExportFormat, typer.Option("--format", help="weights, programs of torch.export, or ONNX models")
    ] = ExportFormat.safetensors,
    out: Annotated[Path | None, typer.Option("--out", help=r"a new folder \[RUN/export/FORMAT]")] = None,
    dtype: Annotated[Dtype, typer.Option("--dtype", help="of weights, inputs and outputs")] = Dtype.float32,
    seed: SeedOption = 1000,
    trust: TrustOption = None,
    json: JsonOption = False,
) -> None:
    """Write a trained model to files that a robot loads, with a model card.

    What was written is loaded again and held against the run: largest difference, and the audit of both. What differs
    by more than 1e-6, or is no longer equivariant, is refused. Load it with equiwm.load_export(DIR), and a distilled
    policy with equiwm.load_policy(DIR).

    Examples: equiwm export runs/vn-2d ; equiwm export runs/vn-2d --format onnx --out vn-2d-onnx
    """
    import dataclasses

    import torch

    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.devices import DTYPES
    from equiwm.export.card import parts_table
    from equiwm.export.policy_write import export_policy, policy_table
    from equiwm.export.write import export_model
    from equiwm.loading import load_run

    torch.set_num_threads(1)
    subject = load_run(run, DTYPES[dtype.value], trust=trust or [])
    folder = out or subject.stored.path / "export" / format.value
    if subject.policy is not None:
        made = export_policy(subject, folder, format.value, seed=seed)
        if json:
            print_json(dataclasses.asdict(made))
            return
        print_tables([policy_table(made)])
        say(f"export: {folder}")
        return
    record = export_model(subject, folder, format.value, seed=seed)
    if json:
        print_json(dataclasses.asdict(record))
        return
    print_tables([parts_table(record)])
    if record.no_plan:
        say(f"it does not plan: {record.no_plan}")
    say(f"export: {folder}")
