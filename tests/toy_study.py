"""Studies outside the package, in one file: `equiwm ablate toy_study:KIND`, `equiwm reproduce toy_study:PLANE`."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from small import TINY

from equiwm.claims.ablation.kind import AblationKind
from equiwm.claims.ablation.rows import column, of_each_seed, select
from equiwm.claims.reproduce.sources import PaperClaim
from equiwm.claims.statement import at_most, below, ours
from equiwm.claims.sweep import paper as sweeps
from equiwm.figures.panels import draw_panels, frame_of, label_tables
from equiwm.grid import Cell
from equiwm.results.ablation import AblationRow

HERE = Path(__file__).parent
NOWHERE = HERE / "no such file"


@dataclass(frozen=True, kw_only=True)
class ToyRow(AblationRow):
    width: int

    @property
    def label(self) -> str:
        return f"width {self.width}"


def compute(params):
    """Two seeds a cell; fails, diverges or dawdles as its parameters say."""
    width = params["width"]
    if width == 3 and not Path(params["healed"]).exists():
        raise ArithmeticError("seed 1 came to nothing")
    if width in params["slow"]:
        time.sleep(60)
    rows = [
        ToyRow(
            arm="mlp",
            cell=f"width={width}",
            dim=params["dim"],
            seed=seed,
            parameters=10,
            seen_relmse=0.1,
            ood_relmse=width / (3 + seed),
            ood_factor=2.0,
            relative_residual=float("nan") if seed else 1e-7,
            width=width,
        ).as_dict()
        for seed in (0, 1)
    ]
    return {"rows": rows, "failed": ["seed 2: the loss is not finite"] if width == 2 else []}


def widest(rows):
    return column(select(rows, arm="mlp"), "ood_relmse").max()


def statements(scope):
    return [ours(f"{dim}D", "largest error", of_each_seed(dim, widest), at_most(0.5)) for dim in scope.dims]


def tables(data):
    return label_tables(data, "training", data.world, notes=("a toy",))


def figure(data, folder):
    frame = frame_of(data.rows, ("dim", "arm", "width", "ood_relmse"))
    shown = {"ood_relmse": "error"}
    return draw_panels(frame, shown, x="width", line="arm", x_label="width", folder=folder, name="ablate_toy")


def toy(widths=(1, 2, 3), healed: Path | str = NOWHERE, slow=()) -> AblationKind[ToyRow]:
    def cells(scope):
        return [
            Cell(f"dim={dim},width={width}", {"dim": dim, "width": width, "healed": str(healed), "slow": list(slow)})
            for dim in scope.dims
            for width in widths
        ]

    return AblationKind(
        name="toy",
        question="Is it a toy?",
        worlds=("field", "pusht"),
        row=ToyRow,
        settings=lambda scope: {"width": list(widths)},
        cells=cells,
        compute=compute,
        statements=statements,
        tables=tables,
        figure=figure,
        work=lambda params: params["width"],
    )


def plane(size):
    """Claim B on forward models alone: two trainings and two sweeps a seed; tiny where nothing else is said."""
    tiny = size if size.settings else replace(TINY, seeds=size.seeds)
    return [line for line in sweeps.statements(tiny) if line.setting.endswith("2D, full state")]


def impossible(size):
    return [replace(line, bound=below(0.0)) for line in plane(size)[:1]]


PLANE = PaperClaim("B", "Flat in the plane.", plane)
IMPOSSIBLE = PaperClaim("B", "It is not.", impossible)

KIND = toy(widths=(1, 2))
FAILING = toy()
SLOW = toy(widths=(1, 2, 4), slow=(1, 2))
NOT_A_KIND = 3


def broken(*_):
    raise KeyError("mine")


BAD_CELLS, BAD_SETTINGS, BAD_WORK = (
    replace(KIND, cells=broken),
    replace(KIND, settings=broken),
    replace(KIND, work=broken),
)
BAD_STATEMENTS, BAD_TABLES, BAD_FIGURE = (
    replace(KIND, statements=broken),
    replace(KIND, tables=broken),
    replace(KIND, figure=broken),
)
BAD_READ = replace(KIND, statements=lambda scope: [ours("2D", "largest error", broken, at_most(0.5))])
NO_TABLES, NO_ROW, NO_COMPUTE = (
    replace(KIND, tables=lambda data: 3),
    replace(KIND, row=dict),
    replace(KIND, compute=lambda p: {}),
)
NO_DIMENSIONS = replace(KIND, worlds=("moon",))
