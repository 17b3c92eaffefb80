"""A training as a cell of a grid: several seeds, several optimisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from equiwm.runs import Run
from equiwm.training.run import train_run


def train_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train the prepared run at `params["run"]`, or read it if it is complete; gives its `train` section."""
    run = Run.open(Path(params["run"]), needs_checkpoint=False)
    if run.state != "complete":
        train_run(run, device=torch.device("cpu"))
    return dict(run.metrics()["train"])
