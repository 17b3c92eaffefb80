"""Several models of one architecture as one module, whose weights have the model as a first axis."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from equiwm.models.clouds import VNCloudEncoder
from equiwm.models.cross import CrossVNPredictor
from equiwm.models.mlp import MLPEncoder, MLPPredictor
from equiwm.models.normalised import NormalisedEncoder, NormalisedPredictor
from equiwm.models.relative import RelativePredictor
from equiwm.models.soft import SoftPredictor
from equiwm.models.step import StepPredictor
from equiwm.models.vector_neurons import VNEncoder, VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.nn.layer import Sequential
from equiwm.nn.linear import ComplexVNLinear, DenseLinear, VNLinear
from equiwm.nn.nonlinear import DenseReLU, VNReLU
from equiwm.nn.normalise import Normalise
from equiwm.nn.products import CrossProduct

Module = TypeVar("Module", bound=nn.Module)

_STACKED = frozenset(
    {
        *(WorldModel, Sequential, nn.ModuleList, nn.Identity),
        *(VNEncoder, VNCloudEncoder, MLPEncoder, IdentityEncoder, NormalisedEncoder),
        *(VNPredictor, CrossVNPredictor, MLPPredictor, SoftPredictor),
        *(StepPredictor, RelativePredictor, NormalisedPredictor),
        *(VNLinear, ComplexVNLinear, DenseLinear, nn.Linear, CrossProduct),
        *(VNReLU, DenseReLU, nn.LayerNorm, Normalise),
    }
)
"""Modules that take inputs with an axis of models before that of the samples. Others train one by one: one that is
derived from these may do anything."""


def can_stack(modules: Sequence[nn.Module]) -> bool:
    """Whether modules, built by one configuration, can be one: known layers, and tensors of the same shapes."""
    shapes = {tuple((name, tensor.shape) for name, tensor in module.state_dict().items()) for module in modules}
    known = all(type(part) in _STACKED for module in modules for part in module.modules())
    return known and len(shapes) == 1


def stack_modules(modules: Sequence[Module]) -> Module:
    """One module of several for which `can_stack` holds: (S, B, ...) -> (S, B, ...), slice s as module s has it."""
    whole = copy.deepcopy(modules[0])
    parts = [dict(module.named_modules()) for module in modules]
    for name, part in whole.named_modules():
        alike = [part_of[name] for part_of in parts]
        for key, parameter in part.named_parameters(recurse=False):
            stacked = torch.stack([each.get_parameter(key).detach() for each in alike])
            setattr(part, key, nn.Parameter(stacked, requires_grad=parameter.requires_grad))
        if isinstance(part, Normalise):
            # Samples stand between the models and what is normalised; the basis is that of the rep, the same for all.
            for key in ("mean", "sigma"):
                setattr(part, key, torch.stack([each.get_buffer(key) for each in alike]).unsqueeze(1))
        if isinstance(part, StepPredictor):
            steps = [each.step for each in alike if isinstance(each, StepPredictor)]
            part.step = torch.tensor(steps, dtype=next(whole.parameters()).dtype)[:, None, None]
    return whole
