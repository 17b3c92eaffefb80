"""Does more data, a larger network or longer training make up for the architecture? Power laws of four classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.arms import sized
from equiwm.claims.ablation.baselines import ARMS, arm_of
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.power_laws import PowerLaw, exponent_less, power_law
from equiwm.claims.ablation.rows import of_each_seed, select
from equiwm.claims.ablation.scaling_view import AXES, draw, size_tables
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import Estimate, Statement, above, at_most, ours
from equiwm.config import Config, load, parse
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow, unknown_name
from equiwm.results.result import UNKNOWN, Real
from equiwm.tables.table import Table

COMPARED = ("vn", "augmented", "canonical", "plain")
"""Classes of network, of `baselines.ARMS`."""
SIZES, QUICK_SIZES = (1000, 6000, 30_000, 180_000, 1_000_000), (250, 1000, 4000)
FACTORS, QUICK_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0), (0.25, 0.5, 1.0)
"""Of every hidden width."""
LENGTHS, QUICK_LENGTHS = (30, 90, 240, 660, 1800), (20, 60, 180)
"""Updates."""
BATCH, QUICK_BATCH = 1024, 256
UPDATES, QUICK_UPDATES = 977, 60
"""Where length is not what grows: 977 batches are a million transitions, each once."""
MIDDLE, QUICK_MIDDLE = 30_000, 1000
"""Transitions where their number is not what grows."""
COST_MS: Mapping[str, Mapping[str, float]] = {
    "vn-2d-arena": {"vn": 10.8, "plain": 4.9, "augmented": 5.8, "canonical": 5.5},
    "vn-3d": {"vn": 13.2, "plain": 22.5, "augmented": 24.2, "canonical": 32.8},
}
"""CPU milliseconds of an update of 1,024 transitions, by preset and class (`tests/benchmarks/test_update_cost.py`).
Fixed here, so that a study does not depend on the clock."""


@dataclass(frozen=True, kw_only=True)
class ScalingRow(AblationRow):
    """A row of `ablate scaling`.

    Attributes:
        axis: what grows: `transitions`, `parameters` or `time`.
        transitions: N, of the whole group.
        updates: of the training.
        cpu_seconds: of the training, at the measured cost of an update.
        success: share of the episodes that are solved by planning with it; missing where none was asked for.
    """

    axis: str
    transitions: int
    updates: int
    cpu_seconds: Real
    success: Real = UNKNOWN

    @property
    def size(self) -> float:
        """What grows along the axis."""
        return float({"transitions": self.transitions, "parameters": self.parameters}.get(self.axis, self.cpu_seconds))

    @property
    def label(self) -> str:
        """The class, as tables call it."""
        return ARMS[self.arm]

    @property
    def misfit(self) -> str | None:
        """A network or an axis that the kind does not have."""
        return unknown_name((self.arm, COMPARED), (self.axis, AXES))


def settings(scope: Scope) -> dict[str, Any]:
    """Sizes along each axis, and what the others stand at meanwhile."""
    quick = scope.quick
    return {
        "transitions": list(QUICK_SIZES if quick else SIZES),
        "parameters": list(QUICK_FACTORS if quick else FACTORS),
        "time": list(QUICK_LENGTHS if quick else LENGTHS),
        "batch": QUICK_BATCH if quick else BATCH,
        "updates": QUICK_UPDATES if quick else UPDATES,
        "middle": QUICK_MIDDLE if quick else MIDDLE,
        "tasks": 0 if quick else 4,
        "test": 200 if quick else 1000,
    }


def _arms(scope: Scope, dim: int, batch: int) -> dict[str, Config]:
    preset = load(scope.presets[dim], None, ["training.schedule=cosine"])
    preset = replace(preset, training=replace(preset.training, batch=batch))
    found = {arm: arm_of(preset, arm) for arm in COMPARED}
    return {arm: config for arm, config in found.items() if config is not None}


def _widened(config: Config, factor: float) -> Config:
    def wide(widths: Sequence[int]) -> tuple[int, ...]:
        return tuple(max(1, round(factor * width)) for width in widths)

    model = config.model
    shape = replace(
        model,
        encoder_widths=wide(model.encoder_widths),
        predictor_widths=wide(model.predictor_widths),
        predictor_products=max(1, round(factor * model.predictor_products)),
    )
    return replace(config, model=shape)


def cells(scope: Scope) -> list[Cell]:
    """One cell a size and seed, in which all classes learn from the same transitions."""
    given, found = settings(scope), []
    for dim in scope.dims:
        arms = _arms(scope, dim, given["batch"])
        for axis in AXES:
            for size in given[axis]:
                n = size if axis == "transitions" else given["middle"]
                updates = size if axis == "time" else given["updates"]
                chosen = {
                    arm: sized(_widened(config, size if axis == "parameters" else 1.0), n, updates=updates)
                    for arm, config in arms.items()
                }
                params = {
                    **{"dim": dim, "axis": axis, "size": size, "preset": scope.presets[dim], "transitions": n},
                    **{"tasks": given["tasks"] if axis == "transitions" else 0, "test": given["test"]},
                    "configs": {arm: config.as_params() for arm, config in chosen.items()},
                }
                found += [
                    Cell(f"dim={dim},{axis}={size},seed={seed}", {**params, "seed": seed}) for seed in scope.seeds
                ]
    return found


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train every class on the same transitions, and measure it; a row each."""
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation.scaling_columns import columns

    configs = {arm: parse(config) for arm, config in params["configs"].items()}
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    own = {name: params[name] for name in ("dim", "seed", "axis", "transitions")}
    sizes = {name: params[name] for name in ("seed", "test", "tasks")}
    by_arm = yield from columns(configs, n=params["transitions"], **sizes)
    for arm, found in by_arm.items():
        if not isinstance(found, dict):
            failed.append(f"{arm}, seed {params['seed']}: {found}")
            continue
        updates = configs[arm].training.updates
        cost = 1e-3 * updates * COST_MS[params["preset"]][arm]
        cell = f"{params['axis']}={params['size']}"
        rows.append(ScalingRow(arm=arm, cell=cell, updates=updates, cpu_seconds=cost, **own, **found).as_dict())
    return {"rows": rows, "failed": failed}


