"""Data whose stem points into one quadrant only: who then solves gym-pusht's task, at every start and goal?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from equiwm.claims.ablation.arms import arm_config, sized
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import column, largest_off_one, of_each_seed, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import FLAT, Statement, at_least, at_most, ours
from equiwm.config import load, parse
from equiwm.errors import TrainingError
from equiwm.figures.canvas import COLOURS, MARKERS, canvas, legend_below, save
from equiwm.figures.medium import text_size
from equiwm.figures.panels import frame_of, label_tables
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow, unknown_name
from equiwm.results.result import Real
from equiwm.tables.table import Table

PRESET = "vn-2d-arena"
TASK = "standard"
SIZES, QUICK_SIZES = (1000, 3000, 10_000, 20_000, 100_000), (1000,)
UPDATES, QUICK_UPDATES = 4700, 400
"""As many for all sizes; 4,700 are those of the preset."""
TASKS, QUICK_TASKS = 16, 2
COPIES = 4
"""Turns of each transition over the whole circle, of the augmented arm."""
SOLVED, NOT_SOLVED = 0.85, 0.10


@dataclass(frozen=True)
class Contender:
    """One network of the study.

    Attributes:
        name: in words.
        side: the preset, or its baseline.
        turned: whether its data are turned over the circle.
        canonical: whether it sees everything in the frame of the block, and its output is turned back.
    """

    name: str
    side: Literal["vn", "mlp"]
    turned: bool = False
    canonical: bool = False


CONTENDERS = {
    "vn": Contender("VN", "vn"),
    "mlp": Contender("MLP", "mlp"),
    "augmented": Contender("MLP, augmented", "mlp", turned=True),
    "canonical": Contender("MLP in the block's frame", "mlp", canonical=True),
}


@dataclass(frozen=True, kw_only=True)
class QuadrantRow(AblationRow):
    """A row of `ablate quadrant`.

    Attributes:
        transitions: N, whose stem points into [0, 90) degrees.
        updates: of the training.
        success: share of the episodes with coverage > 0.95, starts and goal anywhere.
        mean_max_reward: mean of the largest reward of an episode.
        episodes: episodes.
    """

    transitions: int
    updates: int
    success: Real
    mean_max_reward: Real
    episodes: int

    @property
    def label(self) -> str:
        """A row of the table."""
        return f"{CONTENDERS[self.arm].name}, {self.transitions:,} transitions"

    @property
    def misfit(self) -> str | None:
        """A network that the kind does not have."""
        return unknown_name((self.arm, CONTENDERS))


def settings(scope: Scope) -> dict[str, Any]:
    """Numbers of transitions, length of the trainings, and episodes."""
    return {
        "transitions": list(QUICK_SIZES if scope.quick else SIZES),
        "updates": QUICK_UPDATES if scope.quick else UPDATES,
        "tasks": QUICK_TASKS if scope.quick else TASKS,
        "copies": COPIES,
        "wedge": [0.0, 90.0],
    }


def cells(scope: Scope) -> list[Cell]:
    """One cell a network, number of transitions and seed."""
    chosen, found = settings(scope), []
    for dim in scope.dims:
        for arm, contender in CONTENDERS.items():
            asked = [f"world.wedge={chosen['wedge']}"]
            if contender.canonical:
                frame = list(load(scope.presets[dim]).world.frame)
                asked += ["model.predictor=canonical", f"model.frame={frame}"]
            config = arm_config(scope.presets[dim], contender.side, asked)
            copies = chosen["copies"] if contender.turned else 1
            for n in chosen["transitions"]:
                params = {
                    **{"dim": dim, "arm": arm, "transitions": n, "copies": copies, "tasks": chosen["tasks"]},
                    "config": sized(config, n * copies, updates=chosen["updates"]).as_params(),
                }
                found += [
                    Cell(f"dim={dim},{arm},transitions={n},seed={seed}", {**params, "seed": seed})
                    for seed in scope.seeds
                ]
    return found


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train one network on the quadrant, measure it, and let it play; a row."""
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation.played import played
    from equiwm.claims.ablation.turned_worlds import turned
    from equiwm.claims.ablation.world_models import model_columns, train_model
    from equiwm.worlds.factory import build_world

    config, n, seed, copies = parse(params["config"]), params["transitions"], params["seed"], params["copies"]
    world = build_world(config.world)
    data = world.transitions(n, seed=seed)
    try:
        shown = data if copies == 1 else turned(data, world, 360.0, copies, seed)
        model = yield from train_model(config, shown, seed=seed)
    except TrainingError as error:
        return {"rows": [], "failed": [f"{params['arm']}, {n} transitions, seed {seed}: {error}"]}
    columns = model_columns(model, world, data)  # in float32: before it is cast to play
    columns |= played(model, world, config.planning, TASK, tasks=params["tasks"])
    row = QuadrantRow(
        **{name: params[name] for name in ("arm", "dim", "seed", "transitions")},
        cell=f"transitions={n}",
        updates=config.training.updates,
        **columns,
        episodes=params["tasks"],
    )
    return {"rows": [row.as_dict()]}


