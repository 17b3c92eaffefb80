"""Options that several commands share."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from equiwm.errors import ConfigError
from equiwm.layout.header import MAX_SEED, MOST_SEEDS
from equiwm.printable import quoted


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


MOST_JOBS = 1024
"""Processes of one command."""


def _jobs(value: int) -> int:
    """Refuse a number of jobs before anything is written."""
    if not 1 <= value <= MOST_JOBS and value != -1:
        raise ConfigError(f"--jobs: got {quoted(value)}, expected 1 to {MOST_JOBS}, or -1 for every core.")
    return value


def seed_count(value: int | None) -> int | None:
    """Refuse so many seeds that their list alone takes minutes; too few are refused where the grid is made."""
    if value is not None and value > MOST_SEEDS:
        raise ConfigError(f"--seeds: got {quoted(value)}, expected how many seeds, at most {MOST_SEEDS}.")
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


_SEEDS = re.compile(r"0*(\d{1,20})(?:-0*(\d{1,20}))?", re.ASCII)


def parse_seeds(text: str) -> list[int]:
    """Seeds from `0-4`, `0,2,7` or `3`.

    Raises:
        ConfigError: anything else, no seed at all, or more than 1000.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        if match is None:
            raise ConfigError(f"--seeds: got {quoted(text)}, expected seeds such as 0-4 or 0,2,7.")
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low:
            raise ConfigError(f"--seeds: got {quoted(text)}, expected seeds such as 0-4 or 0,2,7.")
        if high > MAX_SEED:
            raise ConfigError(f"--seeds: got {quoted(text)}, expected seeds of at most {MAX_SEED}.")
        if len(seeds) + high - low >= MOST_SEEDS:
            raise ConfigError(f"--seeds: got {quoted(text)}, expected at most {MOST_SEEDS} seeds in one command.")
        seeds += range(low, high + 1)
    return list(dict.fromkeys(seeds))


def parse_reps(given: list[str] | None) -> dict[str, str] | None:
    """`--reps LEAF=REP`, repeated, as leaf -> text of a rep; None where there is none.

    Raises:
        ConfigError: another form.
    """
    if not given:
        return None
    found = {}
    for text in given:
        leaf, sign, rep = text.partition("=")
        if not sign or not leaf or not rep:
            raise ConfigError(f"--reps: got {quoted(text)}, expected LEAF=REP, as in state=4x1o.")
        found[leaf] = rep
    return found
