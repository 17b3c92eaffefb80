"""Does scale replace the architecture? Width and data of an MLP that has seen half of the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equiwm.claims.ablation.arms import paper_arm
from equiwm.claims.ablation.kind import HALF, AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import column, largest_off_one, mlp_apart, of_each_seed, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import FLAT, NOT_FLAT, Statement, at_least, at_most
from equiwm.config import parse
from equiwm.errors import TrainingError
from equiwm.figures.panels import QUANTITIES, draw_panels, frame_of, grid_tables
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow

if TYPE_CHECKING:
    from equiwm.tables.table import Table

APART = 1e4
"""Times the VN's largest residual that every MLP's is at least."""
LEFT = 0.01
"""Relative residual that the best MLP is left with at least."""
PAPER = {2: ("29.8", "0.34"), 3: ("41", "0.36")}
"""Of the best cell: OOD/seen and residual."""


@dataclass(frozen=True, kw_only=True)
class ScaleRow(AblationRow):
    """A row of `ablate scale`.

    Attributes:
        width: of the MLP's hidden layers; None for the VN, which has its own.
        scenes: training scenes.
    """

    width: int | None
    scenes: int

    @property
    def network(self) -> str:
        """As tables and figure call it."""
        return "VN, wedge alone" if self.arm == "vn" else f"MLP, width {self.width}"


def settings(scope: Scope) -> dict[str, Any]:
    """Paper, section "Bitter Lesson": width x scenes, 2,000 steps of 256, coverage [0, 180) or a ball of 90 degrees."""
    return {
        "coverage": {str(dim): HALF[dim] for dim in scope.dims},
        "width": [64, 256] if scope.quick else [64, 256, 1024],
        "scenes": [256, 1024] if scope.quick else [256, 1024, 4096],
        "steps": 500 if scope.quick else 2000,
        "batch": 256,
        "test": 2000,
    }


def cells(scope: Scope) -> list[Cell]:
    """For each dimension the VN on the wedge alone for each number of scenes, then the MLPs, width by width."""
    given = settings(scope)
    found = []
    for dim in scope.dims:
        half = [f"world.coverage={given['coverage'][str(dim)]}"]
        networks = [("vn", None), *(("mlp", width) for width in given["width"])]
        for arm, width in networks:
            for scenes in given["scenes"]:
                name = f"scenes={scenes}" if width is None else f"width={width},scenes={scenes}"
                config = paper_arm(
                    scope.presets[dim],
                    "vn" if arm == "vn" else "mlp",
                    [] if arm == "vn" else half,
                    scenes=scenes,
                    steps=given["steps"],
                    batch=given["batch"],
                    width=width,
                )
                params = {"dim": dim, "arm": arm, "cell": name, "width": width, "scenes": scenes}
                params |= {"config": config.as_params(), "test": given["test"]}
                found += [Cell(f"dim={dim},{arm},{name},seed={seed}", {**params, "seed": seed}) for seed in scope.seeds]
    return found


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train one network and measure it; a row."""
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation.velocity import velocity_columns

    seed = params["seed"]
    try:
        columns = yield from velocity_columns(parse(params["config"]), seed=seed, test=params["test"])
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    own = {name: params[name] for name in ("arm", "cell", "dim", "seed", "width", "scenes")}
    return {"rows": [ScaleRow(**own, **columns).as_dict()]}


def work(params: Mapping[str, Any]) -> float:
    """Multiplications of the hidden layer, and what an update costs at any width."""
    return float(params["config"]["training"]["epochs"]) * (1.0 + ((params["width"] or 64) / 256) ** 2)


def _factor(rows: Sequence[ScaleRow]) -> float:
    """The MLP's least OOD/seen."""
    return float(column(select(rows, arm="mlp"), "ood_factor").min())


def _left(rows: Sequence[ScaleRow]) -> float:
    """The MLP's least residual."""
    return float(column(select(rows, arm="mlp"), "relative_residual").min())


def statements(scope: Scope) -> list[Statement[ScaleRow]]:
    """The best width and number of scenes, by each measure, beside the VN's worst."""
    lines: list[Statement[ScaleRow]] = []
    for dim in scope.dims:
        ratio, residual = PAPER[dim]
        vn, best = f"VN, on the wedge, {dim}D", f"MLP, best cell, {dim}D"
        off = of_each_seed(dim, largest_off_one)
        factor, left, apart = of_each_seed(dim, _factor), of_each_seed(dim, _left), of_each_seed(dim, mlp_apart)
        lines += [
            Statement(vn, "|OOD / seen - 1|", "0.00", off, at_most(FLAT)),
            Statement(best, "OOD / seen", ratio, factor, at_least(NOT_FLAT)),
            Statement(best, "relative residual", residual, left, at_least(LEFT)),
            Statement(best, "residual over the VN's", "1e6", apart, at_least(APART)),
        ]
    return lines


_SHOWN = ("ood_factor", "relative_residual", "float32_rounding", "seen_relmse")


def tables(data: StudyRows[ScaleRow]) -> list[Table]:
    """For each dimension a grid of OOD/seen, of residuals, of what rounding alone does, and of seen errors."""
    return grid_tables(data, {name: QUANTITIES[name] for name in _SHOWN}, down="network", across="scenes")


def figure(data: StudyRows[ScaleRow], folder: Path) -> Path:
    """OOD/seen and residual over the number of scenes, a line a width."""
    quantities = {name: QUANTITIES[name] for name in _SHOWN[:2]}
    return draw_panels(
        frame_of(data.rows, ("dim", "network", "scenes", *quantities)),
        quantities,
        x="scenes",
        line="network",
        x_label="training scenes",
        folder=folder,
        name="ablate_scale",
    )


KIND = AblationKind(
    name="scale",
    question="Does scale replace the architecture?",
    presets=("vn-field-2d", "vn-field-3d"),
    row=ScaleRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of),
    statements=statements,
    tables=tables,
    figure=figure,
    work=work,
)
