"""One row a run of a folder."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from equiwm.errors import EquiwmError, RunError
from equiwm.report.table import Table, number
from equiwm.runs import Run


def collect(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What the runs in a folder have measured, and what was left out and why.

    Returns:
        One mapping a run with `run`, `preset`, `kind`, `seed` and its `metrics`, in order of name; and a line for
        each run that is incomplete or damaged. Folders that are no runs are not mentioned.

    Raises:
        RunError: the folder does not exist, or holds no run.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: expected a folder that holds runs; it {'is a file' if folder.exists() else 'does not exist'}."
        )
    try:
        paths = [folder] if _is_run(folder) else sorted(path for path in folder.iterdir() if _is_run(path))
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror}.") from None
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    for path in paths:
        run = Run(path)
        try:
            if run.state == "incomplete":
                skipped.append(f"{path} is incomplete; finish it with: {run.resume_command}")
                continue
            header, data, metrics = run.header, run.data, run.metrics()
            if header.kind == "study" and not metrics:
                again = shlex.join([*header.command, *(["--resume"] if "--resume" not in header.command else [])])
                skipped.append(f"{path} is a study that has no result yet; go on with: {again}")
                continue
        except EquiwmError as error:
            skipped.append(str(error))
            continue
        row = {
            "run": run.name,
            "preset": data.get("preset"),
            "kind": header.kind,
            "seed": header.seed,
            "metrics": metrics,
        }
        try:
            "".join(_row(row))  # that every cell can be made, and is text
        except (KeyError, TypeError, ValueError, AttributeError):
            skipped.append(
                f"{run.metrics_path} is damaged, or another version of equiwm wrote it; measure the run again."
            )
            continue
        rows.append(row)
    if not rows and not skipped:
        raise RunError(f"{folder} holds no run: expected directories with a config.yaml, as `equiwm train` makes them.")
    return rows, skipped


def _is_run(path: Path) -> bool:
    # os.path: unlike Path's method it says False, and raises nothing, where it may not look
    return os.path.isfile(Run(path).config_path)


_SHORT = {"float32": "f32", "float64": "f64"}


def overview_tables(rows: list[dict[str, Any]], folder: Path) -> list[Table]:
    """Training, last residual and last sweep of every run, a row each; then read-outs, a row a target, and ablations.

    A dash stands for what was not measured.
    """
    columns = (
        *("run", "seed", "parameters", "residual", "verdict"),
        *("sweep", "relMSE", "OOD", "flatness"),
    )
    tables = [Table(f"runs in {folder}", columns, [_row(row) for row in rows])]
    readouts = [cells for row in rows for cells in _readouts(row)]
    if readouts:
        headings = ("run", "read-out", "sweep", "seen", "worst unseen", "action alone")
        tables.append(Table(f"read-out errors in {folder}", headings, readouts))
    ablations = [(row["run"], row["metrics"]["ablate"]) for row in rows if "ablate" in row["metrics"]]
    if ablations:
        answers = [(name, entry["question"], entry["answer"]) for name, entry in ablations]
        tables.append(Table(f"ablations in {folder}", ("study", "question", "answer"), answers))
    return tables


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    train, verify, sweep = (row["metrics"].get(key, {}) for key in ("train", "verify_equivariance", "sweep_group"))
    parameters = train.get("parameters")
    residual = verify.get("trained", {}).get("relative_composed")
    named = row["preset"] is None or row["run"].startswith(str(row["preset"]))
    name = row["run"] if named else f"{row['run']} ({row['preset']})"
    return (
        name,
        str(row["seed"]),
        f"{parameters:,}" if parameters else "–",
        "–" if residual is None else f"{number(residual)} {_SHORT[verify['dtype']]}",
        verify.get("verdict", "–") if "rows" not in verify else ("all hold" if verify["passed"] else "fails"),
        _sweep(sweep),
        number(sweep.get("seen")),
        number(sweep.get("ood_factor"), 6),
        number(sweep.get("flatness"), 2),
    )


def _sweep(sweep: dict[str, Any]) -> str:
    return f"{sweep['group'].upper()} {_SHORT[sweep['dtype']]}" if "group" in sweep else "–"


def _readouts(row: dict[str, Any]) -> list[tuple[str, ...]]:
    sweep = row["metrics"].get("sweep_group", {})
    return [
        (
            row["run"],
            target.replace("_", " "),
            _sweep(sweep),
            *(number(entry[key]) for key in ("seen", "worst_unseen", "action_only")),
        )
        for target, entry in sweep.get("readout", {}).items()
    ]
