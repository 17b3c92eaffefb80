"""Is a soft symmetry enough? Residual pathway priors between a hard VN and a free MLP, in worlds broken by g."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equiwm.claims.ablation.arms import ARMS, paper_arm
from equiwm.claims.ablation.kind import HALF, AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import column, of_each_seed, residual_over, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import NOT_FLAT, Estimate, Statement, at_least, below
from equiwm.config import parse
from equiwm.errors import TrainingError
from equiwm.figures.panels import QUANTITIES, draw_panels, frame_of, grid_tables
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow
from equiwm.results.result import Real
from equiwm.stats import median_and_range

if TYPE_CHECKING:
    from equiwm.tables.table import Table

APART = 1e4
"""Times the VN's largest residual that every soft network's is at least in the unbroken world."""


@dataclass(frozen=True, kw_only=True)
class SoftRow(AblationRow):
    """A row of `ablate soft`.

    Attributes:
        beta: penalty of the free path; None for the two ends.
        breaking: the world's g.
        free_fraction: E|v_free|^2 / E|v|^2, 0 for the VN and 1 for the MLP.
    """

    beta: float | None
    breaking: float
    free_fraction: Real

    @property
    def network(self) -> str:
        """As tables and figure call it."""
        return {"vn": "hard VN", "mlp": "free MLP"}.get(self.arm) or f"β = {self.beta:g}"

    @property
    def world(self) -> str:
        """The same of the world."""
        return f"g = {self.breaking:g}"


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
    size = {name: given[name] for name in ("scenes", "steps", "batch")}
    found = []
    for dim in scope.dims:
        for breaking in given["breaking"]:
            world = [f"world.coverage={given['coverage'][str(dim)]}", f"world.breaking={breaking}"]
            vn, mlp = (paper_arm(scope.presets[dim], arm, world, **size) for arm in ARMS)
            networks = [("vn", None), *(("soft", beta) for beta in given["beta"]), ("mlp", None)]
            for arm, beta in networks:
                name = f"g={breaking:g}" + ("" if beta is None else f",beta={beta:g}")
                params = {"dim": dim, "arm": arm, "cell": name, "beta": beta, "breaking": breaking}
                params |= {"config": (mlp if arm == "mlp" else vn).as_params(), "test": given["test"]}
                params["free"] = mlp.as_params() if arm == "soft" else None
                found += [Cell(f"dim={dim},{arm},{name},seed={seed}", {**params, "seed": seed}) for seed in scope.seeds]
    return found


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train one network and measure it; a row. OOD scenes are sampled anew in a broken world, never turned."""
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation.velocity import velocity_columns

    seed, free = params["seed"], params["free"]
    try:
        columns = yield from velocity_columns(
            parse(params["config"]),
            seed=seed,
            test=params["test"],
            free=None if free is None else parse(free).model,
            penalty=params["beta"] or 0.0,
        )
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    columns.setdefault("free_fraction", float(params["arm"] == "mlp"))
    own = {name: params[name] for name in ("arm", "cell", "dim", "seed", "beta", "breaking")}
    return {"rows": [SoftRow(**own, **columns).as_dict()]}


def work(params: Mapping[str, Any]) -> float:
    """A soft network is a VN and an MLP."""
    return float(params["config"]["training"]["epochs"]) * {"vn": 1.0, "mlp": 1.0}.get(params["arm"], 2.0)


def _ladder(rows: Sequence[SoftRow], name: str) -> np.ndarray:
    """A column of one seed at one g from hard to softest: VN, then beta descending. The free MLP is no step of it: the
    limit of small beta still has its equivariant path.
    """
    soft = sorted(select(rows, arm="soft"), key=lambda row: -(row.beta or 0.0))
    return column([*select(rows, arm="vn"), *soft], name)


def _worlds(rows: Sequence[SoftRow]) -> list[float]:
    return sorted({row.breaking for row in rows})


