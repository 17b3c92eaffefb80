"""An ablation as a study directory: its grid, its rows, its answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equiwm import errors
from equiwm.claims.ablation.kind import AblationKind, Scope
from equiwm.claims.ablation.rows import write_rows
from equiwm.claims.statement import answer
from equiwm.claims.study import StudyProgress, compute_cells, errors_of, open_study
from equiwm.config import is_path, preset_names
from equiwm.errors import ConfigError, nearest
from equiwm.grid import CellResult, require_storable
from equiwm.layout.header import MOST_SEEDS
from equiwm.results.ablation import AblationResult, AblationRow, CellRows, read_rows
from equiwm.results.door import read
from equiwm.results.statement import DecidedStatement
from equiwm.runs import Run

SEEDS, QUICK_SEEDS = 5, 2


def resolve_scope(
    kind: AblationKind[Any],
    *,
    world: str | None = None,
    dim: int | None = None,
    seeds: int | None = None,
    quick: bool = False,
    preset: str | None = None,
) -> Scope:
    """What is asked for, defaults filled in.

    Args:
        kind: the stress test.
        world: name of the world; None is the kind's default. Where the kind takes any preset, one by name or path.
        dim: 2 or 3; None is every one that the world has.
        seeds: how many; None is 5, or 2 of the quick version.
        quick: the small version.
        preset: name or path of a preset that is compared with its baseline, in place of the kind's own arms.

    Raises:
        ConfigError: a world that the kind cannot run on, a dimension that the world does not have, or no seeds.
    """
    count = (QUICK_SEEDS if quick else SEEDS) if seeds is None else seeds
    if not 1 <= count <= MOST_SEEDS:
        raise ConfigError(f"--seeds: got {count}, expected how many seeds, 1 to {MOST_SEEDS:,}.")
    if preset is None and world is not None and kind.any_preset and world not in kind.runs_on():
        preset, world = (world, None) if is_path(world) or world in preset_names() else (None, world)
    if preset is not None:
        return _scope_of_preset(kind, preset, world, dim, tuple(range(count)), quick)
    known = kind.runs_on()
    if not known:
        raise ConfigError(f"ablation '{kind.name}': it has no presets and no worlds to run on.")
    chosen = next(iter(known)) if world is None else world
    if chosen not in known:
        expected = f"the only world it runs on is {next(iter(known))}." if len(known) == 1 else nearest(chosen, known)
        raise ConfigError(f"--world: `ablate {kind.name}` cannot run on '{chosen}'; {expected}")
    has = kind.dimensions_on(chosen)
    if dim is not None and dim not in has:
        expected = " and ".join(map(str, has))
        raise ConfigError(f"--dim: got {dim}, expected {expected}: the world {chosen} has no other dimension.")
    return Scope(
        dims=has if dim is None else (dim,),
        seeds=tuple(range(count)),
        quick=quick,
        world=chosen,
        presets=known[chosen],
    )


def _scope_of_preset(
    kind: AblationKind[Any], preset: str, world: str | None, dim: int | None, seeds: tuple[int, ...], quick: bool
) -> Scope:
    if not kind.any_preset:
        raise ConfigError(f"--preset: `ablate {kind.name}` has arms of its own; expected no preset.")
    if world is not None or dim is not None:
        raise ConfigError("give --preset alone: it says its world and dimension itself, without --world and --dim.")
    from equiwm.config import load
    from equiwm.worlds.factory import build_world

    config = load(preset)
    return Scope((build_world(config.world).dimension,), seeds, quick, config.world.name, preset)


def study_name(kind: AblationKind[Any], scope: Scope) -> str:
    """`ablate-KIND`, with the world, the dimension and the size where they are not the default."""
    parts = ["ablate", kind.name]
    if scope.preset is not None:
        return "-".join([*parts, Path(scope.preset).stem, *["quick"] * scope.quick])
    parts += [scope.world] * (scope.world != next(iter(kind.runs_on())))
    parts += [f"{scope.dims[0]}d"] * (scope.dims != kind.dimensions_on(scope.world))
    return "-".join([*parts, *["quick"] * scope.quick])


def decided(
    kind: AblationKind[Any], scope: Scope, rows: Sequence[AblationRow], *, whole: bool
) -> list[DecidedStatement]:
    """What the kind states, beside what its rows say.

    Args:
        kind: the stress test.
        scope: what was asked for.
        rows: of the kind.
        whole: whether no cell failed; else every statement is open.
    """
    seeds = len({row.seed for row in rows})
    return [each.decide(rows, seeds=seeds, whole=whole) for each in kind.statements(scope)]


def ablation_study(
    kind: AblationKind[Any],
    scope: Scope,
    folder: Path,
    *,
    name: str | None = None,
    called: str | None = None,
    jobs: int | None = 1,
    resume: bool = False,
    command: Sequence[str] = (),
    progress: StudyProgress | None = None,
) -> tuple[Run, AblationResult]:
    """Compute a grid in the study directory `folder`/`name`, with `config.yaml` and `rows.csv`.

    Metrics are the caller's to write, as everywhere. Seeds in a grid are those of the training: its data, weights and
    order.

    Args:
        kind: the stress test.
        scope: what is asked for.
        folder: the folder that holds runs.
        name: the study's name; None is `study_name`.
        called: what the kind was called by, and is to be found by when the study is shown; None is its name.
        jobs: processes; None takes the backend of a surrounding `joblib.parallel_config`.
        resume: go on with a study that is there.
        command: the command line, for config.yaml.
        progress: called as cells finish.

    Returns:
        The study and its result. Nothing of it depends on jobs, order or interruption.

    Raises:
        ConfigError: the kind has more cells than one grid may have.
        RunError: the study exists and `resume` is not set, or it is another one; or it cannot be written.
        ResultError: a cell's row lacks a column of the kind.
        DataError: every cell was refused for what the user gave (a world without data).
    """
    called = called or kind.name
    config = {
        "study": {
            "claim": "ablation",
            "kind": called,
            "world": scope.world,
            "dims": list(scope.dims),
            "seeds": list(scope.seeds),
            "quick": scope.quick,
            **({} if scope.preset is None else {"preset": scope.preset}),
            "settings": kind.settings(scope),
        }
    }
    place = study_name(kind, scope) if name is None else name
    cells = kind.cells(scope)
    require_storable(cells)
    kind.statements(scope)  # what a kind refuses, it refuses before anything is written
    study = open_study(folder, place, config, seed=scope.seeds[0], resume=resume, command=command)
    results = compute_cells(
        kind.compute,
        cells,
        study.path / "cells",
        lambda cell: kind.work(cell.params),
        jobs=jobs,
        resume=resume,
        progress=progress,
        stacks=kind.stacks,
    )
    _require_any(results)
    return study, _result(kind, scope, called, results, study)


def _require_any(results: Sequence[CellResult]) -> None:
    """Refuse a study of whose cells none could be computed from what the user gave: it has no result to write.

    Raises:
        DataError: every cell was refused, with what the first one says.
    """
    kinds = [getattr(errors, result.error.type, None) for result in results if result.error]
    refused = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, errors.EquiwmError)]
    first = next((result for result in results if result.error), None)
    if first and first.error and len(refused) == len(results) and all(kind.exit_status == 2 for kind in refused):
        raise errors.DataError(f"none of the {len(results)} cells can be computed: {first.error.message}")


def _result(
    kind: AblationKind[Any], scope: Scope, called: str, results: Sequence[CellResult], study: Run
) -> AblationResult:
    computed = {
        result.cell.key: read(CellRows, result.result, f"{study.path}: {result.cell.key}")
        for result in results
        if result.result
    }
    rows = read_rows(kind.row, [row for found in computed.values() for row in found.rows], f"{study.path}: ")
    failed = errors_of(results)
    diverged = [f"{key}: {line}" for key, found in computed.items() for line in found.failed]
    flat = [row.as_dict() for row in rows]
    write_rows(study.path / "rows.csv", flat)
    statements = decided(kind, scope, rows, whole=not failed)
    return AblationResult(
        kind=called,
        world=scope.world,
        question=kind.question,
        answer=f"open: {len(failed)} of {len(results)} cells failed." if failed else answer(statements),
        dims=list(scope.dims),
        seeds=list(scope.seeds),
        quick=scope.quick,
        rows=flat,
        failed=failed + diverged,
        statements=statements,
    )