def work(params: Mapping[str, Any]) -> float:
    """Seconds, about: what is simulated, trained and played."""
    costs = COST_MS[params["preset"]]
    trained = sum(parse(config).training.updates * costs[arm] for arm, config in params["configs"].items())
    return float(1.3e-4 * params["transitions"] + 1e-3 * trained + 8.0 * params["tasks"])


def law_of(rows: Sequence[ScalingRow], dim: int, axis: str, arm: str) -> PowerLaw | None:
    """The power law of a class along an axis, None where too little was measured."""
    curve: dict[int, dict[float, float]] = {}
    for row in select(rows, dim=dim, axis=axis, arm=arm):
        curve.setdefault(row.seed, {})[row.size] = row.unseen_error
    return power_law(curve)


def _less(dim: int, arm: str, axis: str) -> Callable[[Sequence[ScalingRow]], Estimate]:
    """Reads by how much faster the error of a class falls than the equivariant network's."""

    def read(rows: Sequence[ScalingRow]) -> Estimate:
        law, own = law_of(rows, dim, axis, arm), law_of(rows, dim, axis, "vn")
        if law is None or own is None:
            return Estimate.missing()
        found = exponent_less(law, own)
        return Estimate(found.estimate, found.low, found.high, "seeds")

    return read


def _with_most(arm: str) -> Callable[[Sequence[ScalingRow]], float]:
    """Reads the error of a class over the equivariant network's, both with the most transitions that there are."""

    def read(rows: Sequence[ScalingRow]) -> float:
        here = select(rows, axis="transitions")
        most = max(row.transitions for row in here)
        (rival,), (own,) = (select(here, transitions=most, arm=name) for name in (arm, "vn"))
        return float(rival.unseen_error / own.unseen_error)

    return read


def statements(scope: Scope) -> list[Statement[ScalingRow]]:
    """Of each rival whether it is as good with the most data, and whether its error falls faster: NO and YES say that
    scale makes up for the architecture."""
    lines: list[Statement[ScalingRow]] = []
    given = settings(scope)
    most = f"{given['transitions'][-1]:,} transitions"
    for dim in scope.dims:
        for arm in COMPARED[1:]:
            where = f"{ARMS[arm]}, {dim}D"
            worse = of_each_seed(dim, _with_most(arm))
            lines.append(ours(where, f"error with {most} over the equivariant network's", worse, above(1.0)))
            for axis, words in AXES.items():
                read = _less(dim, arm, axis)
                lines.append(
                    ours(where, f"exponent in {words} less the equivariant network's, 95% interval", read, at_most(0.0))
                )
    return lines


def tables(data: StudyRows[ScalingRow]) -> list[Table]:
    """Errors by size, a table an axis, and the laws."""
    return size_tables(data, law_of, COMPARED)


def figure(data: StudyRows[ScalingRow], folder: Path) -> Path:
    """Errors along each axis with the laws, and success, on logarithmic axes."""
    return draw(data, law_of, COMPARED, folder)


KIND = AblationKind(
    name="scaling",
    question="Does more data, a larger network or longer training make up for the architecture?",
    presets=("vn-2d-arena", "vn-3d"),
    row=ScalingRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of, lambda params: int(params["transitions"])),
    statements=statements,
    tables=tables,
    figure=figure,
    work=work,
)
