"""A reproduction as a study directory: its grids, claim by claim, and the table that they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.ablation.study import ablation_study, study_name
from equiwm.claims.registry import find
from equiwm.claims.reproduce.cells import TRAININGS, measure_cell, train_cell
from equiwm.claims.reproduce.plan import Batch, ClaimWork, measure_cell_of, study_config
from equiwm.claims.reproduce.sources import Ablation, Measurement, Size, Source, SourcedStatement
from equiwm.claims.residual.result import OptimizerStudy
from equiwm.claims.study import StudyProgress, compute_cells, errors_of, open_study
from equiwm.grid import CellFunction, CellResult, Stacks, stored_results
from equiwm.results.ablation import AblationResult, read_rows
from equiwm.results.door import SCHEMA, read
from equiwm.results.measured import Baseline, Measured, to_builtins
from equiwm.results.reproduction import ClaimCost, MeasuredCell, ReproducedRow, ReproductionResult
from equiwm.results.result import Result
from equiwm.runs import STUDY_RUNS, Run, run_name


@dataclass(frozen=True)
class Evidence:
    """What a statement is read from.

    Attributes:
        results: of a command, one a seed, or rows of an ablation.
        runs: directories below the study.
        seeds: how many are in them.
        seconds: CPU seconds of all that was needed for it.
        whole: whether nothing is missing.
    """

    results: Sequence[Result]
    runs: list[str]
    seeds: int
    seconds: float
    whole: bool


@dataclass
class Computed:
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

    def of(self, source: Source) -> Evidence:
        """What a source came to."""
        if isinstance(source, Ablation):
            result, name, seconds = self.ablated[source.kind]
            rows = read_rows(load_kind(source.kind).row, result.rows, f"{name}: ")
            seeds = len({row.seed for row in rows})
            return Evidence(rows, [f"{STUDY_RUNS}/{name}"], seeds, seconds, not result.failed)
        cells = [self.measured[measure_cell_of(source, seed).key] for seed in range(self.seeds)]
        names = [run_name(source.training.preset, seed) for seed in range(self.seeds)]
        results = [_typed(found, source) for found in map(_found, cells) if found]
        seconds = sum(cell.seconds + self.trained[name].seconds for cell, name in zip(cells, names, strict=True))
        suffix = "-optimizers" if "optimizers" in dict(source.options) else ""
        runs = [f"{STUDY_RUNS}/{name}{suffix}" for name in names]
        return Evidence(results, runs, len(results), seconds, len(results) == self.seeds)


def _found(cell: CellResult) -> MeasuredCell | None:
    """What a cell has measured; None where it failed."""
    return None if cell.result is None else read(MeasuredCell, cell.result, cell.cell.key)


def _typed(found: MeasuredCell, source: Measurement) -> Result:
    """What a cell has measured, as the result of its command."""
    kind: type[Result] = OptimizerStudy
    if "optimizers" not in dict(source.options):
        kind = find(found.section).result_type
    return read(kind, {"schema": SCHEMA, **found.result}, source.key)


class _Counter:
    """How far all grids are: cells and work done of each, what was there at the start included."""

    def __init__(self, work: Sequence[ClaimWork], study: Run, progress: StudyProgress | None) -> None:
        self.cells = sum(each.cells for each in work)
        self.work = sum(batch.work for each in work for batch in each.batches)
        self.progress = progress
        self.done: dict[Path, tuple[int, float]] = {}
        for each in work:
            for store, batch in zip(_stores(study, each), each.batches, strict=True):
                found = stored_results(batch.cells, store)
                self.done[store] = len(found), sum(batch.weight(batch.cells[index]) for index in found)
        self.report()

    def report(self) -> None:
        """Say it."""
        if self.progress:
            cells, work = zip(*self.done.values(), strict=True)
            self.progress(sum(cells), self.cells, sum(work) / self.work if self.work else 1.0)

    def of(self, store: Path, batch: Batch) -> StudyProgress:
        """The progress of one grid."""

        def count(done: int, total: int, share: float) -> None:
            self.done[store] = done, share * batch.work
            self.report()

        return count


def _stores(study: Run, part: ClaimWork) -> tuple[Path, Path, Path]:
    """The stores of a part's grids: trainings, measurements, ablation."""
    cells = study.path / "cells" / part.claim.name
    return cells / "train", cells / "measure", _ablation_path(study, part) / "cells"


def _ablation_path(study: Run, part: ClaimWork) -> Path:
    return study.path / STUDY_RUNS / (study_name(*part.kind) if part.kind else part.claim.name)


