"""The cells of a reproduction: train one run, or measure one. Both work in the folder of the study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from equiwm.audit.pooled import ELEMENTS
from equiwm.claims.closed_loop.measure import closed_loop
from equiwm.claims.closed_loop.result import ClosedLoopResult
from equiwm.claims.optimizers import optimizer_study
from equiwm.claims.probe import PROBE_SEED
from equiwm.claims.residual.measure import verify
from equiwm.claims.residual.result import VerifyResult
from equiwm.claims.rollout.measure import rollout
from equiwm.claims.rollout.result import RolloutResult
from equiwm.claims.store import Stores
from equiwm.claims.sweep.measure import sweep
from equiwm.claims.sweep.result import SweepResult
from equiwm.claims.training.claim import trained
from equiwm.config import parse
from equiwm.devices import DTYPES
from equiwm.disk.strict_json import canonical_json
from equiwm.errors import TrainingError
from equiwm.grid import Stacks
from equiwm.loading import load_run
from equiwm.results.measured import Measured, Provenance, to_builtins
from equiwm.results.reproduction import MeasuredCell
from equiwm.runs import STUDY_RUNS
from equiwm.subject import Subject
from equiwm.training.cells import Started, complete_runs


def train_cell(params: dict[str, Any], study: Path) -> dict[str, Any]:
    """Train `config` with `seed` into the run `name` of the study; gives its number of parameters."""
    (found,) = train_cells([params], study)
    if isinstance(found, BaseException):
        raise found
    return found


def train_cells(several: list[dict[str, Any]], study: Path) -> list[dict[str, Any] | BaseException]:
    """`train_cell` of each, the seeds of a configuration as one program; its result, or what it would raise."""
    wanted = [
        Started(parse(params["config"]), study / STUDY_RUNS, params["name"], params["seed"], params["line"])
        for params in several
    ]
    return [
        run if isinstance(run, BaseException) else {"parameters": trained(run).parameters}
        for run in complete_runs(wanted)
    ]


TRAININGS = Stacks(lambda params: canonical_json(params["config"]), train_cells)
"""The seeds of one configuration."""


def measure_cell(params: dict[str, Any], study: Path) -> dict[str, Any]:
    """Measure a run of the study.

    Args:
        params: `run` (its name), `command`, and `options` as the command line calls them.
        study: the study's folder.

    Returns:
        A `MeasuredCell` as JSON data. With the option `optimizers` its result is that of the study `RUN-optimizers`
        beside the run.

    Raises:
        TrainingError: a training under another optimiser failed.
    """
    path, options = study / STUDY_RUNS / params["run"], dict(params["options"])
    if "optimizers" in options:
        return _optimizers(path, options)
    loaded = load_run(path, DTYPES[options.pop("dtype")])
    section = params["command"].replace("-", "_")
    with Stores(study / "cells" / "episodes") as stores:
        result = _measure(loaded, section, options, stores)
    entry = to_builtins(Measured(result, checkpoint_sha256=loaded.checkpoint_sha256))
    return MeasuredCell(section, entry, Provenance(**loaded.provenance())).as_dict()


def _measure(
    loaded: Subject, section: str, options: dict[str, Any], stores: Stores
) -> VerifyResult | SweepResult | RolloutResult | ClosedLoopResult:
    if section == "verify_equivariance":
        return verify(loaded, **options)
    if section == "sweep_group":
        return sweep(loaded, **options)
    if section == "rollout":
        return rollout(loaded, **options)
    definition = {"run": loaded.stored.name, "checkpoint": loaded.checkpoint_sha256, "options": options}
    result = closed_loop(loaded, store=stores.open(definition), **options).result
    stores.remove()  # its episodes are in the result
    return result


def _optimizers(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    _, result = optimizer_study(
        path,
        options["optimizers"],
        group=options["group"],
        samples=options.get("samples", ELEMENTS),
        tolerance=None,
        seed=PROBE_SEED,
        jobs=1,
        out=None,
        resume=True,
        command=["equiwm", "verify-equivariance", path.name, "--optimizers", options["optimizers"]],
    )
    if result.failed:
        raise TrainingError("; ".join(result.failed))
    provenance = Provenance(**load_run(path).provenance())
    return MeasuredCell("verify_equivariance", result.as_dict(), provenance).as_dict()
