"""Learning curves: how many transitions of the wedge buy what, seen and across the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from equiwm.claims.ablation.kind import Kind, Row, Scope
from equiwm.claims.ablation.readouts import quality_columns
from equiwm.claims.ablation.rows import over_seeds, select
from equiwm.claims.ablation.world_models import ARMS, arm_config, sized, train_and_measure
from equiwm.config import parse
from equiwm.errors import TrainingError
from equiwm.grid import Cell

SIZES, QUICK_SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048), (16, 128, 1024)
UPDATES, QUICK_UPDATES = 600, 100
EPOCHS, QUICK_EPOCHS = 150, 15


def settings(scope: Scope) -> dict[str, Any]:
    """Numbers of transitions, and how long each training is under either schedule."""
    return {
        "transitions": list(QUICK_SIZES if scope.quick else SIZES),
        "updates": QUICK_UPDATES if scope.quick else UPDATES,
        "epochs": QUICK_EPOCHS if scope.quick else EPOCHS,
    }


def cells(scope: Scope) -> list[Cell]:
    """One cell a number of transitions, arm and seed: both schedules, on the same data."""
    chosen = settings(scope)
    return [
        Cell(
            f"dim={dim},{arm},transitions={n},seed={seed}",
            {
                "dim": dim,
                "arm": arm,
                "seed": seed,
                "transitions": n,
                "config": arm_config(scope.world, dim, arm).as_dict(),
                "updates": chosen["updates"],
                "epochs": chosen["epochs"],
            },
        )
        for dim in scope.dims
        for arm in ARMS
        for n in chosen["transitions"]
        for seed in scope.seeds
    ]


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train on the first n transitions of the seed, for fixed updates and for fixed epochs; a row each."""
    config, n = parse(params["config"]), params["transitions"]
    schedules = {
        "updates": sized(config, n, updates=params["updates"]),
        "epochs": sized(config, n, epochs=params["epochs"]),
    }
    measured: dict[int, dict[str, Any]] = {}  # where both come to the same training, it is one
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    for schedule, of_size in schedules.items():
        updates = of_size.training.updates
        try:
            columns = measured.get(updates) or train_and_measure(of_size, seed=params["seed"])
        except TrainingError as error:
            failed.append(f"fixed {schedule}, seed {params['seed']}: {error}")
            continue
        measured[updates] = columns
        row = {"arm": params["arm"], "cell": f"transitions={n},fixed={schedule}", "dim": params["dim"]}
        own = {"transitions": n, "fixed": schedule, "updates": updates}
        rows.append({**row, "seed": params["seed"], **columns, **own})
    return {"rows": rows, "failed": failed}


def work(params: Mapping[str, Any]) -> float:
    """Updates of both trainings; an MLP's cost about twice a vector-neuron network's under Muon."""
    config, n = parse(params["config"]), params["transitions"]
    schedules = sized(config, n, updates=params["updates"]), sized(config, n, epochs=params["epochs"])
    return sum({schedule.training.updates for schedule in schedules}) * (2.0 if params["arm"] == "mlp" else 1.0)


def answer(rows: Sequence[Row]) -> str:
    """How the MLP's error across the group develops with data, and how many transitions take it to the VN's."""
    sentences = []
    for dim in sorted({row["dim"] for row in rows}):
        fixed = select(rows, dim=dim, fixed="updates")
        sizes = sorted({row["transitions"] for row in fixed})
        what, (seen, ood, _) = next(iter(quality_columns(fixed[0]).items()))

        def median(column: str, arm: str, n: int, part: Sequence[Row] = fixed) -> float:
            found = over_seeds(part, column, arm=arm, transitions=n)
            return found.median if found else float("nan")

        least, most = sizes[0], sizes[-1]
        factors = [median("ood_factor", "mlp", n) for n in sizes]
        reached = [n for n in sizes if median(ood, "mlp", n) <= median(ood, "vn", least)]
        inside = [n for n in sizes if median(seen, "mlp", n) < median(seen, "vn", n)]
        flat = max(abs(row["ood_factor"] - 1.0) for row in fixed if row["arm"] == "vn")
        reach = (
            f"the MLP needs {reached[0]} to reach what the VN has from {least}"
            if reached
            else f"no number of them takes the MLP to what the VN has from {least}"
        )
        seeds = len({row["seed"] for row in fixed})
        ends = {arm: f"{median(ood, arm, least):.3g} and {median(ood, arm, most):.3g}" for arm in ARMS}
        sentences.append(
            f"{dim}D, medians of {seeds} seeds at fixed updates: across the group the {what} from {least} and from "
            f"{most} transitions of the wedge is {ends['vn']} (VN), {ends['mlp']} (MLP), so {reach}; inside the wedge "
            f"the MLP is the better one at {len(inside)} of {len(sizes)} sizes; its OOD factor goes from "
            f"{factors[0]:.3g} to {factors[-1]:.3g}, the VN's is 1 to within {flat:.0e}"
        )
    return "; ".join(sentences) + "."


KIND = Kind(
    name="data",
    question="How much does data from a wedge of orientations buy inside it, and across the group?",
    worlds=("cloud", "pusht", "field"),
    settings=settings,
    cells=cells,
    compute=compute,
    answer=answer,
    work=work,
)
