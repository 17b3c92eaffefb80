"""`equiwm check-data`: what a log says of a symmetry."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from equiwm.cli.options import JsonOption, SeedOption
from equiwm.errors import ConfigError

HELP = "an .npz, .csv, .parquet, .h5 or .hdf5 file, or a Zarr, Minari or LeRobot folder"


class ExpectedOfData(StrEnum):
    """The verdict that passes."""

    consistent = "consistent"
    broken = "broken"


def check_data(
    data: Annotated[Path, typer.Argument(metavar="DATA", help=HELP)],
    group: Annotated[str | None, typer.Option("--group", help="so2, se2, o2, so3, so2z, mirrorx2, c4, ...")] = None,
    reps: Annotated[
        Path | None, typer.Option("--reps", help=r"what the columns are \[DATA's name with .reps.yaml, or reps.yaml]")
    ] = None,
    guess: Annotated[bool, typer.Option("--guess", help="print a reps.yaml to be corrected, and test nothing")] = False,
    expect: Annotated[
        ExpectedOfData, typer.Option("--expect", help="exit with 1 for any other verdict")
    ] = ExpectedOfData.consistent,
    seed: SeedOption = 1000,
    json: JsonOption = False,
) -> None:
    """Is a log consistent with a symmetry of its world, does it refute it, or can it not tell?

    A calibrated test at a level of 5%, with the break in the data's units, where it is strongest, what this much data
    would have shown, and which orientations were seen. Exits with 1 where it is not --expect: broken, or cannot tell.

    Examples: equiwm check-data log.npz --guess > reps.yaml ; equiwm check-data log.npz --group so2 --reps reps.yaml
    """
    from equiwm.cli.output import print_json, print_tables, print_text

    if guess:
        from equiwm.logs.guess import guess as guessed

        print_text(guessed(data))
        return
    if group is None:
        raise ConfigError("--group is missing: which symmetry is asked for, as in --group so2.")
    from equiwm.evidence.data.check import check_data as checked
    from equiwm.evidence.data.words import tables, text
    from equiwm.logs.spec import required_spec

    result = checked(data, group, reps=reps or required_spec(data), seed=seed)
    if json:
        print_json(result.as_dict())
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print_text(text(result, width) + "\n\n")
        print_tables(tables(result, data.name))
    if result.verdict != expect.value:
        raise typer.Exit(1)
