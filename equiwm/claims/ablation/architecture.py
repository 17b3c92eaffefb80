"""Do I need the architecture? An equivariant preset beside ordinary networks made symmetric by other means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equiwm.claims.ablation.baselines import ARMS, arm_of, in_equal_time
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import largest_off_one, of_each_seed, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import FLAT, NOT_FLAT, Estimate, Statement, above, at_least, at_most, ours
from equiwm.config import Config, load, parse
from equiwm.errors import RepError, TrainingError
from equiwm.figures.classes import draw_classes
from equiwm.figures.panels import QUANTITIES, frame_of, summary_text
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow, unknown_name
from equiwm.results.result import UNKNOWN, Real
from equiwm.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd


BUDGETS = {"epochs": "", "time": ", in equal time"}
"""How long an arm is trained: for the preset's epochs, or for about its CPU time."""
ORBIT = {2: "90,210,37", 3: "se3:3"}
"""How every task of the closed loop is turned."""
RIVALS = ("augmented", "canonical", "frame")
"""Arms that would make the architecture unnecessary."""


@dataclass(frozen=True, kw_only=True)
class ArchitectureRow(AblationRow):
    """A row of `ablate architecture`.

    Attributes:
        budget: `epochs` or `time`.
        epochs: of the training.
        certainty_least: of the frame that a canonical network reads, the least over held-out transitions.
        frame_turn_deg: how far that frame turns where an observation is disturbed by 1%; nine of ten turn less.
        frame_off_deg: how far that frame of an observation moved by the world's group (turned, mirrored, exchanged) is
            from the frame moved along; nine of ten are less. A frame that the group carries has rounding here.
        success_seen, success_unseen: share of the tasks solved by the best pose on the way, as seen and turned.
        final_seen, final_unseen: the same of the final pose.
        paired_max_deg: largest difference between the error of a turned episode and that of the same task as seen.
    """

    budget: str
    epochs: int
    certainty_least: Real = UNKNOWN
    frame_turn_deg: Real = UNKNOWN
    frame_off_deg: Real = UNKNOWN
    success_seen: Real = UNKNOWN
    success_unseen: Real = UNKNOWN
    final_seen: Real = UNKNOWN
    final_unseen: Real = UNKNOWN
    paired_max_deg: Real = UNKNOWN

    @property
    def misfit(self) -> str | None:
        """A network that the kind does not have."""
        return unknown_name((self.arm, ARMS))

    @property
    def label(self) -> str:
        """A row of the table."""
        return ARMS[self.arm] + BUDGETS.get(self.budget, "")


def _preset(scope: Scope, dim: int) -> Config:
    return load(scope.preset or scope.presets[dim])


def settings(scope: Scope) -> dict[str, Any]:
    """Tasks of the closed loop, and where the quick version saves: everything else is the preset's own."""
    return {
        "tasks": 2 if scope.quick else 8,
        "orbit": {str(dim): ORBIT[dim] for dim in scope.dims},
        "epochs": 6 if scope.quick else None,
        "test": 200 if scope.quick else 1000,
    }


def cells(scope: Scope) -> list[Cell]:
    """One cell an arm, budget and seed."""
    given, found = settings(scope), []
    for dim in scope.dims:
        preset = _preset(scope, dim)
        if given["epochs"] is not None:
            preset = replace(preset, training=replace(preset.training, epochs=given["epochs"]))
        for arm in ARMS:
            config = arm_of(preset, arm)
            if config is None:
                continue
            budgets = {"epochs": config, "time": in_equal_time(config, arm, dim)}
            for budget, sized in budgets.items():
                if sized is None:
                    continue
                params = {"dim": dim, "arm": arm, "budget": budget, "config": sized.as_params(), **_loop_of(given, dim)}
                name = f"dim={dim},{arm},budget={budget}"
                found += [Cell(f"{name},seed={seed}", {**params, "seed": seed}) for seed in scope.seeds]
    return found


