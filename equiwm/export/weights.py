"""A model as its weights, in one file of safetensors: the network is built by this package, from `export.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from equiwm.adapters.packages import imported
from equiwm.boundary import machine_error
from equiwm.config import ModelConfig
from equiwm.errors import RunError
from equiwm.export.record import FILES
from equiwm.locate import BUILT_IN, Extension
from equiwm.models.factory import build_model
from equiwm.models.world_model import WorldModel
from equiwm.schema import build
from equiwm.symmetry.reps import Rep
from equiwm.tensors import require_tensors

_KINDS: Mapping[str, Extension] = {"module": "model", "encoder": "encoder", "predictor": "predictor"}


def others_code(config: ModelConfig) -> str | None:
    """The setting that names code which is not this package's, as `model.encoder my_nets:Encoder`; None without."""
    for field, kind in _KINDS.items():
        name = getattr(config, field)
        if name is not None and named_code(kind, name) is not None:
            return f"model.{field} {name}"
    return None


def named_code(kind: Extension, name: str) -> str | None:
    """The name itself where it stands for code that is not this package's; None where it is ours."""
    return None if name in BUILT_IN[kind] else name


def weight_files(model: WorldModel) -> dict[str, bytes]:
    """The file of format `safetensors`.

    Raises:
        MissingExtraError: safetensors is not installed.
    """
    return {FILES["safetensors"][0]: saved_weights(model)}


def saved_weights(module: nn.Module) -> bytes:
    """The tensors of a module as a file of safetensors.

    Raises:
        MissingExtraError: safetensors is not installed.
    """
    library = imported("safetensors.torch", "safetensors", "equiwm export --format safetensors")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    content: bytes = library.save(state)
    return content


def from_weights(
    path: Path, settings: Mapping[str, Any], observation_rep: Rep, action_rep: Rep, dtype: torch.dtype
) -> WorldModel:
    """The model of a file of weights.

    Args:
        path: the file.
        settings: section `model` of the run.
        observation_rep: of its world.
        action_rep: of its world.
        dtype: of the weights.

    Raises:
        MissingExtraError: safetensors is not installed.
        RunError: the file is damaged, or holds other weights than the settings ask for; or code that is not this
            package's is named.
    """
    library = imported("safetensors.torch", "safetensors", "load_export")
    config = build(ModelConfig, settings, "model")
    foreign = others_code(config)
    if foreign is not None:
        raise RunError(f"{path.parent} names code from outside equiwm ({foreign}): an export of weights has none.")
    model = build_model(config, observation_rep, action_rep, seed=0, dtype=dtype)
    try:
        state = library.load_file(str(path))
    except Exception as error:  # safetensors has one of its own
        if machine_error(error) is not None:
            raise
        raise RunError(f"cannot read {path}: {(str(error).splitlines() or [type(error).__name__])[0]}") from None
    require_tensors(state, model, path)
    model.load_state_dict(state)
    return model
