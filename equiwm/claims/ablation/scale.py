"""Does scale replace the architecture? Width and data of an MLP that has seen half of the group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equiwm.claims.ablation.field_cells import HALF, field_cell, field_cell_of, field_work, stacks
from equiwm.claims.ablation.kind import WEDGE, Kind, Row, Scope
from equiwm.claims.ablation.rows import above_rounding, select, summary
from equiwm.grid import Cell

CLOSED = 2.0
"""An OOD/seen below this, or a residual within this factor of the VN's, counts as a gap that scale has closed."""


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
    common = {key: given[key] for key in ("steps", "batch", "test")}
    found = []
    for dim in scope.dims:
        for scenes in given["scenes"]:
            columns = {"width": None, "scenes": scenes}
            vn = field_cell_of(
                "vn",
                f"scenes={scenes}",
                scope.seeds,
                model="vn",
                dim=dim,
                columns=columns,
                coverage=WEDGE[dim],
                scenes=scenes,
                **common,
            )
            found.append(vn)
        for width in given["width"]:
            for scenes in given["scenes"]:
                found += [
                    field_cell_of(
                        "mlp",
                        f"width={width},scenes={scenes}",
                        seeds,
                        model="mlp",
                        dim=dim,
                        columns={"width": width, "scenes": scenes},
                        coverage=given["coverage"][str(dim)],
                        width=width,
                        scenes=scenes,
                        **common,
                    )
                    for seeds in stacks(scope.seeds, width)
                ]
    return found


def answer(rows: Sequence[Row]) -> str:
    """The best cell of the MLP's grid by each measure, beside the VN's worst."""
    parts, closed = [], False
    for dim in sorted({row["dim"] for row in rows}):
        grid = list(dict.fromkeys(row["cell"] for row in select(rows, dim=dim, arm="mlp")))
        best = {
            column: min(summary(rows, column, dim=dim, arm="mlp", cell=cell).median for cell in grid)
            for column in ("ood_factor", "relative_residual")
        }
        vn_ratio = max(abs(row["ood_factor"] - 1.0) for row in select(rows, dim=dim, arm="vn"))
        vn_residual = summary(rows, "relative_residual", dim=dim, arm="vn").high
        closed = closed or best["ood_factor"] < CLOSED or best["relative_residual"] < CLOSED * vn_residual
        parts.append(
            f"in {dim}D no width and number of scenes gets the MLP below an OOD/seen of {best['ood_factor']:.3g} and a "
            f"residual of {best['relative_residual']:.2g}, while the VN, on the wedge alone, stays within "
            f"{vn_ratio:.0e} of 1 and at {vn_residual:.1g} in every cell"
        )
    return f"{'In part' if closed else 'No, scale closes neither gap'}: {'; '.join(parts)}; {above_rounding(rows)}."


KIND = Kind(
    name="scale",
    question="Does scale replace the architecture?",
    worlds=("field",),
    settings=settings,
    cells=cells,
    compute=field_cell,
    answer=answer,
    work=field_work,
)
