"""A world model, or a single layer, trained under one optimiser: the columns of its row."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from equiwm.audit.pooled import ELEMENTS, SAMPLES, equivariance_residual
from equiwm.claims.ablation.commutant import LayerName, off_commutant, train_layer
from equiwm.claims.ablation.lockstep import Asking, ask
from equiwm.claims.ablation.world_models import model_columns
from equiwm.claims.optimizers import probe_run
from equiwm.claims.probe import PROBE_SEED
from equiwm.config import Config
from equiwm.loading import load_run
from equiwm.symmetry.groups import SO2, SO3
from equiwm.training.cells import Started, complete_runs


def model_columns_under(config: Config, *, elements: int, seed: int) -> Asking[dict[str, Any]]:
    """Train a configuration, whose optimiser it is, as a run that is thrown away, and probe it as verify does.

    Raises:
        TrainingError: the training diverged or collapsed.
    """
    with TemporaryDirectory() as folder:
        run = yield from ask(complete_runs, Started(config, Path(folder), config.training.optimizer, seed))
        probed = probe_run(run, group=None, samples=elements, tolerance=None, seed=PROBE_SEED)
        loaded = load_run(run.path)
        train = loaded.world.transitions(config.training.transitions, seed=seed)
    return {
        **model_columns(loaded.model, loaded.world, train, elements=elements),
        "initial_residual": probed.initial,
        "residual_float64": probed.float64,
        "loss_ratio": probed.loss_ratio,
        "weights_moved": probed.weights_moved,
        "control": probed.control,
        "verdict": probed.verdict,
    }


def layer_columns(name: LayerName, optimizer: str, d: int, *, steps: int, seed: int) -> dict[str, Any]:
    """Train one layer on noisy labels, and give its residual and its distance from the commutant."""
    layer, start = train_layer(name, optimizer, d, steps=steps, seed=seed)
    rep, group = layer.layer.in_rep, SO2 if d == 2 else SO3
    inputs = torch.randn(SAMPLES, rep.dim, generator=torch.Generator().manual_seed(PROBE_SEED), dtype=torch.float64)
    residual = equivariance_residual(layer, [rep], rep, group.sample(ELEMENTS, PROBE_SEED), [inputs])
    return {
        "parameters": sum(parameter.numel() for parameter in layer.parameters()),
        "relative_residual": residual.relative,
        "off_commutant_initial": start,
        "off_commutant": off_commutant(layer.matrix(), d),
    }
