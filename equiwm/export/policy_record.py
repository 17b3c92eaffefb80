"""`export.json` of a policy: what it says of itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from equiwm.disk.files import write_atomic
from equiwm.disk.strict_json import canonical_json, read_json
from equiwm.errors import RunError
from equiwm.export.record import Format, PartRecord, file_sha256

SCHEMA = 1
"""Version of the file; a higher one than ours is refused."""

FILES: dict[Format, str] = {"safetensors": "policy.safetensors", "torch-export": "act.pt2", "onnx": "act.onnx"}
"""The policy's file of each format."""

_NAME = "export.json"


@dataclass(frozen=True)
class PolicyReps:
    """How its tensors transform, as `Rep.parse` reads it, in a space of d dimensions."""

    d: int
    observation: str
    action: str


@dataclass(frozen=True)
class PolicyRecord:
    """The content of `export.json`.

    Attributes:
        schema: version of the file.
        kind: `policy`.
        format: of its file.
        dtype: of weights, inputs and outputs.
        name: of the run.
        teacher: of the run that it was cloned from.
        task: that it was cloned on.
        seed: of the distillation.
        group: under which it was audited.
        equivariant: whether its network is meant to be equivariant.
        reps: how its tensors transform.
        policy: section `policy` of the run.
        hold: steps that an action is held.
        steps: of an episode, whose share that is left a timed policy sees.
        scale, offset: an action a of the network is offset + scale a in the world's unit, entry by entry.
        parameters: number of trained scalars.
        files: name -> SHA-256.
        seal: by the user who exported it, of the files that hold code; empty where none does.
        checkpoint_sha256: of the weights that were exported.
        part: the run's own and the exported one, audited and compared; null until that is done.
    """

    schema: int
    kind: Literal["policy"]
    format: Format
    dtype: Literal["float32", "float64"]
    name: str
    teacher: str
    task: str
    seed: int
    group: str
    equivariant: bool
    reps: PolicyReps
    policy: dict[str, Any]
    hold: int
    steps: int
    scale: list[float]
    offset: list[float]
    parameters: int
    files: dict[str, str]
    seal: str
    checkpoint_sha256: str | None
    part: PartRecord | None


def write_policy_record(folder: Path, record: PolicyRecord) -> None:
    """Write `export.json` into the folder of an export."""
    write_atomic(folder / _NAME, canonical_json(dataclasses.asdict(record), indent=2) + "\n")


def read_policy_record(folder: Path) -> PolicyRecord:
    """What an exported policy says of itself; that its file is the one it names is known then.

    Raises:
        RunError: no such folder, no `export.json` of a policy in it, one that is damaged or of a later version, or
            another file than it names.
    """
    path = folder / _NAME
    if not path.is_file():
        raise RunError(f"{folder} is no exported policy: it has no {_NAME}; make one with: equiwm export RUN.")
    data = read_json(path)
    if data.get("kind") != "policy":
        raise RunError(f"{folder} is an exported world model and no policy; load it with equiwm.load_export.")
    schema = data.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise RunError(f"{path} has schema {schema}, expected at most {SCHEMA}; install a later equiwm.")
    try:
        record = msgspec.convert(data, PolicyRecord)
    except msgspec.ValidationError as error:
        raise RunError(f"{path} is damaged ({error}); export the policy again.") from None
    if list(record.files) != [FILES[record.format]]:
        raise RunError(f"{path} is damaged: format {record.format} has other files; export the policy again.")
    for name, sha in record.files.items():
        if file_sha256(folder / name) != sha:
            raise RunError(f"{folder / name} is not the file that {path} names: export the policy again.")
    return record
