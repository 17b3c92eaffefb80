"""`equiwm sweep-group`."""

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


def sweep_group(
    run: RunArgument,
    group: Annotated[str | None, typer.Option("--group", help=r"so2, o2, so3, se3, o3 \[the world's own]")] = None,
    bins: Annotated[
        int | None,
        typer.Option("--bins", min=2, max=3600, help="angles round the circle [36], or random elements in space [64]"),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="RUN", help="a run to measure beside it")
    ] = None,
    transitions: Annotated[int, typer.Option("--transitions", min=2, help="held-out transitions")] = 1000,
    dtype: DtypeOption = Dtype.float32,
    expect_invariant: Annotated[
        bool, typer.Option("--expect-invariant", help="exit with 1 unless the error is flat to 1e-5 (1e-10 in float64)")
    ] = False,
    seed: SeedOption = 1000,
    device: DeviceOption = Device.auto,
    out: OutOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Measure the one-step error in every orientation bin: table, read-outs and a figure.

    Example: equiwm sweep-group runs/vn-2d --group so2 --baseline runs/mlp-2d
    """
    from equiwm.audit.verdict import TOLERANCES
    from equiwm.claims.sweep import sweep
    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.cli.sides import measure_sides
    from equiwm.report.figures import sweep_figure
    from equiwm.report.sections import sweep_tables
    from equiwm.results.sweep import SweepResult
    from equiwm.subject import Subject

    def measure(side: Subject, progress: ProgressBars) -> SweepResult:
        return sweep(
            side,
            group=group,
            bins=bins,
            transitions=transitions,
            seed=seed,
            progress=lambda done, total: progress.count(side.path, done, total),
        )

    measured = measure_sides(
        run,
        baseline,
        measure,
        section="sweep_group",
        variant=lambda result: result.variant,
        dtype=dtype,
        device=device,
        out=out,
        quiet=quiet,
    )
    result, name = measured.result, measured.loaded.name
    figure = sweep_figure(measured.entry, name, measured.figures)
    if json:
        print_json(measured.entry)
    else:
        print_tables(sweep_tables(measured.entry, name))
        say(f"figure: {figure}")
    bound = TOLERANCES[result.dtype]
    if expect_invariant and not result.flatness <= bound:
        say(f"not invariant: flatness {result.flatness:.1e} > {bound:.0e}.")
        raise typer.Exit(1)
