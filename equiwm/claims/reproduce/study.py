"""A reproduction as a study directory: its grids, claim by claim, and the table that they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.study import GridProgress, ablation_study, study_name
from equiwm.claims.reproduce.cells import measure_cell, train_cell
from equiwm.claims.reproduce.plan import Part, measure_cell_of, study_config
from equiwm.claims.reproduce.statement import Ablation, Entry, Figure, Measurement, Size, Source, Statement
from equiwm.grid import CellFunction, CellResult, run_grid, stored_results
from equiwm.results.ablation import AblationResult
from equiwm.results.reproduction import ClaimCost, ReproducedRow, ReproductionResult
from equiwm.runs import STUDY_RUNS, Run, run_name


@dataclass(frozen=True)
class Found:
    """What a statement is read from.

    Attributes:
        entries: sections of metrics.json, one a seed, or rows of an ablation.
        runs: directories below the study.
        seeds: how many are in them.
        seconds: CPU seconds of all that was needed for it.
        whole: whether nothing is missing.
    """

    entries: list[Entry]
    runs: list[str]
    seeds: int
    seconds: float
    whole: bool


@dataclass
class Findings:
    """What has been computed so far.

    Attributes:
        seeds: how many.
        trained: results of trainings by name of run.
        measured: results of measurements by key of the cell.
        ablated: kind -> its result, name of its study, CPU seconds.
    """

    seeds: int
    trained: dict[str, CellResult] = field(default_factory=dict)
    measured: dict[str, CellResult] = field(default_factory=dict)
    ablated: dict[str, tuple[AblationResult, str, float]] = field(default_factory=dict)

    def of(self, source: Source) -> Found:
        """What a source came to."""
        if isinstance(source, Ablation):
            result, name, seconds = self.ablated[source.kind]
            seeds = len({row["seed"] for row in result.rows})
            return Found(list(result.rows), [f"{STUDY_RUNS}/{name}"], seeds, seconds, not result.failed)
        cells = [self.measured[measure_cell_of(source, seed).key] for seed in range(self.seeds)]
        names = [run_name(source.training.preset, seed) for seed in range(self.seeds)]
        entries = [cell.result["result"] for cell in cells if cell.result]
        seconds = sum(cell.seconds + self.trained[name].seconds for cell, name in zip(cells, names, strict=True))
        suffix = "-optimizers" if "optimizers" in dict(source.options) else ""
        runs = [f"{STUDY_RUNS}/{name}{suffix}" for name in names]
        return Found(entries, runs, len(entries), seconds, len(entries) == self.seeds)


class _Counter:
    """How far all grids are: cells and estimated seconds done of each, what was there at the start included."""

    def __init__(self, parts: Sequence[Part], study: Run, progress: GridProgress | None) -> None:
        self.cells = sum(part.cells for part in parts)
        self.seconds = sum(part.seconds for part in parts)
        self.progress = progress
        self.done: dict[Path, tuple[int, float]] = {}
        for part in parts:
            for store, work in zip(_stores(study, part), part.works, strict=True):
                found = stored_results(work.cells, store)
                self.done[store] = len(found), sum(work.seconds[index] for index in found)
        self.report()

    def report(self) -> None:
        """Say it."""
        if self.progress:
            cells, seconds = zip(*self.done.values(), strict=True)
            self.progress(sum(cells), self.cells, sum(seconds) / self.seconds)

    def set(self, store: Path, done: int, seconds: float) -> None:
        """So much of a grid is done."""
        self.done[store] = done, seconds
        self.report()

    def add(self, store: Path, done: int, seconds: float) -> None:
        """A cell of so many seconds is done, the `done`-th of a grid."""
        self.set(store, done, self.done[store][1] + seconds)


def _stores(study: Run, part: Part) -> tuple[Path, Path, Path]:
    """The stores of a part's grids: trainings, measurements, ablation."""
    cells = study.path / "cells" / part.claim.name
    return cells / "train", cells / "measure", _ablation_path(study, part) / "cells"


def _ablation_path(study: Run, part: Part) -> Path:
    return study.path / STUDY_RUNS / (study_name(*part.kind) if part.kind else part.claim.name)


