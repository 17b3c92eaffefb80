"""Does augmentation replace the architecture? Coverage of the group in training against vector neurons without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equiwm.claims.ablation.arms import ARMS, Arm, arm_config, paper_arm, sized
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import column, largest_off_one, mlp_apart, of_each_seed, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import FLAT, NOT_FLAT, Statement, at_least, at_most
from equiwm.config import Config, load, parse
from equiwm.errors import TrainingError
from equiwm.figures.panels import QUANTITIES, draw_panels, frame_of, label_tables
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow, unknown_name

if TYPE_CHECKING:
    from equiwm.tables.table import Table

APART = 1e4
"""Times the VN's largest residual that every MLP's is at least."""
LEFT = 1e-3
"""Relative residual that full coverage leaves at least."""
PAPER = {"vn-field-2d": ("67", "1.06", "7.8e-2"), "vn-field-3d": ("951", "1.46", "5.1e-2")}
"""Preset -> OOD/seen without augmentation and at full coverage, and the residual left there."""
NETWORKS = {"vn": "VN", "mlp": "MLP"}


@dataclass(frozen=True, kw_only=True)
class AugmentationRow(AblationRow):
    """A row of `ablate augmentation`.

    Attributes:
        coverage: degrees of the arc, or radius of the ball, that the data are turned over; None is no augmentation.
        updates: of the training; None in studies of the velocity field by equiwm 0.1.
    """

    coverage: float | None
    updates: int | None = None

    @property
    def misfit(self) -> str | None:
        """A network that the kind does not have."""
        return unknown_name((self.arm, NETWORKS))

    @property
    def network(self) -> str:
        """As tables and figure call it."""
        return NETWORKS[self.arm]

    @property
    def covered(self) -> str:
        """The coverage in words."""
        return "none" if self.coverage is None else f"{self.coverage:g}"

    @property
    def label(self) -> str:
        """A row of the table."""
        return f"{self.network}, coverage {self.covered}"


def settings(scope: Scope) -> dict[str, Any]:
    """Coverage of the augmentation, data and length of the trainings.

    Of a world that turns its scenes anew the paper's (section "Bitter Lesson"): 256 scenes, 1,200 epochs of one batch;
    augmentation turns each scene 300 times, so that a network meets each turn four times. Of a simulator the presets'
    own but for data and updates. A coverage is an arc of the plane, of which the wedge of the data itself is [0, 90),
    or the radius of a ball in space.
    """
    anew = _turns_scenes(scope)
    arcs = [90, 180, 360] if scope.quick else [90, 135, 180, 270, 360]
    coverage = {2: arcs if anew else arcs[1:], 3: [90, 180] if scope.quick else [90, 135, 180]}
    chosen = {"coverage": {str(dim): coverage[dim] for dim in scope.dims}}
    if anew:
        size = {"scenes": 256, "copies": 100 if scope.quick else 300, "epochs": 400 if scope.quick else 1200}
        return {**chosen, **size, "test": 2000}
    return {
        **chosen,
        "transitions": 256 if scope.quick else 1000,
        "copies": 4 if scope.quick else 8,
        "updates": 120 if scope.quick else 1200,
        "test": 500 if scope.quick else 1000,
    }


def _turns_scenes(scope: Scope) -> bool:
    """Whether the world turns its scenes anew; else transitions that were collected are turned."""
    return load(scope.presets[scope.dims[0]]).world.turns_scenes


def cells(scope: Scope) -> list[Cell]:
    """For each dimension both arms on the wedge alone, then the MLP at each coverage."""
    given, found = settings(scope), []
    for dim in scope.dims:
        trainings: list[tuple[Arm, int | None]] = [(arm, None) for arm in ARMS]
        trainings += [("mlp", degrees) for degrees in given["coverage"][str(dim)]]
        for arm, degrees in trainings:
            copies = 1 if degrees is None else given["copies"]
            name = f"coverage={'none' if degrees is None else degrees}"
            params = {
                "world": scope.world,
                "dim": dim,
                "arm": arm,
                "cell": name,
                "coverage": degrees,
                "copies": copies,
                "config": _config(scope, dim, arm, degrees, copies, given).as_params(),
                "test": given["test"],
            }
            found += [Cell(f"dim={dim},{arm},{name},seed={seed}", {**params, "seed": seed}) for seed in scope.seeds]
    return found


def _config(scope: Scope, dim: int, arm: Arm, degrees: int | None, copies: int, given: Mapping[str, Any]) -> Config:
    preset = scope.presets[dim]
    if not _turns_scenes(scope):
        return sized(arm_config(preset, arm), given["transitions"] * copies, updates=given["updates"])
    world = [] if degrees is None else [f"world.coverage={degrees}"]
    scenes = given["scenes"]
    return paper_arm(preset, arm, world, scenes=scenes, copies=copies, steps=given["epochs"], batch=scenes)


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train one network on turned data and measure it; a row."""
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    config, seed = parse(params["config"]), params["seed"]
    try:
        if config.world.turns_scenes:
            from equiwm.claims.ablation.velocity import velocity_columns

            columns = yield from velocity_columns(config, seed=seed, copies=params["copies"], test=params["test"])
        else:
            from equiwm.claims.ablation.turned_worlds import turned_columns

            columns = yield from turned_columns(
                config, params["coverage"], seed=seed, copies=params["copies"], test=params["test"]
            )
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    own = {name: params[name] for name in ("arm", "cell", "dim", "seed", "coverage")}
    return {"rows": [AugmentationRow(**own, **columns, updates=config.training.updates).as_dict()]}


