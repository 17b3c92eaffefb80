"""Is a soft symmetry enough? Residual pathway priors between a hard VN and a free MLP, in worlds broken by g."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from equiwm.claims.ablation.field_cells import HALF, field_cell, field_cell_of, field_work
from equiwm.claims.ablation.kind import Kind, Row, Scope
from equiwm.claims.ablation.rows import above_rounding, ladder, select, summary
from equiwm.grid import Cell
from equiwm.models.regressors import RegressorKind


def settings(scope: Scope) -> dict[str, Any]:
    """Paper, section "Bitter Lesson": beta x g, 1,024 scenes, 2,000 steps of 256, width 256."""
    return {
        "coverage": {str(dim): HALF[dim] for dim in scope.dims},
        "beta": [1.0, 1e-2, 1e-4],
        "breaking": [0.0, 0.4] if scope.quick else [0.0, 0.2, 0.4, 0.8],
        "scenes": 1024,
        "steps": 300 if scope.quick else 2000,
        "batch": 256,
        "test": 2000,
    }


def cells(scope: Scope) -> list[Cell]:
    """For each dimension and g: the hard VN, the soft networks with beta descending, the free MLP."""
    given = settings(scope)
    common = {key: given[key] for key in ("scenes", "steps", "batch", "test")}
    found = []
    for dim in scope.dims:
        for breaking in given["breaking"]:
            arms: list[tuple[RegressorKind, float | None]] = [
                ("vn", None),
                *(("soft", beta) for beta in given["beta"]),
                ("mlp", None),
            ]
            for arm, beta in arms:
                cell = field_cell_of(
                    arm,
                    f"g={breaking:g}" + ("" if beta is None else f",beta={beta:g}"),
                    scope.seeds,
                    model=arm,
                    dim=dim,
                    columns={"beta": beta, "breaking": breaking, "free_fraction": {"vn": 0.0, "mlp": 1.0}.get(arm)},
                    coverage=given["coverage"][str(dim)],
                    breaking=breaking,
                    penalty=beta or 0.0,
                    **common,
                )
                found.append(cell)
    return found


def answer(rows: Sequence[Row]) -> str:
    """What softness buys in fit, what it costs in OOD/seen, and whether the residual survives any of it."""
    parts: list[str] = []
    ladders: dict[str, list[list[float]]] = {"ood_factor": [], "relative_residual": []}
    for dim in sorted({row["dim"] for row in rows}):
        strengths = sorted({row["breaking"] for row in select(rows, dim=dim)})
        for column, found in ladders.items():
            found += [ladder(rows, column, dim, g) for g in strengths]
        fit = ladder(rows, "seen_relmse", dim, strengths[-1])
        ratio = ladder(rows, "ood_factor", dim, strengths[-1])
        floor = summary(rows, "relative_residual", dim=dim, arm="vn", breaking=strengths[0]).high
        soft = min(row["relative_residual"] for row in select(rows, dim=dim, arm="soft", breaking=strengths[0]))
        parts.append(
            f"in {dim}D at g = {strengths[-1]:g} the seen error goes from {fit[0]:.2g} (hard) to "
            f"{min(fit[1:-1]):.2g} (soft) while OOD/seen goes from {ratio[0]:.3g} to {max(ratio[1:-1]):.3g}, and even "
            f"at g = {strengths[0]:g} the least soft residual is {soft / floor:.0e} times the hard one's"
        )
    softest = min(row["beta"] for row in select(rows, arm="soft"))
    soft, free = ([sum(_rises(each[:stop]) for each in found) for found in ladders.values()] for stop in (-1, None))
    grows = (
        f"with every step of softness down to beta = {softest:g} OOD/seen grows in {soft[0]} and the residual in "
        f"{soft[1]} of {len(ladders['ood_factor'])} worlds, and on to the free MLP in {free[0]} and {free[1]}"
    )
    return f"It trades exactness for fit: {'; '.join(parts)}; {grows}; {above_rounding(rows)}."


def _rises(steps: Sequence[float]) -> bool:
    return all(after > before for before, after in pairwise(steps))


KIND = Kind(
    name="soft",
    question="Is a soft symmetry enough?",
    worlds=("field",),
    settings=settings,
    cells=cells,
    compute=field_cell,
    answer=answer,
    work=field_work,
)
