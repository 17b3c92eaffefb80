"""Sets of other sizes: a model trained on a few items, asked about every number of them there is room for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equiwm.claims.ablation.arms import ARMS, scope_arm
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.lockstep import Asking, alone
from equiwm.claims.ablation.rows import column, largest_off_one, of_each_seed, select
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.statement import NOT_FLAT, Statement, at_least, at_most, ours
from equiwm.config import Config, parse
from equiwm.errors import ConfigError, TrainingError
from equiwm.figures.panels import QUANTITIES, draw_panels, frame_of, grid_tables
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow, unknown_name

if TYPE_CHECKING:
    from equiwm.tables.table import Table

NETWORKS = {"vn": "VN", "mlp": "MLP"}
FLAT_SETS = 1e-5
"""|OOD / seen - 1| in float32, over rotations, translations and exchanges at once."""
READ_OUT, PAPER_READ_OUT = 0.10, 0.229
"""Error over the true change at the number of items that was trained on, and the paper's cap of it."""


@dataclass(frozen=True, kw_only=True)
class ItemsRow(AblationRow):
    """A row of `ablate items`.

    Attributes:
        items: how many items there are.
        trained: how many there were in training.
    """

    items: int
    trained: int

    @property
    def misfit(self) -> str | None:
        """A network that the kind does not have."""
        return unknown_name((self.arm, NETWORKS))

    @property
    def network(self) -> str:
        """What tables call it."""
        return NETWORKS[self.arm]

    @property
    def seen_error(self) -> float:
        """The largest error of what compares models."""
        return max(float(errors.seen) for errors in self.qualities.values())

    @property
    def ood_error(self) -> float:
        """The same of what was moved."""
        return max(float(errors.ood) for errors in self.qualities.values())


def _counts(config: Config) -> list[int]:
    """Every number of items that a world has room for.

    Raises:
        ConfigError: a world whose items cannot be counted.
    """
    most = config.world.most_items
    if not config.world.counts or most is None:
        raise ConfigError(
            f"ablate items: the world '{config.world.name}' has no setting that counts the items of a set; its Config "
            "has to name it (counts) and say how many there may be (most_items)."
        )
    return list(range(1, most + 1))


def settings(scope: Scope) -> dict[str, Any]:
    """Numbers of items of each dimension, held-out transitions, and where the quick version saves."""
    return {
        "items": {str(dim): _counts(scope_arm(scope, dim, "vn")) for dim in scope.dims},
        "epochs": 4 if scope.quick else None,
        "test": 200 if scope.quick else 1000,
    }


def cells(scope: Scope) -> list[Cell]:
    """One cell an arm and seed: it is trained once and asked about every number."""
    chosen, found = settings(scope), []
    for dim in scope.dims:
        for arm in ARMS:
            config = scope_arm(scope, dim, arm)
            if chosen["epochs"] is not None:
                config = replace(config, training=replace(config.training, epochs=chosen["epochs"]))
            params = {"dim": dim, "arm": arm, "config": config.as_params(), "test": chosen["test"]}
            params["items"] = chosen["items"][str(dim)]
            found += [Cell(f"dim={dim},{arm},seed={seed}", {**params, "seed": seed}) for seed in scope.seeds]
    return found


def compute(params: Mapping[str, Any]) -> dict[str, Any]:
    """Train one network and ask it about every number of items; a row each."""
    return alone(rows_of(params))


def rows_of(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """`compute`, asking for each training."""
    from equiwm.claims.ablation.items_columns import columns

    config, seed = parse(params["config"]), params["seed"]
    own = {name: params[name] for name in ("arm", "dim", "seed")}
    own["trained"] = int(getattr(config.world, config.world.counts))
    try:
        by_count = yield from columns(config, seed=seed, counts=params["items"], test=params["test"])
    except TrainingError as error:
        return {"rows": [], "failed": [f"seed {seed}: {error}"]}
    rows = [ItemsRow(**own, cell=f"items={count}", items=count, **found) for count, found in by_count.items()]
    return {"rows": [row.as_dict() for row in rows]}


def _trained(rows: Sequence[ItemsRow], arm: str) -> ItemsRow:
    """An arm's row at the number of items that it was trained on, among those of one seed."""
    found = [row for row in select(rows, arm=arm) if row.items == row.trained]
    if not found:
        raise ValueError(f"no row of {arm} has as many items as it was trained on")
    return found[0]


def _trained_error(arm: str) -> Callable[[Sequence[ItemsRow]], float]:
    return lambda rows: _trained(rows, arm).seen_error


def _largest(arm: str) -> Callable[[Sequence[ItemsRow]], float]:
    """Reads an arm's largest error over all numbers of items, as moved."""
    return lambda rows: max(row.ood_error for row in select(rows, arm=arm))


def _factor(rows: Sequence[ItemsRow]) -> float:
    return float(column([_trained(rows, "mlp")], "ood_factor").min())


def statements(scope: Scope) -> list[Statement[ItemsRow]]:
    """Flat at every number of items; good at the trained one; and how good at all others, for both."""
    lines: list[Statement[ItemsRow]] = []
    for dim in scope.dims:
        vn, mlp = f"VN, {dim}D", f"MLP, {dim}D"
        off, own = of_each_seed(dim, largest_off_one), of_each_seed(dim, _trained_error("vn"))
        most, plain = of_each_seed(dim, _largest("vn")), of_each_seed(dim, _largest("mlp"))
        cap, error = f"at most {PAPER_READ_OUT}", "largest error over the true change"
        lines += [
            ours(vn, "|OOD / seen - 1|, any number of items", off, at_most(FLAT_SETS)),
            Statement(vn, f"{error}, as many as trained on", cap, own, at_most(READ_OUT)),
            ours(vn, f"{error}, any number of items", most, at_most(PAPER_READ_OUT)),
            ours(mlp, "OOD / seen, as many as trained on", of_each_seed(dim, _factor), at_least(NOT_FLAT)),
            ours(mlp, f"{error}, any number of items", plain, at_least(PAPER_READ_OUT)),
        ]
    return lines


_SHOWN = {"seen_error": "largest error / true change, seen", "ood_error": "the same, moved by the group"}
_EXACT = {name: QUANTITIES[name] for name in ("ood_factor", "relative_residual")}


def tables(data: StudyRows[ItemsRow]) -> list[Table]:
    """For each dimension and quantity a row a network, a column a number of items."""
    return grid_tables(data, _SHOWN | _EXACT, down="network", across="items")


def figure(data: StudyRows[ItemsRow], folder: Path) -> Path:
    """Errors and OOD / seen over the number of items, a line a network."""
    shown = _SHOWN | {name: QUANTITIES[name] for name in ("ood_factor",)}
    return draw_panels(
        frame_of(data.rows, ("dim", "network", "items", *shown)),
        shown,
        x="items",
        line="network",
        x_label="items of the set",
        folder=folder,
        name="ablate_items",
    )


KIND = AblationKind(
    name="items",
    question="Does what was learned of a few items hold for other numbers of them?",
    presets=("vn-bodies", "vn-bodies-3d"),
    row=ItemsRow,
    settings=settings,
    cells=cells,
    compute=compute,
    stacks=seeds_together(rows_of),
    statements=statements,
    tables=tables,
    figure=figure,
    any_preset=True,
)