def work(params: Mapping[str, Any]) -> float:
    """As many updates for all; under Muon an MLP's are twice as dear."""
    return 2.0 if params["arm"] == "mlp" else 1.0


def _mlp(rows: Sequence[AugmentationRow], name: str) -> np.ndarray:
    """A column of the MLPs, from no augmentation to the widest."""
    return column(select(rows, arm="mlp"), name)


def _factor_without(rows: Sequence[AugmentationRow]) -> float:
    return float(_mlp(rows, "ood_factor")[0])


def _factor_at_most(rows: Sequence[AugmentationRow]) -> float:
    """OOD/seen at the widest coverage."""
    return float(_mlp(rows, "ood_factor")[-1])


def _left(rows: Sequence[AugmentationRow]) -> float:
    """The residual at the widest coverage."""
    return float(_mlp(rows, "relative_residual")[-1])


def statements(scope: Scope) -> list[Statement[AugmentationRow]]:
    """From no augmentation to the whole group, beside the VN without any."""
    lines: list[Statement[AugmentationRow]] = []
    for dim in scope.dims:
        ours = scope.presets[dim] not in PAPER
        without, full, left = PAPER.get(scope.presets[dim], ("–", "–", "–"))
        times, flat = ("–", "–") if ours else ("3e5", "0.00")
        vn, plain, whole, best = (
            f"{which}, {dim}D"
            for which in (
                "VN, no augmentation",
                "MLP, no augmentation",
                "MLP, full coverage",
                "MLP, best coverage",
            )
        )
        off = of_each_seed(dim, largest_off_one)
        first, last = of_each_seed(dim, _factor_without), of_each_seed(dim, _factor_at_most)
        residual, apart = of_each_seed(dim, _left), of_each_seed(dim, mlp_apart)
        lines += [
            Statement(vn, "|OOD / seen - 1|", flat, off, at_most(FLAT), ours),
            Statement(plain, "OOD / seen", without, first, at_least(NOT_FLAT), ours),
            Statement(whole, "OOD / seen", full, last, at_most(NOT_FLAT), ours),
            Statement(whole, "relative residual", left, residual, at_least(LEFT), ours),
            Statement(best, "residual over the VN's", times, apart, at_least(APART), ours),
        ]
    return lines


_WHOLE = "Where the coverage is the whole group there is no unseen orientation: OOD is then other turns over the group."
_BALL = "Seen is the wedge about z whatever the augmentation covers, OOD the whole group."
_LATENT = "relMSE is in each model's own latent: it shows flatness and is not compared between models."


def tables(data: StudyRows[AugmentationRow]) -> list[Table]:
    """One table a dimension, a row for each network and coverage."""
    latent = any(row.readouts for row in data.rows)  # a simulator's world model
    notes = (_BALL if latent and 3 in data.dims else _WHOLE, *[_LATENT] * latent)
    return label_tables(data, "training", data.world, notes=notes)


def figure(data: StudyRows[AugmentationRow], folder: Path) -> Path:
    """OOD/seen and residual over the coverage, the VN without augmentation as a line across."""
    quantities = {name: QUANTITIES[name] for name in ("ood_factor", "relative_residual")}
    frame = frame_of(data.rows, ("dim", "network", "covered", *quantities))
    return draw_panels(
        frame.rename(columns={"covered": "coverage"}),
        quantities,
        x="coverage",
        line="network",
        x_label="orientations covered by augmentation (degrees)",
        folder=folder,
        name="ablate_augmentation",
    )


KIND = AblationKind(
    name="augmentation",
    question="Does data augmentation replace the architecture?",
    presets=("vn-field-2d", "vn-field-3d", "vn-3d", "vn-2d"),
    row=AugmentationRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of),
    statements=statements,
    tables=tables,
    figure=figure,
    work=work,
)
