"""The optimiser: the symmetry is a property of the layers at any weights, so it survives whatever trains them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from equiwm.audit.residual import ELEMENTS, SAMPLES, equivariance_residual
from equiwm.claims.ablation.commutant import off_commutant, train_layer
from equiwm.claims.ablation.kind import Kind, Row, Scope
from equiwm.claims.ablation.rows import over_seeds, select, values
from equiwm.claims.ablation.world_models import ARMS, arm_config, model_columns, sized
from equiwm.claims.optimizers import probe_run, under
from equiwm.claims.probe import PROBE_SEED
from equiwm.config import parse
from equiwm.errors import TrainingError
from equiwm.grid import Cell
from equiwm.loading import load_run
from equiwm.locate import BUILT_IN
from equiwm.symmetry.groups import SO2, SO3
from equiwm.training.cells import complete_run

TRANSITIONS, QUICK_TRANSITIONS = 1500, 384
EPOCHS, QUICK_EPOCHS = 60, 20
QUICK_ELEMENTS = 4
STEPS, QUICK_STEPS = 2000, 500
LAYERS = ("vn_layer", "dense_layer")


def settings(scope: Scope) -> dict[str, Any]:
    """Optimisers, size of the world models' trainings and of their residuals, and steps of the single layers."""
    return {
        "optimizers": list(BUILT_IN["optimizer"]),
        "transitions": QUICK_TRANSITIONS if scope.quick else TRANSITIONS,
        "elements": QUICK_ELEMENTS if scope.quick else ELEMENTS,
        "epochs": QUICK_EPOCHS if scope.quick else EPOCHS,
        "steps": QUICK_STEPS if scope.quick else STEPS,
    }


def cells(scope: Scope) -> list[Cell]:
    """One cell an optimiser, arm and seed: the world models of a dimension, then its single layers."""
    chosen = settings(scope)
    found = []
    for dim in scope.dims:
        for arm in (*ARMS, *LAYERS):
            for name in BUILT_IN["optimizer"]:
                own: dict[str, Any] = {"optimizer": name}
                if arm in ARMS:
                    config = under(arm_config(scope.world, dim, arm), name)
                    config = sized(config, chosen["transitions"], epochs=chosen["epochs"])
                    own |= {"config": config.as_dict(), "elements": chosen["elements"]}
                else:
                    own["steps"] = chosen["steps"]
                found += [
                    Cell(
                        f"dim={dim},{arm},optimizer={name},seed={seed}",
                        {"dim": dim, "arm": arm, "seed": seed, **own},
                    )
                    for seed in scope.seeds
                ]
    return found


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train a world model or a single layer under one optimiser and probe it; a row."""
    seed = params["seed"]
    row = {"arm": params["arm"], "cell": f"optimizer={params['optimizer']}", "dim": params["dim"], "seed": seed}
    try:
        measured = _world_model(params) if "config" in params else _layer(params)
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    return {"rows": [{**row, **measured, "optimizer": params["optimizer"]}]}


def _world_model(params: Mapping[str, Any]) -> dict[str, Any]:
    config, seed = parse(params["config"]), params["seed"]
    with TemporaryDirectory() as folder:
        run = complete_run(config, Path(folder), config.training.optimizer, seed=seed)
        probed = probe_run(run, group=None, samples=params["elements"], tolerance=None, seed=PROBE_SEED)
        loaded = load_run(run.path)
        train = loaded.world.transitions(config.training.transitions, seed=seed)
    return {
        **model_columns(loaded.model, loaded.world, train, elements=params["elements"]),
        "initial_residual": probed.initial,
        "residual_float64": probed.float64,
        "loss_ratio": probed.loss_ratio,
        "weights_moved": probed.weights_moved,
        "control": probed.control,
        "verdict": probed.verdict,
    }


def _layer(params: Mapping[str, Any]) -> dict[str, Any]:
    d, seed = params["dim"], params["seed"]
    layer, start = train_layer(params["arm"], params["optimizer"], d, steps=params["steps"], seed=seed)
    rep, group = layer.layer.in_rep, SO2 if d == 2 else SO3
    inputs = torch.randn(SAMPLES, rep.dim, generator=torch.Generator().manual_seed(PROBE_SEED), dtype=torch.float64)
    residual = equivariance_residual(layer, [rep], rep, group.sample(ELEMENTS, PROBE_SEED), [inputs])
    return {
        "parameters": sum(parameter.numel() for parameter in layer.parameters()),
        "seen_relmse": None,
        "ood_relmse": None,
        "ood_factor": None,
        "relative_residual": residual.relative,
        "off_commutant_initial": start,
        "off_commutant": off_commutant(layer.matrix(), d),
    }


def work(params: Mapping[str, Any]) -> float:
    """Epochs of a world model, the plane's and the MLP's the dearer ones; a single layer is next to nothing."""
    if "config" not in params:
        return 1.0
    dear = {(2, "vn"): 3.0, (2, "mlp"): 3.0, (3, "vn"): 1.0, (3, "mlp"): 2.0}[params["dim"], params["arm"]]
    return params["config"]["training"]["epochs"] * dear * (1.5 if params["optimizer"] == "muon" else 1.0)


def answer(rows: Sequence[Row]) -> str:
    """The worst residual over optimisers, before and after, beside the MLP's; and the layers' distances."""
    vn, mlp = select(rows, arm="vn"), select(rows, arm="mlp")
    worst, initial = max(values(vn, "relative_residual")), max(values(vn, "initial_residual"))
    times = max(row["relative_residual"] / row["float32_rounding"] for row in vn)
    other = Counter(row["verdict"] for row in vn if row["verdict"] != "equivariant")
    held = len(vn) - other.total()
    verdicts = ", ".join([f"{held} of {len(vn)} verdicts hold", *(f"{n} {verdict}" for verdict, n in other.items())])
    layers = [
        f"{name} {_median(rows, 'vn_layer', name)} against {_median(rows, 'dense_layer', name)}"
        for name in BUILT_IN["optimizer"]
    ]
    return (
        f"The VN's relative residual is at most {initial:.1e} at initialisation and {worst:.1e} after training under "
        f"any of {len(BUILT_IN['optimizer'])} optimisers, no more than {times:.2g} times what rounding alone moves the "
        f"same "
        f"network (float64: {max(values(vn, 'residual_float64')):.1e}; {verdicts}), the trained "
        f"MLP's at least {min(values(mlp, 'relative_residual')):.2g}; the median distance from the commutant "
        f"of a vector-neuron layer and of a dense layer started in it, under label noise: {', '.join(layers)}."
    )


def _median(rows: Sequence[Row], arm: str, optimizer: str) -> str:
    found = over_seeds(rows, "off_commutant", arm=arm, optimizer=optimizer)
    return f"{found.median:.1e}" if found else "–"


KIND = Kind(
    name="optimizer",
    question="Does the optimiser put the symmetry in, or take it out?",
    worlds=("paper",),
    settings=settings,
    cells=cells,
    compute=compute,
    answer=answer,
    work=work,
)
