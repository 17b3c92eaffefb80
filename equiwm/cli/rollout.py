"""`equiwm rollout`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equiwm.cli.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    JsonOption,
    OutOption,
    QuietOption,
    RunArgument,
    SeedOption,
)
from equiwm.errors import ConfigError

MAX_HORIZON = 512


def parse_horizons(text: str) -> list[int]:
    """Horizons from `1,2,4`, in ascending order.

    Raises:
        ConfigError: anything that is no list of integers between 1 and `MAX_HORIZON`.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_HORIZON for part in parts):
        raise ConfigError(f"--horizons: got '{text}', expected steps of 1 to {MAX_HORIZON}, such as 1,2,4,8.")
    return sorted({int(part) for part in parts})


def rollout(
    run: RunArgument,
    horizons: Annotated[
        str | None, typer.Option("--horizons", help="steps of the rollouts [1,2,4,8,16,32,64, as far as they can go]")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="RUN", help="a run to measure beside it")
    ] = None,
    sequences: Annotated[
        int, typer.Option("--sequences", min=2, max=100_000, help="true sequences of each horizon")
    ] = 256,
    dtype: DtypeOption = Dtype.float32,
    expect_invariant: Annotated[
        bool,
        typer.Option(
            "--expect-invariant", help="exit with 1 unless OOD factor and residual hold to 1e-5 (1e-10 in float64)"
        ),
    ] = False,
    seed: SeedOption = 1000,
    device: DeviceOption = Device.auto,
    out: OutOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Measure H-step rollouts: their error at seen and unseen orientations, OOD factor, residual, and a figure.

    Example: equiwm rollout runs/vn-field-3d --baseline runs/mlp-field-3d
    """
    steps = None if horizons is None else parse_horizons(horizons)
    from equiwm.audit.verdict import TOLERANCES
    from equiwm.claims.rollout import departure
    from equiwm.claims.rollout import rollout as measure_rollout
    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.cli.sides import measure_sides
    from equiwm.report.figures import rollout_figure
    from equiwm.report.sections import rollout_tables
    from equiwm.results.rollout import RolloutResult
    from equiwm.subject import Subject

    def measure(side: Subject, progress: ProgressBars) -> RolloutResult:
        return measure_rollout(
            side,
            horizons=steps,
            sequences=sequences,
            seed=seed,
            progress=lambda done, total: progress.count(side.path, done, total),
        )

    measured = measure_sides(
        run,
        baseline,
        measure,
        section="rollout",
        variant=lambda result: result.variant,
        dtype=dtype,
        device=device,
        out=out,
        quiet=quiet,
    )
    result, name = measured.result, measured.loaded.name
    figure = rollout_figure(measured.entry, name, measured.figures)
    if json:
        print_json(measured.entry)
    else:
        print_tables(rollout_tables(measured.entry, name))
        say(f"figure: {figure}")
    bound, off = TOLERANCES[result.dtype], departure(result)
    if expect_invariant and not off <= bound:
        say(f"not invariant: OOD factor or residual off by {off:.1e} > {bound:.0e}.")
        raise typer.Exit(1)