def reproduce(
    parts: Sequence[ClaimWork],
    size: Size,
    folder: Path,
    *,
    name: str,
    jobs: int = 1,
    resume: bool = False,
    command: Sequence[str] = (),
    progress: StudyProgress | None = None,
    starting: Callable[[ClaimWork], None] | None = None,
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
    study = open_study(folder, name, config, seed=0, resume=resume, command=command)
    counter, computed = _Counter(parts, study, progress), Computed(size.seeds)
    rows: list[ReproducedRow] = []
    claims: list[ClaimCost] = []
    failed: list[str] = []
    for part in parts:
        if starting:
            starting(part)
        trained = _grid(study, part, 0, train_cell, jobs, counter, TRAININGS)
        measured = _grid(study, part, 1, measure_cell, jobs, counter)
        computed.trained |= {cell.cell.params["name"]: cell for cell in trained}
        computed.measured |= {cell.cell.key: cell for cell in measured}
        # A run that could not be trained is named once, and not again by all that would have measured it.
        broken = {name for name, cell in computed.trained.items() if cell.error}
        lines = errors_of([*trained, *(cell for cell in measured if cell.cell.params["run"] not in broken)])
        _record(study, part, computed, recorded)
        seconds = sum(cell.seconds for cell in (*trained, *measured))
        if part.kind:
            result, spent = _ablation(study, part, jobs, counter, recorded)
            computed.ablated[part.kind[0].name] = result, _ablation_path(study, part).name, spent
            lines += result.failed
            seconds += spent
        failed += [f"{part.claim.name}: {line}" for line in lines]
        rows += [_row(part, statement, computed) for statement in part.statements]
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


def _grid(
    study: Run,
    part: ClaimWork,
    index: int,
    function: CellFunction,
    jobs: int,
    counter: _Counter,
    stacks: Stacks | None = None,
) -> list[CellResult]:
    """Compute a claim's trainings or measurements."""
    batch, store = part.batches[index], _stores(study, part)[index]
    if not batch.cells:
        return []
    # Whether the study may be gone on with has been asked already.
    return compute_cells(
        function,
        batch.cells,
        store,
        batch.weight,
        jobs=jobs,
        resume=True,
        progress=counter.of(store, batch),
        root=study.path,
        stacks=stacks,
    )


def _record(study: Run, part: ClaimWork, computed: Computed, recorded: Callable[[Run], None] | None) -> None:
    """Write a part's measurements into the runs, each with that of its baseline where it was measured too."""
    touched: dict[str, Run] = {}
    for measurement in part.measurements:
        for seed in range(computed.seeds):
            found = _found(computed.measured[measure_cell_of(measurement, seed).key])
            if found is None:
                continue
            run = Run(study.path / STUDY_RUNS / run_name(measurement.training.preset, seed))
            if "optimizers" in dict(measurement.options):
                run = Run(run.path.with_name(f"{run.path.name}-optimizers"))
            # As the command itself writes it (`cli.output.publish`).
            measured = _measured(measurement, found, _baseline(measurement, seed, computed))
            run.record(found.section, measured.result.variant or None, to_builtins(measured))
            touched[run.name] = run
    for run in touched.values():
        if recorded:
            recorded(run)


def _measured(measurement: Measurement, found: MeasuredCell, baseline: MeasuredCell | None) -> Measured[Result]:
    """What a cell has measured, beside what the cell of its baseline has."""
    result, weights = _typed(found, measurement), found.provenance.checkpoint_sha256
    if "optimizers" in dict(measurement.options):
        return Measured(result)
    if baseline is None:
        return Measured(result, checkpoint_sha256=weights)
    beside = Baseline(baseline.provenance, _typed(baseline, measurement))
    return Measured(result, beside, weights)


def _baseline(measurement: Measurement, seed: int, computed: Computed) -> MeasuredCell | None:
    """The same measurement of the baseline with the same seed."""
    preset = measurement.training.config.baseline
    cell = computed.measured.get(f"{preset},seed={seed}: {measurement.key}")
    return None if preset is None or cell is None else _found(cell)


def _ablation(
    study: Run, part: ClaimWork, jobs: int, counter: _Counter, recorded: Callable[[Run], None] | None
) -> tuple[AblationResult, float]:
    """A part's ablation, a study below the study: its result, and CPU seconds."""
    assert part.kind is not None
    kind, scope = part.kind
    path = _ablation_path(study, part)
    command = ["equiwm", "ablate", kind.name, "--seeds", str(len(scope.seeds)), *(["--quick"] if scope.quick else [])]
    found, result = ablation_study(
        kind,
        scope,
        path.parent,
        jobs=jobs,
        resume=True,
        command=command,
        progress=counter.of(path / "cells", part.ablate),
    )
    found.record("ablate", None, to_builtins(Measured(result)))
    if recorded:
        recorded(found)
    cells = stored_results(part.ablate.cells, path / "cells").values()
    return result, sum(cell.seconds for cell in cells)


def _row(part: ClaimWork, statement: SourcedStatement[Any], computed: Computed) -> ReproducedRow:
    found = computed.of(statement.source)
    # Seeds that are left have a median; an ablation that lacks cells may lack what is read.
    readable = found.whole or isinstance(statement.source, Measurement)
    decided = statement.decide(found.results if readable else (), seeds=found.seeds, whole=found.whole)
    return ReproducedRow(
        **vars(decided),
        claim=part.claim.name,
        command=statement.source.by_hand(computed.seeds),
        runs=found.runs,
        seconds=found.seconds,
        dtype=statement.dtype or statement.source.dtype,
    )
