"""The optimiser: the symmetry is a property of the layers at any weights, so it survives whatever trains them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equiwm.claims.ablation.arms import ARMS, arm_config, sized, with_optimizer
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import column, of_each_seed, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.residual.result import holds
from equiwm.claims.statement import Statement, at_least, at_most, ours
from equiwm.config import parse
from equiwm.errors import TrainingError
from equiwm.figures.panels import draw_panels, frame_of, summary_text
from equiwm.grid import Cell
from equiwm.locate import BUILT_IN
from equiwm.results.ablation import AblationRow
from equiwm.results.result import Real
from equiwm.tables.table import Table

TRANSITIONS, QUICK_TRANSITIONS = 1500, 384
EPOCHS, QUICK_EPOCHS = 60, 20
ELEMENTS, QUICK_ELEMENTS = 64, 4
STEPS, QUICK_STEPS = 2000, 500
NETWORKS = {"vn": "VN", "mlp": "MLP"}
LAYERS = {"vn_layer": "vector-neuron layer", "dense_layer": "dense layer"}
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
"""Of the VN's relative residuals, as verify-equivariance has it."""
BROKEN = 1e-2
"""An ordinary network's residual is at least this."""
INSIDE, OUTSIDE = 1e-12, 1e-3
"""Distance from the commutant of a layer that cannot leave it, in float64, and of one that has left it."""


@dataclass(frozen=True, kw_only=True)
class OptimizerAblationRow(AblationRow):
    """A row of `ablate optimizer`: of a world model, or of a single layer.

    Attributes:
        initial_residual: the world model's relative residual before training.
        residual_float64: after it, in float64.
        loss_ratio: loss of the last epoch over that of the first.
        weights_moved: |W - W0| / |W0|.
        control: residual of the network that has to fail.
        verdict: of verify-equivariance.
        off_commutant_initial: the layer's distance from the commutant before training.
        off_commutant: after it.
        optimizer: what trained it.
    """

    initial_residual: Real | None = None
    residual_float64: Real | None = None
    loss_ratio: Real | None = None
    weights_moved: Real | None = None
    control: Real | None = None
    verdict: str | None = None
    off_commutant_initial: Real | None = None
    off_commutant: Real | None = None
    optimizer: str


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
                    config = with_optimizer(arm_config(scope.presets[dim], arm), name)
                    config = sized(config, chosen["transitions"], epochs=chosen["epochs"])
                    own |= {"config": config.as_params(), "elements": chosen["elements"]}
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
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation import optimized

    seed, name = params["seed"], params["optimizer"]
    try:
        if params["arm"] in LAYERS:
            columns = optimized.layer_columns(params["arm"], name, params["dim"], steps=params["steps"], seed=seed)
        else:
            config = parse(params["config"])
            columns = yield from optimized.model_columns_under(config, elements=params["elements"], seed=seed)
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    own = {key: params[key] for key in ("arm", "dim", "seed", "optimizer")}
    return {"rows": [OptimizerAblationRow(**own, cell=f"optimizer={name}", **columns).as_dict()]}


def work(params: Mapping[str, Any]) -> float:
    """Epochs of a world model, the plane's and the MLP's the dearer ones; a single layer is next to nothing."""
    if "config" not in params:
        return 1.0
    dear = {(2, "vn"): 3.0, (2, "mlp"): 3.0, (3, "vn"): 1.0, (3, "mlp"): 2.0}[params["dim"], params["arm"]]
    return float(params["config"]["training"]["epochs"]) * dear * (1.5 if params["optimizer"] == "muon" else 1.0)


def _extreme(
    arm: str, name: str, extreme: Callable[[np.ndarray], Any]
) -> Callable[[Sequence[OptimizerAblationRow]], float]:
    """Reads the largest or smallest of a column over the optimisers."""
    return lambda rows: float(extreme(column(select(rows, arm=arm), name)))


def _equivariant(rows: Sequence[OptimizerAblationRow]) -> float:
    """Share of the VN's verdicts that say that the symmetry holds."""
    vn = select(rows, arm="vn")
    if not vn:
        raise ValueError("no verdicts")
    return sum(row.verdict is not None and holds(row.verdict) for row in vn) / len(vn)


