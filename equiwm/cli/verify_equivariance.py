"""`equiwm verify-equivariance`: the claim's command, and its other form, a study of optimisers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import typer

from equiwm.claims.claim import JOBS, Option
from equiwm.claims.residual.claim import CLAIM, OPTIMIZERS
from equiwm.cli.measure import Shared, measuring_command
from equiwm.errors import ConfigError

STUDY = (
    Option("optimizers", str, help="retrain under `all` optimisers, or adam,sgd (probed in both dtypes)"),
    Option("jobs", int, 1, JOBS.help, parse=JOBS.parse),
    Option("resume", bool, False, "go on with --optimizers where it was interrupted"),
)
"""Options of the study."""


def _optimizers(shared: Shared, options: Mapping[str, Any], given: frozenset[str]) -> bool:
    """Retrain the run's configuration under several optimisers, if they were asked for."""
    if options["optimizers"] is None:
        return False
    if shared.baseline is not None:
        raise ConfigError("give --baseline or --optimizers, not both: a study of optimisers is of one network.")
    import torch

    from equiwm.claims.optimizers import optimizer_study
    from equiwm.cli.output import print_json, print_tables, publish, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.results.measured import Measured

    torch.set_num_threads(1)
    with ProgressBars(quiet=shared.quiet) as progress:
        study, result = optimizer_study(
            shared.run,
            options["optimizers"],
            group=options["group"],
            samples=options["samples"],
            tolerance=options["tolerance"],
            seed=shared.seed,
            jobs=options["jobs"],
            out=shared.out,
            resume=options["resume"],
            command=["equiwm", *sys.argv[1:]],
            progress=lambda done, total: progress.count("optimisers", done, total),
        )
    entry = publish(study, OPTIMIZERS, Measured(result), out=None)
    if shared.json:
        print_json(entry)
    else:
        print_tables(OPTIMIZERS.shown.tables_of(Measured(result), study.name))
        say(f"study: {study.path}")
    if not result.passed:
        raise typer.Exit(1)
    return True


verify_equivariance = measuring_command(CLAIM, STUDY, _optimizers)
