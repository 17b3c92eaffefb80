"""Does augmentation replace the architecture? Coverage of the group in training against vector neurons without any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from equiwm.claims.ablation.field_cells import field_cell, field_cell_of, field_work
from equiwm.claims.ablation.kind import WEDGE, Kind, Row, Scope
from equiwm.claims.ablation.rows import above_rounding, select, summary
from equiwm.claims.ablation.turned_worlds import world_cell, world_cells, world_settings
from equiwm.grid import Cell
from equiwm.models.regressors import RegressorKind

NONE = "coverage=none"
APART = 1e4
"""How many times the VN's residual every MLP's has to be for the answer to be no."""


def field_settings(scope: Scope) -> dict[str, Any]:
    """Of the velocity field: coverage of the augmentation, 256 scenes, 1,200 epochs of one batch.

    Source: paper, section "Bitter Lesson".
    Augmentation turns each scene anew 300 times, so that a network meets each turn four times.
    """
    coverage = {2: [90, 180, 360], 3: [90, 180]} if scope.quick else {2: [90, 135, 180, 270, 360], 3: [90, 135, 180]}
    return {
        "coverage": {str(dim): coverage[dim] for dim in scope.dims},
        "scenes": 256,
        "copies": 100 if scope.quick else 300,
        "epochs": 400 if scope.quick else 1200,
        "test": 2000,
    }


def field_cells(scope: Scope) -> list[Cell]:
    """For each dimension the VN and the MLP on the wedge alone, then the MLP at each coverage."""
    given = field_settings(scope)
    common = {"scenes": given["scenes"], "batch": given["scenes"], "steps": given["epochs"], "test": given["test"]}
    found = []
    for dim in scope.dims:
        arms: tuple[RegressorKind, ...] = ("vn", "mlp")
        plain: dict[str, Any] = {"columns": {"coverage": None}, "coverage": WEDGE[dim], "dim": dim}
        found += [field_cell_of(arm, NONE, scope.seeds, model=arm, **plain, **common) for arm in arms]
        found += [
            field_cell_of(
                "mlp",
                f"coverage={degrees}",
                scope.seeds,
                model="mlp",
                dim=dim,
                columns={"coverage": degrees},
                coverage=degrees,
                copies=given["copies"],
                **common,
            )
            for degrees in given["coverage"][str(dim)]
        ]
    return found


def settings(scope: Scope) -> dict[str, Any]:
    """Those of the velocity field, or of the simulators."""
    return field_settings(scope) if scope.world == "field" else world_settings(scope)


def cells(scope: Scope) -> list[Cell]:
    """Those of the velocity field, or of the simulators."""
    return field_cells(scope) if scope.world == "field" else world_cells(scope)


def compute(params: dict[str, Any]) -> dict[str, Any]:
    """A cell of the velocity field, or of a simulator."""
    return world_cell(params) if "world" in params else field_cell(params)


def work(params: Mapping[str, Any]) -> float:
    """All cells of a simulator take as many updates, twice as long for an MLP under Muon."""
    return field_work(params) if "world" not in params else 1.0 + (params["arm"] == "mlp")


def answer(rows: Sequence[Row]) -> str:
    """From no augmentation to the whole group, beside the VN without any."""
    parts, least = [], math.inf
    for dim in sorted({row["dim"] for row in rows}):
        widest = select(rows, dim=dim, arm="mlp")[-1]["cell"]
        arms = {"vn": ("vn", NONE), "without": ("mlp", NONE), "full": ("mlp", widest)}
        ratio, residual = (
            {name: summary(rows, column, dim=dim, arm=arm, cell=cell) for name, (arm, cell) in arms.items()}
            for column in ("ood_factor", "relative_residual")
        )
        least = min(
            least, *(row["relative_residual"] / residual["vn"].high for row in select(rows, dim=dim, arm="mlp"))
        )
        parts.append(
            f"in {dim}D it takes the MLP's OOD/seen from {ratio['without'].median:.3g} to {ratio['full'].median:.3g} "
            f"and leaves a residual of {residual['full'].median:.2g} (VN without augmentation: "
            f"{ratio['vn'].median:.4f} and {residual['vn'].median:.1g})"
        )
    verdict = "No: it closes the gap in error, not in exactness" if least > APART else "The residuals meet"
    closest = f"no MLP comes closer than {least:.1e} times the VN's residual"
    return f"{verdict}: {'; '.join(parts)}; {closest}; {above_rounding(rows)}."


KIND = Kind(
    name="augmentation",
    question="Does data augmentation replace the architecture?",
    worlds=("field", "cloud", "pusht"),
    settings=settings,
    cells=cells,
    compute=compute,
    answer=answer,
    work=work,
)
