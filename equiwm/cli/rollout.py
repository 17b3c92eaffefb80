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
    import torch

    from equiwm.audit.verdict import TOLERANCES
    from equiwm.claims.rollout import departure
    from equiwm.claims.rollout import rollout as measure_rollout
    from equiwm.cli.output import print_json, print_tables, publish, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.devices import DTYPES, resolve_device
    from equiwm.loading import LoadedRun, load_run, provenance
    from equiwm.report.figures import rollout_figure
    from equiwm.report.sections import rollout_tables
    from equiwm.results import RolloutResult

    torch.set_num_threads(1)
    place = resolve_device(device.value)
    loaded = load_run(run, DTYPES[dtype.value], place)
    other = load_run(baseline, DTYPES[dtype.value], place) if baseline else None
    if loaded.notice:
        say(loaded.notice)

    def measure(side: LoadedRun, progress: ProgressBars) -> RolloutResult:
        return measure_rollout(
            side,
            horizons=steps,
            sequences=sequences,
            seed=seed,
            progress=lambda done, total: progress.count(str(side.run.path), done, total),
        )

    with ProgressBars(quiet=quiet) as progress:
        result = measure(loaded, progress)
        beside = None if other is None else {**provenance(other), **measure(other, progress).as_dict()}
    entry = publish(loaded.run, "rollout", f"{result.group}/{result.dtype}", result, baseline=beside, out=out)
    figure = rollout_figure(entry, loaded.run.name, (out or loaded.run.path) / "figures")
    if json:
        print_json(entry)
    else:
        print_tables(rollout_tables(entry, loaded.run.name))
        say(f"figure: {figure}")
    bound, off = TOLERANCES[result.dtype], departure(result)
    if expect_invariant and not off <= bound:
        say(f"not invariant: OOD factor or residual off by {off:.1e} > {bound:.0e}.")
        raise typer.Exit(1)