def _loop_of(given: Mapping[str, Any], dim: int) -> dict[str, Any]:
    return {"tasks": given["tasks"], "orbit": given["orbit"][str(dim)], "test": given["test"]}


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train one network and measure it, one step ahead and in closed loop; a row."""
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation.architecture_columns import columns

    config, seed = parse(params["config"]), params["seed"]
    try:
        sizes = {name: params[name] for name in ("test", "tasks", "orbit")}
        found = yield from columns(config, seed=seed, **sizes)
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    except RepError as error:
        if params["arm"] in ("vn", "plain", "augmented"):
            raise
        return {"rows": [], "failed": [f"there is no such network of this world: {error}"]}
    own = {name: params[name] for name in ("arm", "dim", "seed", "budget")}
    row = ArchitectureRow(**own, cell=f"budget={params['budget']}", epochs=config.training.epochs, **found)
    return {"rows": [row.as_dict()]}


def work(params: Mapping[str, Any]) -> float:
    """Episodes and epochs are about as dear for all."""
    return float(params["config"]["training"]["epochs"])


def _of(rows: Sequence[ArchitectureRow], arm: str) -> ArchitectureRow:
    """The arm's row among those of one seed, for the preset's epochs."""
    return select(rows, arm=arm, budget="epochs")[0]


def _error_over(arm: str) -> Callable[[Sequence[ArchitectureRow]], float]:
    """Reads an arm's error at unseen orientations over the equivariant preset's."""
    return lambda rows: _of(rows, arm).unseen_error / _of(rows, "vn").unseen_error


def _plain_factor(rows: Sequence[ArchitectureRow]) -> float:
    return float(_of(rows, "plain").ood_factor)


def _solved_less(arm: str) -> Callable[[Sequence[ArchitectureRow]], float]:
    """Reads by how much fewer tasks an arm solves at unseen orientations, by the final pose."""
    return lambda rows: float(_of(rows, "vn").final_unseen) - float(_of(rows, arm).final_unseen)


def _where_measured(
    dim: int, arm: str, column: str, read: Callable[[Sequence[ArchitectureRow]], float]
) -> Callable[[Sequence[ArchitectureRow]], Estimate | None]:
    """Reads a value of each seed; None where no row of the arm has that column: of a world whose reps it has no network
    for, or in which nothing is to be reached.
    """
    each = of_each_seed(dim, read)

    def measured(rows: Sequence[ArchitectureRow]) -> Estimate | None:
        found = [getattr(row, column) for row in select(rows, dim=dim, arm=arm)]
        return None if all(math.isnan(value) for value in found) else each(rows)

    return measured


def statements(scope: Scope) -> list[Statement[ArchitectureRow]]:
    """The preset is flat, the ordinary network is not, and whether either rival is worse: NO says it is not needed."""
    lines: list[Statement[ArchitectureRow]] = []
    for dim in scope.dims:
        preset = _preset(scope, dim)
        vn, ordinary = (ARMS[arm] for arm in ("vn", "plain"))
        flat, plain = of_each_seed(dim, largest_off_one), of_each_seed(dim, _plain_factor)
        lines.append(ours(f"{vn}, {dim}D", "|OOD / seen - 1|", flat, at_most(FLAT)))
        lines.append(ours(f"{ordinary}, {dim}D", "OOD / seen", plain, at_least(NOT_FLAT)))
        for arm in RIVALS:
            if arm_of(preset, arm) is not None:
                error = _where_measured(dim, arm, "ood_relmse", _error_over(arm))
                solved = _where_measured(dim, arm, "final_unseen", _solved_less(arm))
                where = f"needed beside {ARMS[arm]}, {dim}D"
                lines.append(ours(where, "its unseen error over the preset's", error, above(1.0)))
                if preset.world.has_tasks:
                    lines.append(ours(where, "preset's success less its own, unseen, final pose", solved, above(0.0)))
    return lines


_LOOP = {
    "success_seen": "success (any), seen",
    "success_unseen": "unseen",
    "final_seen": "success (final), seen",
    "final_unseen": "unseen",
    "paired_max_deg": "max |d_i| (deg)",
}

_FRAME = ("certainty_least", "frame_turn_deg", "frame_off_deg")


def _ood_factor() -> dict[str, str]:
    return {name: QUANTITIES[name] for name in ("ood_factor",)}


def tables(data: StudyRows[ArchitectureRow]) -> list[Table]:
    """For each dimension what one step says, and what the closed loop does."""
    found = []
    for dim in data.dims:
        rows = select(data.rows, dim=dim)
        frame = _frame(rows)
        errors = {name: name for name in frame.columns if ", " in name}
        step = _ood_factor() | {"relative_residual": "residual, float32"} | errors
        title = f"{data.name}: {data.world} in {dim}D"
        note = "Errors are over the true change: 1 is predicting none. They compare models; OOD / seen shows flatness."
        found.append(_table(f"{title}, one step", frame, step, (note,)))
        found.append(_table(f"{title}, closed loop, float64", frame, _LOOP, ()))
        frames = {
            "certainty_least": "certainty, least",
            "frame_turn_deg": "turns (deg) for 1% of noise, 9 of 10 less",
            "frame_off_deg": "off the moved frame (deg), 9 of 10 less",
        }
        canonical = [row for row in rows if row.frame_turn_deg == row.frame_turn_deg]
        if canonical:
            found.append(_table(f"{title}, the frame", _frame(canonical), frames, ()))
    return found


def _frame(rows: Sequence[ArchitectureRow]) -> pd.DataFrame:
    frame = frame_of(rows, ("label", "parameters", "epochs", "ood_factor", "relative_residual", *_FRAME, *_LOOP))
    for name in dict.fromkeys(name for row in rows for name in row.qualities):
        short = name.removeprefix("read-out, ")
        for side, words in (("seen", "seen"), ("ood", "unseen")):
            frame[f"{short}, {words}"] = [
                getattr(row.qualities[name], side) if name in row.qualities else math.nan for row in rows
            ]
    return frame


def _table(title: str, frame: pd.DataFrame, columns: Mapping[str, str], notes: tuple[str, ...]) -> Table:
    cells = []
    for label, members in frame.groupby("label", sort=False):
        size = (f"{members['parameters'].iloc[0]:,}", f"{members['epochs'].iloc[0]:,}")
        cells.append((str(label), *size, *(summary_text(members[name]) for name in columns)))
    return Table(title, ("class", "parameters", "epochs", *columns.values()), cells, notes)


def figure(data: StudyRows[ArchitectureRow], folder: Path) -> Path:
    """Error at seen and unseen orientations, and OOD / seen: a row a class."""
    import pandas as pd

    lines = [
        {"dim": row.dim, "class": row.label, "side": side, "error": error, "ood_factor": row.ood_factor}
        for row in data.rows
        for side, error in (("seen", row.seen_error), ("unseen", row.unseen_error))
    ]
    sides = ("seen", "unseen")
    return draw_classes(
        pd.DataFrame(lines, columns=["dim", "class", "side", "error", "ood_factor"]),
        {"error": ("error / true change", sides)} | {name: (words, sides[1:]) for name, words in _ood_factor().items()},
        row="class",
        mark="side",
        folder=folder,
        name="ablate_architecture",
    )


KIND = AblationKind(
    name="architecture",
    question="Do I need the architecture, or does an ordinary network made symmetric by other means do?",
    presets=("vn-2d-forward", "vn-3d", "vn-body", "vn-ring", "vn-pair"),
    row=ArchitectureRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of),
    statements=statements,
    tables=tables,
    figure=figure,
    work=work,
    any_preset=True,
)