def statements(scope: Scope) -> list[Statement[OptimizerAblationRow]]:
    """Under every optimiser: the VN's residual, the MLP's, and what label noise does to a layer."""
    lines: list[Statement[OptimizerAblationRow]] = []
    for dim in scope.dims:
        vn, mlp = f"VN, any optimiser, {dim}D", f"MLP, any optimiser, {dim}D"
        vn_layer, dense = (f"{words}, any optimiser, {dim}D" for words in LAYERS.values())
        trained, initial, double = (
            of_each_seed(dim, _extreme("vn", name, np.max))
            for name in ("relative_residual", "initial_residual", "residual_float64")
        )
        broken = of_each_seed(dim, _extreme("mlp", "relative_residual", np.min))
        stays = of_each_seed(dim, _extreme("vn_layer", "off_commutant", np.max))
        leaves = of_each_seed(dim, _extreme("dense_layer", "off_commutant", np.min))
        distance = "distance from the commutant"
        lines += [
            ours(vn, "relative residual, initial", initial, at_most(TOLERANCE["float32"])),
            ours(vn, "relative residual, trained", trained, at_most(TOLERANCE["float32"])),
            ours(vn, "relative residual, trained, float64", double, at_most(TOLERANCE["float64"])),
            ours(vn, "share of verdicts that are equivariant", of_each_seed(dim, _equivariant), at_least(1.0)),
            ours(mlp, "relative residual, trained", broken, at_least(BROKEN)),
            ours(vn_layer, f"{distance}, largest", stays, at_most(INSIDE)),
            ours(dense, f"{distance}, smallest", leaves, at_least(OUTSIDE)),
        ]
    return lines


_COLUMNS = {
    "initial_residual": "residual, initial",
    "relative_residual": "after training",
    "float32_rounding": "float32 rounding",
    "residual_float64": "float64",
    "loss_ratio": "loss last / first",
    "weights_moved": "moved",
    "control": "control (has to fail)",
    "ood_factor": "OOD / seen",
}
_DISTANCE = "|W - P W| / |W|, P the average over the group; both layers start at the same matrix of the commutant."


def tables(data: StudyRows[OptimizerAblationRow]) -> list[Table]:
    """For each dimension the world models under every optimiser, then the single layers."""
    found = []
    for dim in data.dims:
        rows = select(data.rows, dim=dim)
        frame = frame_of(rows, ("arm", "optimizer", "off_commutant", *_COLUMNS)).astype(
            dict.fromkeys(("off_commutant", *_COLUMNS), float)
        )
        models, layers = [], []
        for optimizer, of_one in frame.groupby("optimizer", sort=False):
            for arm, network in NETWORKS.items():
                part = of_one[of_one["arm"] == arm]
                verdicts = Counter(row.verdict for row in select(rows, arm=arm, optimizer=optimizer))
                words = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or "–"
                models.append((str(optimizer), network, *(summary_text(part[name]) for name in _COLUMNS), words))
            distances = (summary_text(of_one[of_one["arm"] == arm]["off_commutant"]) for arm in LAYERS)
            layers.append((str(optimizer), *distances))
        columns = ("optimizer", "network", *_COLUMNS.values(), "verdicts")
        found.append(Table(f"{data.name}: relative composed residual, {dim}D", columns, models))
        title = f"{data.name}: distance from the commutant after training on noisy labels, {dim}D"
        found.append(Table(title, ("optimizer", *LAYERS.values()), layers, (_DISTANCE,)))
    return found


def figure(data: StudyRows[OptimizerAblationRow], folder: Path) -> Path:
    """Residual of the world models, and distance of the layers, over the optimisers.

    A distance below the rounding of float64 is drawn at it, for a log axis has no place for 0.
    """
    import pandas as pd

    lines: list[dict[str, Any]] = []
    for row in data.rows:
        common = {"dim": row.dim, "optimizer": row.optimizer}
        network = "equivariant" if row.arm in ("vn", "vn_layer") else "ordinary"
        trained = {**common, "network": f"{network}, trained"}
        if row.off_commutant is not None:
            lines.append({**trained, "distance": max(row.off_commutant, sys.float_info.epsilon)})
            continue
        lines.append({**trained, "residual": row.relative_residual})
        if row.arm == "vn":
            lines.append({**common, "network": "equivariant, initial", "residual": row.initial_residual})
    quantities = {"residual": "relative residual", "distance": "distance from the commutant"}
    return draw_panels(
        pd.DataFrame(lines, columns=["dim", "network", "optimizer", *quantities]),
        quantities,
        x="optimizer",
        line="network",
        x_label="optimiser",
        folder=folder,
        name="ablate_optimizer",
    )


KIND = AblationKind(
    name="optimizer",
    question="Does the optimiser put the symmetry in, or take it out?",
    presets=("vn-2d", "vn-3d"),
    together="paper",
    row=OptimizerAblationRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of),
    statements=statements,
    tables=tables,
    figure=figure,
    work=work,
)