def _fit(rows: Sequence[SoftRow]) -> float:
    """The best soft network's seen error over the hard one's, in the most broken world."""
    fit = _ladder(select(rows, breaking=max(_worlds(rows))), "seen_relmse")
    return float(fit[1:].min() / fit[0])


def _rise(rows: Sequence[SoftRow]) -> float:
    """OOD/seen of the softest network over the hard one's, the least of all worlds."""
    ladders = [_ladder(select(rows, breaking=g), "ood_factor") for g in _worlds(rows)]
    return float(min(ladder[-1] / ladder[0] for ladder in ladders))


def _rising(dim: int) -> Callable[[Sequence[SoftRow]], Estimate]:
    """Reads the share of the worlds in which the median of OOD/seen rises at every step of softness, as in the paper.

    Between two networks that are as good as free, a single seed rises or falls by chance.
    """

    def read(rows: Sequence[SoftRow]) -> Estimate:
        here = select(rows, dim=dim)
        seeds = {row.seed for row in here}
        rises = []
        for g in _worlds(here):
            ladders = [_ladder(select(here, breaking=g, seed=seed), "ood_factor") for seed in seeds]
            if len({len(ladder) for ladder in ladders}) > 1 or not np.isfinite(np.concatenate(ladders)).all():
                return Estimate.missing()
            medians = [median_and_range(step).median for step in np.transpose(ladders)]
            rises.append(bool((np.diff(medians) > 0.0).all()))
        return Estimate.of_seeds([float(np.mean(rises))] if rises else [])

    return read


def _left_floor(rows: Sequence[SoftRow]) -> float:
    """The least soft residual over the VN's largest, in the unbroken world."""
    return residual_over(select(rows, breaking=0.0), "soft")


def statements(scope: Scope) -> list[Statement[SoftRow]]:
    """What softness buys in fit and costs in generalisation and exactness."""
    lines: list[Statement[SoftRow]] = []
    for dim in scope.dims:
        fit, rise = of_each_seed(dim, _fit), of_each_seed(dim, _rise)
        floor = of_each_seed(dim, _left_floor)
        broken, every, unbroken = (f"{where}, {dim}D" for where in ("strongest break", "all worlds", "unbroken world"))
        lines += [
            Statement(broken, "seen relMSE, best soft / hard", "below 1", fit, below(1.0)),
            Statement(every, "OOD / seen, softest / hard, least world", "above 1", rise, at_least(NOT_FLAT)),
            Statement(unbroken, "least soft residual over the VN's", "1e5", floor, at_least(APART)),
            Statement(every, "share in which median OOD / seen rises at every step", "1", _rising(dim), at_least(1.0)),
        ]
    return lines


_SHOWN = {
    **{name: QUANTITIES[name] for name in ("seen_relmse", "ood_factor", "relative_residual", "float32_rounding")},
    "free_fraction": "free fraction |f_free|² / |f|²",
}


def tables(data: StudyRows[SoftRow]) -> list[Table]:
    """For each dimension and quantity a grid: networks from hard to free, worlds from symmetric to broken."""
    return grid_tables(data, _SHOWN, down="network", across="world")


def figure(data: StudyRows[SoftRow], folder: Path) -> Path:
    """Seen error, OOD/seen and residual from hard to free, a line a world."""
    quantities = {name: _SHOWN[name] for name in ("seen_relmse", "ood_factor", "relative_residual")}
    return draw_panels(
        frame_of(data.rows, ("dim", "world", "network", *_SHOWN)),
        quantities,
        x="network",
        line="world",
        x_label="softness",
        folder=folder,
        name="ablate_soft",
    )


KIND = AblationKind(
    name="soft",
    question="Is a soft symmetry enough?",
    presets=("vn-field-2d", "vn-field-3d"),
    row=SoftRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of),
    statements=statements,
    tables=tables,
    figure=figure,
    work=work,
)
