"""An ablation as a study directory: its grid, its rows, its answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.kind import DIMENSIONS, Kind, Scope
from equiwm.claims.ablation.rows import write_rows
from equiwm.errors import ConfigError, nearest
from equiwm.grid import CellResult, run_grid
from equiwm.results.ablation import AblationResult
from equiwm.runs import Run

SEEDS, QUICK_SEEDS = 5, 2

GridProgress = Callable[[int, int, float], None]
"""Called with cells done, cells, and the share of all work that is done."""


def resolve_scope(kind: Kind, *, world: str | None, dim: int | None, seeds: int | None, quick: bool) -> Scope:
    """What is asked for, defaults filled in.

    Args:
        kind: the stress test.
        world: name of the world; None is the kind's default.
        dim: 2 or 3; None is every one that the world has.
        seeds: how many; None is 5, or 2 of the quick version.
        quick: the small version.

    Raises:
        ConfigError: a world that the kind cannot run on, a dimension that the world does not have, or no seeds.
    """
    known = {str(name): name for name in kind.worlds}
    chosen = kind.worlds[0] if world is None else known.get(world)
    if chosen is None:
        expected = f"the only world it runs on is {kind.worlds[0]}." if len(known) == 1 else nearest(str(world), known)
        raise ConfigError(f"--world: `ablate {kind.name}` cannot run on '{world}'; {expected}")
    dims = DIMENSIONS[chosen] if dim is None else (dim,)
    if not set(dims) <= set(DIMENSIONS[chosen]):
        has = " and ".join(map(str, DIMENSIONS[chosen]))
        raise ConfigError(f"--dim: got {dim}, expected {has}: the world {chosen} has no other dimension.")
    count = (QUICK_SEEDS if quick else SEEDS) if seeds is None else seeds
    if count < 1:
        raise ConfigError(f"--seeds: got {count}, expected how many seeds, at least 1.")
    return Scope(dims=dims, seeds=tuple(range(count)), quick=quick, world=chosen)


def study_name(kind: Kind, scope: Scope) -> str:
    """`ablate-KIND`, with the world, the dimension and the size where they are not the default."""
    parts = ["ablate", kind.name]
    parts += [scope.world] * (scope.world != kind.worlds[0])
    parts += [f"{scope.dims[0]}d"] * (scope.dims != DIMENSIONS[scope.world])
    return "-".join([*parts, *["quick"] * scope.quick])


def ablation_study(
    kind: Kind,
    scope: Scope,
    folder: Path,
    *,
    name: str | None = None,
    jobs: int | None = 1,
    resume: bool = False,
    command: Sequence[str] = (),
    progress: GridProgress | None = None,
) -> tuple[Run, AblationResult]:
    """Compute an ablation, or what is missing of it, in the study directory `folder`/`name`.

    Every finished cell is on disk at once, under `cells/`; `rows.csv` is written at the end.

    Args:
        kind: the stress test.
        scope: what is asked for.
        folder: the folder that holds runs.
        name: the study's name; None is `study_name`.
        jobs: processes; None takes the backend of a surrounding `joblib.parallel_config`.
        resume: go on with a study that is there.
        command: the command line, for config.yaml.
        progress: called as cells finish.

    Returns:
        The study and its result. Nothing of it depends on jobs, order or interruption.

    Raises:
        RunError: the study exists and `resume` is not set, or it is another one; or it cannot be written.
    """
    config = {
        "study": {
            "claim": "ablation",
            "kind": kind.name,
            "world": scope.world,
            "dims": list(scope.dims),
            "seeds": list(scope.seeds),
            "quick": scope.quick,
            "settings": kind.settings(scope),
        }
    }
    called = study_name(kind, scope) if name is None else name
    study = Run(Path(folder) / called)
    if resume and study.state != "absent":
        study = Run.open(study.path, needs_checkpoint=False)
        study.require_same(config, scope.seeds[0])
    else:
        study = Run.create(folder, called, config, seed=scope.seeds[0], kind="study", command=command)
    cells = kind.cells(scope)
    work = {cell.key: kind.work(cell.params) for cell in cells}
    whole, keys_done = math.fsum(work.values()), []

    def finished(done: int, total: int, cell: CellResult | None) -> None:
        keys_done.extend([cell.cell.key] if cell else [])
        if progress:
            progress(done, total, math.fsum(work[key] for key in keys_done) / whole)

    # The longest first: else the last one is computed alone while the other processes have nothing left to do.
    order = sorted(cells, key=lambda cell: -work[cell.key])
    results = run_grid(kind.compute, order, study.path / "cells", jobs=jobs, resume=resume, progress=finished)
    by_key = {result.cell.key: result for result in results}
    return study, _result(kind, scope, [by_key[cell.key] for cell in cells], study)


def _result(kind: Kind, scope: Scope, results: Sequence[CellResult], study: Run) -> AblationResult:
    rows: list[dict[str, Any]] = [row for result in results if result.result for row in result.result["rows"]]
    errors = [f"{result.cell.key}: {result.error.type}: {result.error.message}" for result in results if result.error]
    diverged = [
        f"{result.cell.key}: {line}" for result in results if result.result for line in result.result.get("failed", [])
    ]
    write_rows(study.path / "rows.csv", rows)
    return AblationResult(
        kind=kind.name,
        world=scope.world,
        question=kind.question,
        answer=f"open: {len(errors)} of {len(results)} cells failed." if errors else kind.answer(rows),
        dims=list(scope.dims),
        seeds=list(scope.seeds),
        quick=scope.quick,
        rows=rows,
        failed=errors + diverged,
    )
