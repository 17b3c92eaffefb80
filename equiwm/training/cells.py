"""A training as a cell of a grid: several seeds, several optimisers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from equiwm.boundary import machine_error
from equiwm.config import Config
from equiwm.locate import RAISED
from equiwm.printable import printable
from equiwm.runs import Run
from equiwm.training.run import prepare_run, refused_whole, train_run
from equiwm.training.together import train_runs
from equiwm.training.trackers import NoTracker, Tracker, build_tracker


def complete_run(config: Config, folder: Path, name: str, *, seed: int, command: Sequence[str] = ()) -> Run:
    """The complete run `folder`/`name` of a configuration; one that is missing is made, an interrupted one goes on.

    Raises:
        RunError: it was started with another configuration, or is in use.
        TrainingError: the training diverged or collapsed.
    """
    made = Run(folder / name).state == "absent"
    run = prepare_run(config, folder, name, seed=seed, resume=True, command=command)
    if run.state != "complete":
        with refused_whole(run, made=made):
            train_run(run, device=torch.device("cpu"))
    return run


@dataclass(frozen=True)
class Started:
    """A configuration and a seed, and the run that is to become of it.

    Attributes:
        config: the configuration.
        folder: the folder that holds runs.
        name: of the run.
        seed: of the training.
        command: the command line, for config.yaml.
    """

    config: Config
    folder: Path
    name: str
    seed: int
    command: Sequence[str] = ()


def complete_runs(wanted: Sequence[Started]) -> list[Run | BaseException]:
    """`complete_run` of each, trained as one program where they can be; the run, or what `complete_run` would raise."""

    def prepared(each: Started) -> tuple[Run, bool, Tracker]:
        made = Run(each.folder / each.name).state == "absent"
        run = prepare_run(each.config, each.folder, each.name, seed=each.seed, resume=True, command=each.command)
        return run, made, NoTracker()

    return _trained([partial(prepared, each) for each in wanted])


def _trained(
    prepared: Sequence[Callable[[], tuple[Run, bool, Tracker]]], completed: Callable[[Run], None] | None = None
) -> list[Run | BaseException]:
    """Complete runs, of what prepares each: a run, whether it was made for this, and who is told of its training."""
    found: dict[int, Run | BaseException] = {}
    missing: dict[int, tuple[Run, bool, Tracker]] = {}
    for index, prepare in enumerate(prepared):
        try:
            each = prepare()
        except RAISED as error:
            if machine_error(error) is not None:
                raise
            found[index] = error
        else:
            found[index] = each[0]
            if each[0].state != "complete":
                missing[index] = each
    outcomes = train_runs(
        [run for run, _, _ in missing.values()],
        made=[made for _, made, _ in missing.values()],
        trackers=[tracker for _, _, tracker in missing.values()],
        completed=completed,
    )
    ended = zip(missing, outcomes, strict=True)
    found |= {index: outcome for index, outcome in ended if isinstance(outcome, BaseException)}
    return [found[index] for index in range(len(prepared))]


def train_cell(params: dict[str, Any], completed: Callable[[Run], None] | None = None) -> dict[str, Any]:
    """Train the prepared run at `params["run"]`, or read it if it is complete; gives its `train` section.

    `params["made"]` says whether it was prepared just now, so that it goes if its training is refused;
    `params["tracker"]` is the name of who is told of it, or None; `completed` as in `train_run`.
    """
    (found,) = train_cells([params], completed)
    if isinstance(found, BaseException):
        raise found
    return found


def train_cells(
    cells: Sequence[dict[str, Any]], completed: Callable[[Run], None] | None = None
) -> list[dict[str, Any] | BaseException]:
    """`train_cell` of several, trained as one program where they can be; its section, or what it raises."""

    def prepared(params: dict[str, Any]) -> tuple[Run, bool, Tracker]:
        run, name = Run.open(Path(params["run"]), needs_checkpoint=False), params["tracker"]
        told = NoTracker() if name is None or run.state == "complete" else build_tracker(name, run.path, _tell)
        return run, params["made"], told

    runs = _trained([partial(prepared, params) for params in cells], completed)
    return [run if isinstance(run, BaseException) else dict(run.metrics()["train"]) for run in runs]


def _tell(message: str) -> None:
    """A line from a process of the grid."""
    print(printable(message), file=sys.stderr, flush=True)