def _at_most_data(rows: Sequence[QuadrantRow], arm: str) -> float:
    """Success of an arm on 20,000 transitions, or on the most there are."""
    mine = select(rows, arm=arm)
    sizes = sorted({row.transitions for row in mine})
    asked = 20_000 if 20_000 in sizes else sizes[-1]
    return float(column(select(mine, transitions=asked), "success")[0])


def _vn(rows: Sequence[QuadrantRow]) -> float:
    return _at_most_data(rows, "vn")


def _mlp(rows: Sequence[QuadrantRow]) -> float:
    return _at_most_data(rows, "mlp")


def statements(scope: Scope) -> list[Statement[QuadrantRow]]:
    """The equivariant network solves the task everywhere, the ordinary one does not; the others are in the table."""
    lines: list[Statement[QuadrantRow]] = []
    for dim in scope.dims:
        lines += [
            ours("VN, one quadrant of data", "success anywhere", of_each_seed(dim, _vn), at_least(SOLVED)),
            ours("MLP, one quadrant of data", "success anywhere", of_each_seed(dim, _mlp), at_most(NOT_SOLVED)),
            ours("VN", "|OOD / seen - 1|", of_each_seed(dim, largest_off_one), at_most(FLAT)),
        ]
    return lines


APART = 1.035
"""Lines are drawn so many times apart, for the ranges of several end at 1."""
QUANTITIES = {"success": "success", "mean_max_reward": "mean max reward", "ood_factor": "OOD / seen"}


def tables(data: StudyRows[QuadrantRow]) -> list[Table]:
    """A row for each network and number of transitions."""
    notes = (
        "Success: coverage > 0.95 within 300 steps, gym-pusht's own resets and goal. Augmented: each transition "
        f"{COPIES} times, turned over the whole circle, as many updates.",
    )
    return label_tables(data, "training", data.world, QUANTITIES, notes=notes)


def figure(data: StudyRows[QuadrantRow], folder: Path) -> Path:
    """Success over the number of transitions, a line for each network: medians over seeds with their range."""
    with canvas(5.2, 3.6) as drawing:
        axes = drawing.subplots()
        for index, (arm, contender) in enumerate(CONTENDERS.items()):
            by_size = frame_of(select(data.rows, arm=arm), ("transitions", "success")).groupby("transitions").success
            middle, low, high = by_size.median(), by_size.min(), by_size.max()
            spread = np.array([middle - low, high - middle])
            axes.errorbar(
                middle.index.to_numpy() * APART ** (index - (len(CONTENDERS) - 1) / 2),
                middle.to_numpy(),
                spread,
                label=contender.name,
                color=COLOURS[index],
                marker=MARKERS[index],
                markersize=4.0,
                capsize=2.5,
            )
        axes.set_xscale("log")
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("training transitions, stem in one quadrant")
        axes.set_title("success at every start and goal", fontsize=text_size(10))
        legend_below(drawing, axes)
        columns = ("arm", "seed", "transitions", "success", "mean_max_reward")
        return save(drawing, frame_of(data.rows, columns), folder, "ablate_quadrant")


def work(params: Mapping[str, Any]) -> float:
    """Trainings are alike; a network that solves nothing plays to the end of every episode."""
    return 1.0 if params["arm"] == "vn" else 2.0


KIND = AblationKind(
    name="quadrant",
    question="With data from one quadrant only, who solves gym-pusht's task at every start and goal?",
    presets=(PRESET,),
    row=QuadrantRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of),
    statements=statements,
    tables=tables,
    figure=figure,
    work=work,
)
