"""`export.json`: what an exported model says of itself."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from equiwm.disk.files import write_atomic
from equiwm.disk.strict_json import canonical_json, read_json
from equiwm.disk.text import open_regular
from equiwm.errors import RunError

SCHEMA = 1
"""Version of `export.json`; a higher one than ours is refused."""

Format = Literal["safetensors", "torch-export", "onnx"]

FILES: dict[Format, tuple[str, ...]] = {
    "safetensors": ("model.safetensors",),
    "torch-export": ("encode.pt2", "predict.pt2"),
    "onnx": ("encode.onnx", "predict.onnx"),
}
"""The model's files of each format."""

MOST_BYTES = 4 * 2**30
"""Bytes of a file of an export."""

_NAME = "export.json"


@dataclass(frozen=True)
class Reps:
    """How tensors transform, as `Rep.parse` reads it, in a space of d dimensions."""

    d: int
    observation: str
    action: str
    latent: str


@dataclass(frozen=True)
class CentroidRecord:
    """A world's centroid in closed form: x_0 = sum_c start_c o_c, x* = sum_c goal_c g_c, moved by drift_h a_h.

    Attributes:
        start: for plans of 1, 2, ..., H steps the weights of the observation's channels.
        goal: those of the goal's.
        drift: for plans of 1, 2, ..., H steps the lengths that each of their actions moves it.
        channel: of the action that moves it.
        factor: by which `planning.centroid` is multiplied.
    """

    start: list[list[float]]
    goal: list[float]
    drift: list[list[float]]
    channel: int
    factor: float


@dataclass(frozen=True)
class MetricRecord:
    """A `planning.step_metric.StepMetric`.

    Attributes:
        matrix: W, on the latent's channels or on its entries.
        centroid: square of what a step moves the centroid by; null where there is none.
    """

    matrix: list[list[float]]
    centroid: float | None


@dataclass(frozen=True)
class PlanRecord:
    """How the model plans.

    Attributes:
        settings: section `planning` of the run.
        kind: of the goal: `pose`, `latent`, `steps` or `procrustes`.
        frame: weights of the latent's vectors that frames are read off (`planning.frames.CloudFrames`).
        pose: channels of agent, position and direction; null where the goal is no pose.
        centroid: the centroid's closed form; null where the cost has none.
        metric: of the latents, for a goal `steps`; null for the others.
    """

    settings: dict[str, Any]
    kind: Literal["pose", "latent", "steps", "procrustes"]
    frame: list[list[float]]
    pose: tuple[int, int, int] | None
    centroid: CentroidRecord | None
    metric: MetricRecord | None = None


@dataclass(frozen=True)
class Figures:
    """What an audit says of one part.

    Attributes:
        verdict: of the part.
        residual: of the channel that decides, in the best precision that it runs in.
        rounding: of the model itself there.
        precision: that precision.
    """

    verdict: str
    residual: float | None
    rounding: float | None
    precision: str


@dataclass(frozen=True)
class PartRecord:
    """One part of the model: as the run has it, and as it was exported.

    Attributes:
        run: the run's own, in the dtype of the export.
        export: the exported one, loaded again from its files.
        agreement: largest difference of the two over the largest output, on the same inputs.
    """

    run: Figures
    export: Figures
    agreement: float


@dataclass(frozen=True)
class ExportRecord:
    """The content of `export.json`.

    Attributes:
        schema: version of the file.
        format: of the model's files.
        dtype: of weights, inputs and outputs.
        name: of the run.
        preset: of the run.
        seed: of its training.
        group: under which it was audited.
        equivariant: whether every part of it is meant to be equivariant.
        latent_is_state: whether a latent is the state itself.
        reps: how its tensors transform.
        model: section `model` of the run.
        parameters: number of trained scalars.
        files: name -> SHA-256.
        seal: by the user who exported it, of the files that hold code; empty where none does.
        checkpoint_sha256: of the weights that were exported.
        plan: how it plans; null where it does not.
        no_plan: why it does not.
        parts: encoder, predictor and both composed.
    """

    schema: int
    format: Format
    dtype: Literal["float32", "float64"]
    name: str
    preset: str
    seed: int
    group: str
    equivariant: bool
    latent_is_state: bool
    reps: Reps
    model: dict[str, Any]
    parameters: int
    files: dict[str, str]
    seal: str
    checkpoint_sha256: str | None
    plan: PlanRecord | None
    no_plan: str
    parts: dict[str, PartRecord]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file of an export.

    Raises:
        RunError: there is none, it is no regular file, or too large.
    """
    digest = hashlib.sha256()
    with open_regular(path, most=MOST_BYTES, inside=path.parent) as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def write_record(folder: Path, record: ExportRecord) -> None:
    """Write `export.json` into the folder of an export."""
    write_atomic(folder / _NAME, canonical_json(dataclasses.asdict(record), indent=2) + "\n")


def read_record(folder: Path) -> ExportRecord:
    """What an exported model says of itself; that its files are the ones it names is known then.

    Raises:
        RunError: no such folder, no `export.json` in it, one that is damaged or of a later version, or a file of the
            model that is missing or another one.
    """
    path = folder / _NAME
    if not path.is_file():
        raise RunError(f"{folder} is no exported model: it has no {_NAME}; make one with: equiwm export RUN.")
    data = read_json(path)
    if data.get("kind") == "policy":
        raise RunError(f"{folder} is an exported policy, which has no model; load it with equiwm.load_policy.")
    schema = data.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise RunError(f"{path} has schema {schema}, expected at most {SCHEMA}; install a later equiwm.")
    try:
        record = msgspec.convert(data, ExportRecord)
    except msgspec.ValidationError as error:
        raise RunError(f"{path} is damaged ({error}); export the model again.") from None
    if set(record.files) != set(FILES[record.format]):
        raise RunError(f"{path} is damaged: format {record.format} has other files; export the model again.")
    for name, sha in record.files.items():
        if file_sha256(folder / name) != sha:
            raise RunError(f"{folder / name} is not the file that {path} names: export the model again.")
    return record
