"""`equiwm verify-equivariance`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from equiwm.cli.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    JobsOption,
    JsonOption,
    OutOption,
    QuietOption,
    RunArgument,
    SeedOption,
)


def verify_equivariance(
    run: RunArgument,
    group: Annotated[str | None, typer.Option("--group", help=r"so2, o2, ... \[the world's own]")] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="group elements to probe")] = 64,
    dtype: DtypeOption = Dtype.float32,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", min=0.0, help="bound on relative residuals [1e-5, or 1e-10 in float64]"),
    ] = None,
    optimizers: Annotated[
        str | None,
        typer.Option("--optimizers", help="retrain under `all` optimisers, or adam,sgd (probed in both dtypes)"),
    ] = None,
    jobs: JobsOption = 1,
    resume: Annotated[bool, typer.Option("--resume", help="go on with --optimizers where it was interrupted")] = False,
    world_rollouts: Annotated[
        int, typer.Option("--world-rollouts", min=0, help="also measure the world's own symmetry, on so many rollouts")
    ] = 0,
    seed: SeedOption = 1000,
    device: DeviceOption = Device.auto,
    out: OutOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Measure whether a trained network is still equivariant; exits with 1 if it is not.

    Residuals of encoder, predictor and both composed, at initialisation and after training, beside an ordinary
    network that has to fail.

    Examples: equiwm verify-equivariance runs/vn-2d --dtype float64 ;
    equiwm verify-equivariance runs/vn-2d --optimizers all --jobs 2
    """
    import torch

    from equiwm.claims.residual import verify
    from equiwm.cli.output import print_json, print_tables, publish, require_writable, say
    from equiwm.devices import DTYPES, resolve_device
    from equiwm.loading import load_run
    from equiwm.report.sections import verify_tables

    torch.set_num_threads(1)
    if optimizers is not None:
        _optimizers(run, optimizers, group, samples, tolerance, seed, jobs, out, resume=resume, quiet=quiet, json=json)
        return
    loaded = load_run(run, DTYPES[dtype.value], resolve_device(device.value))
    require_writable(loaded.stored, out)
    if loaded.notice:
        say(loaded.notice)
    result = verify(loaded, group=group, samples=samples, tolerance=tolerance, seed=seed, world_rollouts=world_rollouts)
    entry = publish(loaded.stored, "verify_equivariance", result.variant, result, baseline=None, out=out)
    if json:
        print_json(entry)
    else:
        print_tables(verify_tables(entry, loaded.name))
    if not result.passed:
        raise typer.Exit(1)


def _optimizers(
    path: Path,
    names: str,
    group: str | None,
    samples: int,
    tolerance: float | None,
    seed: int,
    jobs: int,
    out: Path | None,
    *,
    resume: bool,
    quiet: bool,
    json: bool,
) -> None:
    from equiwm.claims.optimizers import optimizer_study
    from equiwm.cli.output import print_json, print_tables, publish, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.report.sections import verify_tables

    with ProgressBars(quiet=quiet) as progress:
        study, result = optimizer_study(
            path,
            names,
            group=group,
            samples=samples,
            tolerance=tolerance,
            seed=seed,
            jobs=jobs,
            out=out,
            resume=resume,
            command=["equiwm", *sys.argv[1:]],
            progress=lambda done, total: progress.count("optimisers", done, total),
        )
    entry = publish(study, "verify_equivariance", None, result, baseline=None, out=None)
    if json:
        print_json(entry)
    else:
        print_tables(verify_tables(entry, study.name))
        say(f"study: {study.path}")
    if not result.passed:
        raise typer.Exit(1)
