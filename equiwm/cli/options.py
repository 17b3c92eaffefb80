"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from equiwm.errors import ConfigError
from equiwm.layout.header import MAX_SEED


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    mps = "mps"
    cuda = "cuda"


class Dtype(StrEnum):
    """Precision of an evaluation."""

    float32 = "float32"
    float64 = "float64"


def _jobs(value: int) -> int:
    """Refuse a number of jobs before anything is written."""
    if value < 1 and value != -1:
        raise ConfigError(f"--jobs: got {value}, expected at least 1, or -1 for every core.")
    return value


JobsOption = Annotated[int, typer.Option("--jobs", callback=_jobs, help="processes for a grid; -1 is every core")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="directory of a trained run")]
DeviceOption = Annotated[Device, typer.Option("--device", help="auto is cuda where it exists, else the CPU")]
DtypeOption = Annotated[Dtype, typer.Option("--dtype", help="precision of the evaluation")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="no progress on stderr")]
JsonOption = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=MAX_SEED, help="seeds probe data; never meets a training's data")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="folder for metrics and figures instead of the run's own")
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="MODULE", help="import this module if a run made elsewhere names it; repeatable"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="override one setting; repeat for more"),
]


def parse_seeds(text: str) -> list[int]:
    """Seeds from `0-4`, `0,2,7` or `3`.

    Raises:
        ConfigError: anything else, or no seed at all.
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or (dash and int(high) < int(low)):
            raise ConfigError(f"--seeds: got '{text}', expected seeds such as 0-4 or 0,2,7.")
        if int(high or low) > MAX_SEED:
            raise ConfigError(f"--seeds: got '{text}', expected seeds of at most {MAX_SEED}.")
        seeds += range(int(low), int(high or low) + 1)
    return list(dict.fromkeys(seeds))
