"""A training as a cell of a grid: several seeds, several optimisers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from equiwm.config import Config
from equiwm.printable import printable
from equiwm.runs import Run
from equiwm.training.run import prepare_run, refused_whole, train_run
from equiwm.training.trackers import build_tracker


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


def train_cell(params: dict[str, Any], completed: Callable[[Run], None] | None = None) -> dict[str, Any]:
    """Train the prepared run at `params["run"]`, or read it if it is complete; gives its `train` section.

    `params["made"]` says whether it was prepared just now, so that it goes if its training is refused;
    `params["tracker"]` is the name of who is told of it, or None; `completed` as in `train_run`.
    """
    run = Run.open(Path(params["run"]), needs_checkpoint=False)
    if run.state != "complete":
        name = params["tracker"]
        tracker = None if name is None else build_tracker(name, run.path, _tell)
        with refused_whole(run, made=params["made"]):
            train_run(run, device=torch.device("cpu"), tracker=tracker, completed=completed)
    return dict(run.metrics()["train"])


def _tell(message: str) -> None:
    """A line from a process of the grid."""
    print(printable(message), file=sys.stderr, flush=True)
