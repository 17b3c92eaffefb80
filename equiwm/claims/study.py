"""Open a study directory: a new one, or the one that is there if it is the same study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from equiwm.grid import Cell, CellFunction, CellResult, Stacks, run_grid
from equiwm.runs import Run

StudyProgress = Callable[[int, int, float], None]
"""Called with cells done, cells, and the share of all work that is done, in this process or before."""


def open_study(
    folder: Path, name: str, config: Mapping[str, Any], *, seed: int, resume: bool, command: Sequence[str] = ()
) -> Run:
    """The study `folder`/`name` of a configuration: made if it is missing, gone on with if `resume` is set.

    Args:
        folder: the folder that holds runs.
        name: of the study.
        config: everything that the study depends on.
        seed: that the study is filed under.
        resume: go on with a study that is there.
        command: the command line, for config.yaml.

    Raises:
        RunError: it exists and `resume` is not set, or it is another study; or it cannot be written.
    """
    study = Run(Path(folder) / name)
    if resume and study.state != "absent":
        study = Run.open(study.path, needs_checkpoint=False)
        study.require_same(dict(config), seed)
        return study
    return Run.create(Path(folder), name, dict(config), seed=seed, kind="study", command=command)


def compute_cells(
    function: CellFunction,
    cells: Sequence[Cell],
    store: Path,
    work: Callable[[Cell], float],
    *,
    jobs: int | None,
    resume: bool,
    progress: StudyProgress | None = None,
    root: Path | None = None,
    stacks: Stacks | None = None,
) -> list[CellResult]:
    """The cells of a study in canonical order, the longest computed first.

    Otherwise the last one is computed alone while the other processes have nothing left to do.

    Args:
        function, cells, store, jobs, resume, root, stacks: as `run_grid` has them.
        work: of a cell -> how long it takes relative to the others.
        progress: called as cells finish.
    """
    weight = {cell.key: work(cell) for cell in cells}
    # Fractions, for sums of floats in the order in which cells finish would differ, and not end at 1.
    whole, share = sum(map(Fraction, weight.values())), Fraction(0)

    def finished(done: int, total: int, cells: Sequence[CellResult]) -> None:
        nonlocal share
        share += sum(Fraction(weight[each.cell.key]) for each in cells)
        if progress:
            progress(done, total, float(share / whole) if whole else 0.0)

    order = sorted(cells, key=lambda cell: -weight[cell.key])
    results = run_grid(function, order, store, jobs=jobs, resume=resume, progress=finished, root=root, stacks=stacks)
    by_key = {result.cell.key: result for result in results}
    return [by_key[cell.key] for cell in cells]


def errors_of(results: Sequence[CellResult]) -> list[str]:
    """What went wrong, a line a failed cell."""
    return [f"{each.cell.key}: {each.error.type}: {each.error.message}" for each in results if each.error]
