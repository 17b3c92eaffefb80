"""From a run directory to a subject, and from a subject to a run directory."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from equiwm.config import Config
from equiwm.devices import evaluation_device
from equiwm.disk.files import atomic_writer
from equiwm.errors import ConfigError, DataError, RepError, RunError
from equiwm.models.factory import build_model
from equiwm.models.world_model import WorldModel
from equiwm.runs import Run
from equiwm.subject import Subject
from equiwm.training.data import data_of, tensors_of
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Sequences, Transitions

CHECKPOINT_SCHEMA = 1

_UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What zipfile, pickle and torch raise on files that they did not write, or not all of."""


def checkpoint_state(model: WorldModel, target: dict[str, Any]) -> dict[str, Any]:
    """What `checkpoint.pt` holds: tensors and plain data only, readable with `weights_only=True`."""
    return {
        "schema": CHECKPOINT_SCHEMA,
        "model": {name: tensor.cpu() for name, tensor in model.state_dict().items()},
        "target": {name: tensor.cpu() for name, tensor in target.items()},
        "reps": {
            "d": model.latent_rep.d,
            "observation": str(model.observation_rep),
            "action": str(model.action_rep),
            "latent": str(model.latent_rep),
        },
    }


def read_tensors(path: Path) -> dict[str, Any]:
    """The mapping in a file of `torch.save`, tensors and plain data only.

    Raises:
        RunError: the file is missing, truncated, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch does not compare checksums: a flipped bit would be another weight
        data = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"no such file: {path}.") from None
    except _UNREADABLE:
        damaged = str(path)
    if damaged:
        raise RunError(
            f"{path} is damaged or was not written by equiwm: train the run again, or restore the file."
        ) from None
    if not isinstance(data, dict):
        raise RunError(f"{path} was not written by equiwm: expected named tensors, got {type(data).__name__}.")
    return data


def _load_weights(model: WorldModel, path: Path) -> None:
    data = read_tensors(path)
    if not isinstance(data.get("schema"), int) or "model" not in data or not isinstance(data.get("reps"), dict):
        raise RunError(f"{path} was not written by equiwm: it has no schema, model and reps.")
    if data["schema"] > CHECKPOINT_SCHEMA:
        raise RunError(
            f"{path} has schema {data['schema']}; this equiwm reads up to {CHECKPOINT_SCHEMA}: update equiwm."
        )
    expected = {name: str(getattr(model, f"{name}_rep")) for name in ("observation", "action", "latent")}
    found = {name: data["reps"].get(name) for name in expected}
    if found != expected:
        raise RunError(f"{path} does not fit its config.yaml: it has reps {found}, the configuration gives {expected}.")
    try:
        model.load_state_dict(data["model"])
    except (RuntimeError, TypeError, AttributeError):
        raise RunError(
            f"{path} does not fit its config.yaml: other layers or sizes than the configuration gives."
        ) from None
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise RunError(f"{path} holds weights that are not finite ({name}): train the run again.")


def load_run(
    path: Path | str,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    *,
    trust: Sequence[str] = (),
) -> Subject:
    """Load a trained run.

    Args:
        path: the run directory.
        dtype: dtype to evaluate in; None is float32, as it was trained. Constants are rebuilt in it.
        device: device to evaluate on; float64 moves from MPS, which has none, to the CPU and says so in `notice`.
        trust: modules from outside this package that the run may name although this user has not run it before.

    Raises:
        RunError: no run, an incomplete one, or a checkpoint that is missing, damaged or foreign.
        ConfigError: a `config.yaml` that describes no run.
        TrustError: it names code from outside this package that is neither this user's nor in `trust`.
    """
    run = Run.open(path, trust=trust)
    config, seed = run.config, run.header.seed
    dtype = dtype or torch.float32
    place, notice = evaluation_device(torch.device(device), dtype)
    world = build_world(config.world)
    try:
        model = build_model(config.model, world.observation_rep, world.action_rep, seed=seed, dtype=dtype)
    except (ConfigError, RepError) as error:
        raise ConfigError(f"{run.config_path}: {error}") from None
    _load_weights(model, run.checkpoint)
    train = _own_data(run)
    return Subject(
        model, world, train=train, seed=seed, dtype=dtype, device=place, config=config, run=run, notice=notice
    )


def _own_data(run: Run) -> Transitions | Sequences | None:
    """The training data that a run brings with it, because no recipe gives it; None where one does."""
    if not run.data_path.exists():
        return None
    try:
        return data_of(read_tensors(run.data_path))
    except DataError as error:
        raise RunError(f"{run.data_path} is damaged: {error}") from None


def save_subject(
    subject: Subject, folder: Path | str, name: str, *, config: Config | None = None, command: Sequence[str] = ()
) -> Run:
    """Save a subject as the run `folder`/`name`, which every command then takes.

    Args:
        subject: what is saved. Data given to it by hand is kept in the run.
        folder: the folder that holds runs.
        name: the run's name.
        config: how the model is built; None is the subject's own. A model from outside is named in it, as
            `model.module: my_package.nets:build` (`ModelConfig.module`).
        command: the command line, for config.yaml.

    Raises:
        ConfigError: no configuration, or one that does not build this model.
        RunError: the run exists, or cannot be written.
    """
    config = config or subject.config
    if config is None:
        raise ConfigError(
            "a subject that was built by hand is saved with a configuration that builds its model: pass config=, with "
            "model.module='my_package.nets:build' for a model of your own."
        )
    world = subject.world
    rebuilt = build_model(config.model, world.observation_rep, world.action_rep, seed=subject.seed)
    state = subject.model.state_dict()
    try:
        rebuilt.load_state_dict({key: value.to("cpu") for key, value in state.items()})
    except (RuntimeError, TypeError, AttributeError):
        raise ConfigError(
            "the configuration builds another model than this subject's: other layers or sizes."
        ) from None
    run = Run.create(Path(folder), name, config.as_dict(), seed=subject.seed, command=command)
    if subject.has_own_data:
        with atomic_writer(run.data_path) as file:
            torch.save(tensors_of(subject.train), file)
    with atomic_writer(run.checkpoint) as file:
        torch.save(checkpoint_state(rebuilt, rebuilt.encoder.state_dict()), file)
    return run
