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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equiwm.claims.ablation.arms import Arm, arm_config, sized
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import column, largest_off_one, of_each_seed, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import FLAT, Statement, at_least, at_most, ours
from equiwm.config import parse
from equiwm.errors import TrainingError
from equiwm.figures.canvas import canvas, save
from equiwm.figures.medium import text_size
from equiwm.figures.panels import frame_of, grid_table
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow

if TYPE_CHECKING:
    import pandas as pd

    from equiwm.tables.table import Table

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
NETWORKS = {"vn": "VN", "vn_paper": "VN without cross products", "mlp": "MLP"}
SIDES = {"seen_relmse": "in distribution", "ood_relmse": "across the group"}
MAJORITY = 0.5
"""Share of the plane's conditions that a network has to win for the statement that it wins."""


@dataclass(frozen=True, kw_only=True)
class BreakingRow(AblationRow):
    """A row of `ablate breaking`.

    Attributes:
        breaking: strength g.
        transitions: N, of the wedge.
    """

    breaking: float
    transitions: int

    @property
    def g(self) -> str:
        """The strength as tables call it."""
        return f"{self.breaking:g}"

    @property
    def size(self) -> str:
        """The number of transitions as tables call it."""
        return f"N = {self.transitions}"


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
                    arm_config(scope.presets[dim], network, [*changes, f"world.breaking={g}"]),
                    n,
                    updates=chosen["updates"],
                ).as_params(),
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
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation.world_models import train_and_measure

    config, seed = parse(params["config"]), params["seed"]
    g, n = float(params["config"]["world"]["breaking"]), config.training.transitions
    try:
        columns = yield from train_and_measure(config, seed=seed)
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    own = {name: params[name] for name in ("arm", "dim", "seed")}
    cell = f"breaking={g:g},transitions={n}"
    return {"rows": [BreakingRow(**own, cell=cell, **columns, breaking=g, transitions=n).as_dict()]}


def paired(rows: Sequence[BreakingRow]) -> pd.DataFrame:
    """log10 of the MLP's error over another network's, paired by seed: positive where the other one has the lower.

    One line a condition (g, N), side, network and seed that both have.
    """
    import pandas as pd

    frame = frame_of(rows, ("arm", "breaking", "transitions", "seed", *SIDES))
    long = frame.melt(["arm", "breaking", "transitions", "seed"], list(SIDES), "side", "error")
    keys = ["side", "breaking", "transitions", "seed"]
    mlp = long[long["arm"] == "mlp"].set_index(keys)["error"].rename("mlp")
    own = long[long["arm"] != "mlp"].join(mlp, on=keys, how="inner").dropna()
    return own.assign(log_ratio=np.log10(own["mlp"] / own["error"])) if len(own) else pd.DataFrame()


def plane(rows: Sequence[BreakingRow]) -> pd.DataFrame:
    """For each network, side and condition the medians over seeds, and whether the winner is the same for all seeds."""
    import pandas as pd

    pairs = paired(rows)
    if pairs.empty:
        return pd.DataFrame()
    groups = pairs.groupby(["arm", "side", "breaking", "transitions"], sort=False)
    found = groups[["error", "mlp", "log_ratio"]].median()
    ends = groups["log_ratio"].agg(["min", "max"])
    return found.assign(every_seed=(ends["min"] > 0) | (ends["max"] < 0)).reset_index()


def _won(arm: str, side: str) -> Callable[[Sequence[BreakingRow]], float]:
    """Reads the share of the conditions in which a network has a lower error than the MLP; from one seed's rows."""

    def read(rows: Sequence[BreakingRow]) -> float:
        pairs = paired(rows)
        if pairs.empty:
            raise ValueError("no condition has both networks")
        own = pairs[(pairs["arm"] == arm) & (pairs["side"] == side)]
        return float((own["log_ratio"] > 0).mean())

    return read


def _exact(rows: Sequence[BreakingRow]) -> float:
    """The VN's largest |OOD/seen - 1| in the exact world."""
    return largest_off_one(select(rows, breaking=0.0))


