"""From a run directory back to its model and its world."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from equiwm.config import Config
from equiwm.devices import evaluation_device
from equiwm.errors import ConfigError, RepError, RunError
from equiwm.models.factory import build_model
from equiwm.models.world_model import WorldModel
from equiwm.runs import Run
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import World

CHECKPOINT_SCHEMA = 1

_UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What zipfile, pickle and torch raise on files that they did not write, or not all of."""


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A trained run.

    Attributes:
        run: its directory.
        config: its configuration.
        seed: the seed it was trained with.
        model: the trained model, in evaluation mode.
        world: its world.
        dtype: dtype of the model.
        device: device of the model.
        notice: something the user should know about dtype or device, or None.
    """

    run: Run
    config: Config
    seed: int
    model: WorldModel
    world: World
    dtype: torch.dtype
    device: torch.device
    notice: str | None = None

    def initial_model(self) -> WorldModel:
        """The model as it was before training, rebuilt from the seed."""
        model = build_model(
            self.config.model, self.world.observation_rep, self.world.action_rep, seed=self.seed, dtype=self.dtype
        )
        return model.to(self.device).eval()


def provenance(loaded: LoadedRun) -> dict[str, Any]:
    """Which weights a baseline's result belongs to, as it stands under `baseline` in metrics.json."""
    run = loaded.run
    return {
        "name": run.name,
        "preset": loaded.config.preset,
        "train_seed": loaded.seed,
        "checkpoint_sha256": run.checkpoint_sha256(),
    }


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


def load_run(path: Path | str, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> LoadedRun:
    """Load a trained run.

    Args:
        path: the run directory.
        dtype: dtype to evaluate in; None is float32, as it was trained. Constants are rebuilt in it.
        device: device to evaluate on; float64 moves from MPS, which has none, to the CPU and says so in `notice`.

    Raises:
        RunError: no run, an incomplete one, or a checkpoint that is missing, damaged or foreign.
        ConfigError: a `config.yaml` that describes no run.
    """
    run = Run.open(path)
    config, seed = run.config, run.header.seed
    dtype = dtype or torch.float32
    place, notice = evaluation_device(torch.device(device), dtype)
    world = build_world(config.world)
    try:
        model = build_model(config.model, world.observation_rep, world.action_rep, seed=seed, dtype=dtype)
    except (ConfigError, RepError) as error:
        raise ConfigError(f"{run.config_path}: {error}") from None
    _load_weights(model, run.checkpoint)
    return LoadedRun(run, config, seed, model.to(place).eval(), world, dtype, place, notice)
