"""Learning curves: how many transitions of the wedge buy what, seen and across the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equiwm.claims.ablation.arms import ARMS, scope_arm, sized
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import largest_off_one, of_each_seed, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import FLAT, NOT_FLAT, Statement, above, at_least, at_most, below, ours
from equiwm.config import parse
from equiwm.errors import TrainingError
from equiwm.figures.panels import QUANTITIES, draw_panels, summary_text
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow, unknown_name
from equiwm.stats import ratio
from equiwm.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

SIZES, QUICK_SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048), (16, 128, 1024)
UPDATES, QUICK_UPDATES = 600, 100
EPOCHS, QUICK_EPOCHS = 150, 15
NETWORKS = {"vn": "VN", "mlp": "MLP"}
SCHEDULES = {"updates": "fixed updates", "epochs": "fixed epochs"}


@dataclass(frozen=True, kw_only=True)
class DataRow(AblationRow):
    """A row of `ablate data`.

    Attributes:
        transitions: N, of the wedge.
        fixed: what all N have in common, `updates` or `epochs`.
        updates: of the training.
    """

    transitions: int
    fixed: str
    updates: int

    @property
    def misfit(self) -> str | None:
        """A network or a schedule that the kind does not have."""
        return unknown_name((self.arm, NETWORKS), (self.fixed, SCHEDULES))


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
                "config": scope_arm(scope, dim, arm).as_params(),
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
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation.world_models import train_and_measure

    config, n = parse(params["config"]), params["transitions"]
    schedules = {
        "updates": sized(config, n, updates=params["updates"]),
        "epochs": sized(config, n, epochs=params["epochs"]),
    }
    measured: dict[int, dict[str, Any]] = {}  # where both come to the same training, it is one
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    own = {name: params[name] for name in ("arm", "dim", "seed", "transitions")}
    for schedule, of_size in schedules.items():
        updates = of_size.training.updates
        try:
            if updates in measured:
                columns = measured[updates]
            else:
                columns = yield from train_and_measure(of_size, seed=params["seed"])
        except TrainingError as error:
            failed.append(f"fixed {schedule}, seed {params['seed']}: {error}")
            continue
        measured[updates] = columns
        cell = f"transitions={n},fixed={schedule}"
        rows.append(DataRow(**own, cell=cell, **columns, fixed=schedule, updates=updates).as_dict())
    return {"rows": rows, "failed": failed}


def work(params: Mapping[str, Any]) -> float:
    """Updates of both trainings; an MLP's cost about twice a vector-neuron network's under Muon."""
    config, n = parse(params["config"]), params["transitions"]
    schedules = sized(config, n, updates=params["updates"]), sized(config, n, epochs=params["epochs"])
    return sum({schedule.training.updates for schedule in schedules}) * (2.0 if params["arm"] == "mlp" else 1.0)


def _curve(rows: Sequence[DataRow], arm: str) -> list[DataRow]:
    """Rows at fixed updates, from the fewest transitions to the most."""
    return sorted(select(rows, arm=arm, fixed="updates"), key=lambda row: row.transitions)


def _error(row: DataRow, side: str) -> float:
    """The first quality of a row, seen or across the group."""
    return float(getattr(next(iter(row.qualities.values())), side))


def _gain(rows: Sequence[DataRow]) -> float:
    """The MLP's seen error from the most transitions over that from the fewest."""
    curve = _curve(rows, "mlp")
    return ratio(_error(curve[-1], "seen"), _error(curve[0], "seen"))


def _reach(rows: Sequence[DataRow]) -> float:
    """The MLP's least error across the group over the VN's from the fewest transitions."""
    least = float(np.min([_error(row, "ood") for row in _curve(rows, "mlp")]))
    return ratio(least, _error(_curve(rows, "vn")[0], "ood"))


def _least_factor(rows: Sequence[DataRow]) -> float:
    return float(np.min([row.ood_factor for row in _curve(rows, "mlp")]))


def _flat(rows: Sequence[DataRow]) -> float:
    return largest_off_one(select(rows, fixed="updates"))