def statements(scope: Scope) -> list[Statement[BreakingRow]]:
    """Flat where the world is exact; and which share of the conditions either network wins against the MLP."""
    lines: list[Statement[BreakingRow]] = []
    for dim in scope.dims:
        exact = of_each_seed(dim, _exact)
        lines.append(ours(f"VN, exact world, {dim}D", "|OOD / seen - 1|", exact, at_most(FLAT)))
        for side, words in SIDES.items():
            for arm, network in NETWORKS.items():
                if arm != "mlp":
                    won = of_each_seed(dim, _won(arm, side))
                    what = f"share of conditions won against the MLP, {words}"
                    lines.append(ours(f"{network}, {dim}D", what, won, at_least(MAJORITY)))
        strongest = of_each_seed(dim, _strongest)
        what = "OOD / seen at the strongest break, least"
        lines.append(ours(f"VN, broken world, {dim}D", what, strongest, at_least(1.0 + FLAT)))
    return lines


def _strongest(rows: Sequence[BreakingRow]) -> float:
    return float(column(select(rows, arm="vn", breaking=max(row.breaking for row in rows)), "ood_factor").min())


_RANGE = 2.0  # of the colours: a hundredfold


def tables(data: StudyRows[BreakingRow]) -> list[Table]:
    """For each network and side a grid: strengths of the breaking down, numbers of transitions across."""
    frame = frame_of(data.rows, ("dim", "arm", "g", "size", *SIDES))
    return [
        grid_table(
            f"{data.name}: {network}, relMSE of the next cloud {words}, {dim}D",
            frame[(frame["dim"] == dim) & (frame["arm"] == arm)],
            quantity,
            down="g",
            across="size",
        )
        for dim in data.dims
        for quantity, words in SIDES.items()
        for arm, network in NETWORKS.items()
    ]


def figure(data: StudyRows[BreakingRow], folder: Path) -> Path:
    """log10 of the MLP's error over the other network's in each condition, a panel for each network and side.

    Blue where the equivariant network has the lower error, orange where the MLP has; in brackets where not every seed
    says so.
    """
    from matplotlib.colors import LinearSegmentedColormap

    frame = plane(data.rows)
    frame["network"], frame["side"] = frame["arm"].map(NETWORKS), frame["side"].map(SIDES)
    colours = LinearSegmentedColormap.from_list("wins", ["#D55E00", "#ffffff", "#0072B2"])
    networks, sides = (list(dict.fromkeys(frame[key])) for key in ("network", "side"))
    with canvas(8.4, 3.3 * len(networks), style={"axes.grid": False}) as figure:
        panels = figure.subplots(len(networks), len(sides), squeeze=False)
        for row, network in enumerate(networks):
            for place, side in enumerate(sides):
                panel = panels[row, place]
                part = frame[(frame["network"] == network) & (frame["side"] == side)]
                grid = part.pivot(index="breaking", columns="transitions", values="log_ratio")
                agreed = part.pivot(index="breaking", columns="transitions", values="every_seed")
                image = panel.imshow(grid, cmap=colours, vmin=-_RANGE, vmax=_RANGE, origin="lower", aspect="auto")
                for y in range(len(grid)):
                    for x in range(len(grid.columns)):
                        text = f"{grid.iloc[y, x]:+.2f}"
                        panel.text(
                            x,
                            y,
                            text if agreed.iloc[y, x] else f"({text})",
                            ha="center",
                            va="center",
                            size=text_size(8),
                        )
                panel.set_xticks(range(len(grid.columns)), [str(n) for n in grid.columns])
                panel.set_yticks(range(len(grid)), [f"{g:g}" for g in grid.index])
                panel.set_title(f"{network}, {side}", fontsize=text_size(10))
                panel.set_xlabel("training transitions N")
                panel.set_ylabel("breaking g")
        figure.colorbar(image, ax=panels, label="log10 of the MLP's error over the network's", shrink=0.7)
        return save(figure, frame, folder, "ablate_breaking")


KIND = AblationKind(
    name="breaking",
    question="Where the world breaks the symmetry, who wins in distribution, and who across the group?",
    presets=("vn-3d",),
    row=BreakingRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of),
    statements=statements,
    tables=tables,
    figure=figure,
)
