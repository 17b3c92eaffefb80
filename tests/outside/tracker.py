"""A tracker as a user writes one: it writes a line for each call beside the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Lines:
    def __init__(self, run: Path) -> None:
        self.path = run.with_suffix(".jsonl")

    def _add(self, **entry: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def start(self, config: Mapping[str, Any]) -> None:
        self._add(start=dict(config))

    def log(self, row: Mapping[str, float], epoch: int) -> None:
        self._add(epoch=epoch, row=dict(row))

    def finish(self, summary: Mapping[str, Any]) -> None:
        self._add(finish=dict(summary))


class Faulty(Lines):
    """Raises in its second epoch, and counts how often it is called."""

    def log(self, row: Mapping[str, float], epoch: int) -> None:
        super().log(row, epoch)
        if epoch == 2:
            raise ConnectionError("the server is gone")


class Leaving(Lines):
    def start(self, config: Mapping[str, Any]) -> None:
        raise SystemExit(0)


class Meddling(Lines):
    """Changes what it is given."""

    def start(self, config: Mapping[str, Any]) -> None:
        config["seed"] = 7  # type: ignore[index]

    def log(self, row: Mapping[str, float], epoch: int) -> None:
        row["loss"] = 0.0  # type: ignore[index]


def broken(run: Path) -> Lines:
    raise OSError("no such server")


def half(run: Path) -> object:
    return type("Half", (), {"start": lambda self, config: None})()
