"""A broken world: who wins, in distribution and across the group, over strength of the breaking and amount of data.

The arms are forward models of clouds (`encoder: identity`), so that all are measured by one quantity, the relMSE of the
next centred cloud in the world's own lengths. A relMSE in a model's own latent compares nothing between models, and
a read-out would have to be fitted on the same few transitions, confined to the commutant for some of the arms.

`vn` has the cross products of `vn-3d`, with which the exact world is in its class; `vn_paper` has vector neurons alone,
which carry reflections as well, so that the torque a x r is out of its reach at any weights.

Scenes of the wedge are turned about the vertical alone, so that every training cloud stands upright: the vertical can
be read off the cloud, and an equivariant network fits the broken term in distribution. Across the group it goes on
flattening the cloud along the cloud's own vertical, not the lab's.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from equiwm.claims.ablation.kind import Kind, Row, Scope
from equiwm.claims.ablation.planes import PlaneCell, winners
from equiwm.claims.ablation.world_models import Arm, arm_config, sized, train_and_measure
from equiwm.config import parse
from equiwm.errors import TrainingError
from equiwm.grid import Cell

STRENGTHS, QUICK_STRENGTHS = (0.0, 0.1, 0.2, 0.4, 0.8), (0.0, 0.2, 0.8)
SIZES, QUICK_SIZES = (32, 64, 128, 256, 512), (32, 512)
UPDATES, QUICK_UPDATES = 600, 150
_FORWARD = (
    *("model.encoder=identity", "training.objective=forward"),
    *("training.optimizer=adamw", "training.lr=3e-3"),  # of the presets of forward models
)
ARMS: dict[str, tuple[Arm, tuple[str, ...]]] = {
    "vn": ("vn", _FORWARD),
    "vn_paper": ("vn", (*_FORWARD, "model.predictor=vn")),
    "mlp": ("mlp", _FORWARD),
}
"""Arms, as presets of the cloud with other settings."""


def settings(scope: Scope) -> dict[str, Any]:
    """Strengths, numbers of transitions, and updates of each training."""
    return {
        "breaking": list(QUICK_STRENGTHS if scope.quick else STRENGTHS),
        "transitions": list(QUICK_SIZES if scope.quick else SIZES),
        "updates": QUICK_UPDATES if scope.quick else UPDATES,
    }


def cells(scope: Scope) -> list[Cell]:
    """One cell a strength, number of transitions, arm and seed."""
    chosen = settings(scope)
    return [
        Cell(
            f"dim={dim},{arm},breaking={g:g},transitions={n},seed={seed}",
            {
                "dim": dim,
                "arm": arm,
                "seed": seed,
                "config": sized(
                    arm_config(scope.world, dim, network, [*changes, f"world.breaking={g}"]),
                    n,
                    updates=chosen["updates"],
                ).as_dict(),
            },
        )
        for dim in scope.dims
        for arm, (network, changes) in ARMS.items()
        for g in chosen["breaking"]
        for n in chosen["transitions"]
        for seed in scope.seeds
    ]


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train in the broken world; both test sets are its own outcomes, the unseen one stepped afresh."""
    config, seed = parse(params["config"]), params["seed"]
    g, n = params["config"]["world"]["breaking"], config.training.transitions
    row = {"arm": params["arm"], "cell": f"breaking={g:g},transitions={n}", "dim": params["dim"], "seed": seed}
    try:
        columns = train_and_measure(config, seed=seed)
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    return {"rows": [{**row, **columns, "breaking": g, "transitions": n}]}


def work(params: Mapping[str, Any]) -> float:
    """Every training has as many updates."""
    return 1.0


def answer(rows: Sequence[Row]) -> str:
    """How many cells of the plane each network wins against the MLP, on either side, and where across the group."""
    parts = []
    for arm, name in (("vn", "VN"), ("vn_paper", "VN without cross products")):
        seen, ood = (winners(rows, arm, column) for column in ("seen_relmse", "ood_relmse"))
        lost = sorted({cell.breaking for cell in ood if cell.log_ratio < 0})
        where = f", all but those at g = {', '.join(f'{g:g}' for g in lost)}" if lost else ""
        parts.append(
            f"the {name} has the lower error in {_won(seen)} cells in distribution and in {_won(ood)} across the group"
            + where
        )
    flat = [row["ood_factor"] for row in rows if row["arm"] == "vn" and row["breaking"] == 0.0]
    strongest = max(row["breaking"] for row in rows)
    broken = [row["ood_relmse"] for row in rows if row["arm"] == "vn" and row["breaking"] == strongest]
    off = max(abs(factor - 1.0) for factor in flat)
    return (
        f"Against the MLP, {'; '.join(parts)}; the VN's OOD factor is 1 to within {off:.0e} in the exact world, and "
        f"at g = {strongest:g} its error across the group is {statistics.median(broken):.3g} of the true displacement."
    )


def _won(cells: Sequence[PlaneCell]) -> str:
    """`24 of 25`, and how many of them for every seed."""
    won = [cell for cell in cells if cell.log_ratio > 0]
    return f"{len(won)} of {len(cells)} ({sum(cell.clear for cell in won)} for every seed)"


KIND = Kind(
    name="breaking",
    question="Where the world breaks the symmetry, who wins in distribution, and who across the group?",
    worlds=("cloud",),
    settings=settings,
    cells=cells,
    compute=compute,
    answer=answer,
    work=work,
)