def statements(scope: Scope) -> list[Statement[DataRow]]:
    """At fixed updates: what data from the wedge buys inside it and across the group, and what it does not.

    The error is the first quality of a row (`AblationRow.qualities`).
    """
    lines: list[Statement[DataRow]] = []
    for dim in scope.dims:
        vn, mlp = f"VN, every size, {dim}D", f"MLP, {dim}D"
        lines += [
            ours(vn, "|OOD / seen - 1|", of_each_seed(dim, _flat), at_most(FLAT)),
            ours(mlp, "seen error, most data / fewest", of_each_seed(dim, _gain), below(1.0)),
            ours(mlp, "OOD / seen, least of all sizes", of_each_seed(dim, _least_factor), at_least(NOT_FLAT)),
            ours(mlp, "OOD error, best size / the VN's from the fewest", of_each_seed(dim, _reach), above(1.0)),
        ]
    return lines


_LATENT = (
    "relMSE and OOD / seen are in each model's own latent: they show flatness and are not compared between models."
)
_SPACE = "relMSE is of the next state, in the world's own quantities."
_SIDES = {"seen": "seen", "ood": "unseen", "action": "action alone"}


def _frame(rows: Sequence[DataRow]) -> pd.DataFrame:
    """A line a row, a column `NAME, SIDE` for each quality and side that it has."""
    import pandas as pd

    own = ("dim", "arm", "fixed", "transitions", "updates", "ood_factor", "relative_residual", "float32_rounding")
    return pd.DataFrame(
        {name: getattr(row, name) for name in own}
        | {f"{quality}, {side}": getattr(errors, side) for quality, errors in row.qualities.items() for side in _SIDES}
        for row in rows
    )


def tables(data: StudyRows[DataRow]) -> list[Table]:
    """For each dimension and schedule one table, a row for each network and number of transitions."""
    found = []
    for dim in data.dims:
        for schedule, words in SCHEDULES.items():
            rows = select(data.rows, dim=dim, fixed=schedule)
            latent = any(row.readouts for row in rows)
            columns: dict[str, str] = {}
            for quality in reversed(rows[0].qualities if rows else ()):
                sides = {f"{quality}, seen": f"{quality}, seen", f"{quality}, ood": "unseen"}
                columns = sides | ({f"{quality}, action": "action alone"} if latent else {}) | columns
            columns |= {name: QUANTITIES[name] for name in ("ood_factor", "relative_residual", "float32_rounding")}
            frame, cells = _frame(rows), []
            for arm, network in NETWORKS.items():
                for n in sorted({row.transitions for row in rows}):
                    part = frame[(frame["arm"] == arm) & (frame["transitions"] == n)]
                    updates = "–" if part.empty else f"{part['updates'].iloc[0]:,}"
                    cells.append((network, f"{n:,}", updates, *(summary_text(part[name]) for name in columns)))
            title = f"{data.name}: {data.world} in {dim}D, {words}"
            heading = ("network", "transitions", "updates", *columns.values())
            found.append(Table(title, heading, cells, (_LATENT if latent else _SPACE,)))
    return found


def figure(data: StudyRows[DataRow], folder: Path) -> Path:
    """Error over the number of transitions, a panel for each quality and schedule, a line for each network and side."""
    import pandas as pd

    lines = [
        {"dim": row.dim, "network": f"{NETWORKS[row.arm]}, {_SIDES[side]}", "transitions": row.transitions}
        | {f"{name}, {SCHEDULES[row.fixed]}": getattr(errors, side) for name, errors in row.qualities.items()}
        for row in data.rows
        for side in ("seen", "ood")
    ]
    names = dict.fromkeys(name for row in data.rows for name in row.qualities)
    quantities = [f"{name}, {words}" for name in names for words in SCHEDULES.values()]
    return draw_panels(
        pd.DataFrame(lines, columns=["dim", "network", "transitions", *quantities]),
        {quantity: quantity for quantity in quantities},
        x="transitions",
        line="network",
        x_label="training transitions",
        folder=folder,
        name="ablate_data",
    )


KIND = AblationKind(
    name="data",
    question="How much does data from a wedge of orientations buy inside it, and across the group?",
    presets=("vn-3d", "vn-2d", "vn-field-2d", "vn-field-3d"),
    row=DataRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of, lambda params: int(params["transitions"])),
    statements=statements,
    tables=tables,
    figure=figure,
    work=work,
    any_preset=True,
)