def reproduce(
    parts: Sequence[Part],
    size: Size,
    folder: Path,
    *,
    name: str,
    jobs: int = 1,
    resume: bool = False,
    command: Sequence[str] = (),
    progress: GridProgress | None = None,
    starting: Callable[[Part], None] | None = None,
    recorded: Callable[[Run], None] | None = None,
) -> tuple[Run, ReproductionResult]:
    """Compute what the claims need, or what is missing of it, in the study directory `folder`/`name`.

    Trainings and ablations are runs of their own in the study's folder `runs`, with every measurement in their
    metrics.json; the grids are under `cells`. Each cell is on disk as soon as it is finished.

    Args:
        parts: what `plan` gives for the size.
        size: how large.
        folder: the folder that holds runs.
        name: the study's name.
        jobs: processes.
        resume: go on with a study that is there.
        command: the command line, for config.yaml.
        progress: called as cells finish.
        starting: called with a claim's part before it starts.
        recorded: called with each run after its metrics were written.

    Returns:
        The study and its result. But for seconds, nothing of it depends on jobs, order or interruption.

    Raises:
        RunError: the study exists and `resume` is not set, or it is another one; or it cannot be written.
    """
    config = study_config(parts, size)
    study = Run(Path(folder) / name)
    if resume and study.state != "absent":
        study = Run.open(study.path, needs_checkpoint=False)
        study.require_same(config, 0)
    else:
        study = Run.create(folder, name, config, seed=0, kind="study", command=command)
    counter, findings = _Counter(parts, study, progress), Findings(size.seeds)
    rows: list[ReproducedRow] = []
    claims: list[ClaimCost] = []
    failed: list[str] = []
    for part in parts:
        if starting:
            starting(part)
        trained = _grid(study, part, 0, train_cell, jobs, counter)
        measured = _grid(study, part, 1, measure_cell, jobs, counter)
        findings.trained |= {cell.cell.params["name"]: cell for cell in trained}
        findings.measured |= {cell.cell.key: cell for cell in measured}
        # A run that could not be trained is named once, and not again by all that would have measured it.
        broken = {name for name, cell in findings.trained.items() if cell.error}
        lines = _errors([*trained, *(cell for cell in measured if cell.cell.params["run"] not in broken)])
        _record(study, part, findings, recorded)
        seconds = sum(cell.seconds for cell in (*trained, *measured))
        if part.kind:
            result, spent = _ablation(study, part, jobs, counter, recorded)
            findings.ablated[part.kind[0].name] = result, _ablation_path(study, part).name, spent
            lines += result.failed
            seconds += spent
        failed += [f"{part.claim.name}: {line}" for line in lines]
        rows += [_row(part, statement, findings) for statement in part.statements]
        claims.append(ClaimCost(part.claim.name, part.claim.text, part.cells, part.seconds, seconds))
    return study, ReproductionResult(
        quick=size.quick,
        seeds=size.seeds,
        sizes=size.smaller,
        claims=claims,
        rows=rows,
        failed=failed,
        passed=not failed and all(row.holds for row in rows),
    )


def _grid(study: Run, part: Part, index: int, function: CellFunction, jobs: int, counter: _Counter) -> list[CellResult]:
    """Compute a part's trainings or measurements, the longest first."""
    work, store = part.works[index], _stores(study, part)[index]
    if not work.cells:
        return []
    seconds = {cell.key: cost for cell, cost in zip(work.cells, work.seconds, strict=True)}

    def finished(done: int, total: int, cell: CellResult | None) -> None:
        if cell is not None:
            counter.add(store, done, seconds[cell.cell.key])

    # Whether the study may be gone on with has been asked already.
    results = run_grid(function, work.longest_first, store, jobs=jobs, resume=True, progress=finished, root=study.path)
    by_key = {result.cell.key: result for result in results}
    return [by_key[cell.key] for cell in work.cells]


def _errors(results: Sequence[CellResult]) -> list[str]:
    return [f"{each.cell.key}: {each.error.type}: {each.error.message}" for each in results if each.error]


def _record(study: Run, part: Part, findings: Findings, recorded: Callable[[Run], None] | None) -> None:
    """Write a part's measurements into the runs, each with that of its baseline where it was measured too."""
    touched: dict[str, Run] = {}
    for measurement in part.measurements:
        for seed in range(findings.seeds):
            found = findings.measured[measure_cell_of(measurement, seed).key].result
            if found is None:
                continue
            run = Run(study.path / STUDY_RUNS / run_name(measurement.training.preset, seed))
            if "optimizers" in dict(measurement.options):
                run = Run(run.path.with_name(f"{run.path.name}-optimizers"))
            run.record(found["section"], found["variant"], found["result"], _baseline(measurement, seed, findings))
            touched[run.name] = run
    for run in touched.values():
        if recorded:
            recorded(run)


def _baseline(measurement: Measurement, seed: int, findings: Findings) -> dict[str, Any] | None:
    """The same measurement of the baseline with the same seed."""
    preset = measurement.training.config.baseline
    cell = findings.measured.get(f"{preset},seed={seed}: {measurement.key}")
    if preset is None or cell is None or cell.result is None:
        return None
    return {**cell.result["provenance"], **cell.result["result"]}


def _ablation(
    study: Run, part: Part, jobs: int, counter: _Counter, recorded: Callable[[Run], None] | None
) -> tuple[AblationResult, float]:
    """A part's ablation, a study below the study: its result, and CPU seconds."""
    assert part.kind is not None
    kind, scope = part.kind
    path, whole = _ablation_path(study, part), sum(part.ablate.seconds)
    command = ["equiwm", "ablate", kind.name, "--seeds", str(len(scope.seeds)), *(["--quick"] if scope.quick else [])]
    found, result = ablation_study(
        kind,
        scope,
        path.parent,
        jobs=jobs,
        resume=True,
        command=command,
        progress=lambda done, _, share: counter.set(path / "cells", done, share * whole),
    )
    found.record("ablate", None, result.as_dict())
    if recorded:
        recorded(found)
    cells = stored_results(part.ablate.cells, path / "cells").values()
    return result, sum(cell.seconds for cell in cells)


def _row(part: Part, statement: Statement, findings: Findings) -> ReproducedRow:
    found = findings.of(statement.source)
    # Seeds that are left have a median; an ablation that lacks cells may lack what is read.
    readable = found.whole or (found.entries and isinstance(statement.source, Measurement))
    figure = statement.read(found.entries) if readable else Figure(None, None, None, "seeds")
    return ReproducedRow(
        claim=part.claim.name,
        setting=statement.setting,
        quantity=statement.quantity,
        paper=statement.paper,
        median=figure.median,
        low=figure.low,
        high=figure.high,
        over=figure.over,
        seeds=found.seeds,
        bound=statement.bound.text,
        holds=statement.bound.holds(figure) if found.whole else None,
        ours=statement.ours,
        command=statement.source.by_hand(findings.seeds),
        runs=found.runs,
        seconds=found.seconds,
    )
