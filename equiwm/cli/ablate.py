"""`equiwm ablate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from equiwm.cli.options import JobsOption, JsonOption, QuietOption, seed_count
from equiwm.errors import ConfigError
from equiwm.locate import BUILT_IN


class AblateCommand(TyperCommand):
    """`equiwm ablate`, whose help names the kinds and their worlds: made when it is read, as the kinds import numpy."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Fill in what the kinds say, then show it as every command's."""
        from equiwm.claims.ablation.registry import load_kind

        kinds = list(BUILT_IN["ablation"])
        worlds = dict.fromkeys(name for kind in kinds for name in load_kind(kind).runs_on())
        filled = {
            "kind": f"{_either(kinds)}; or your own, as module:name",
            "world": rf"{_either(list(worlds))} \[the kind's own]",
        }
        for parameter in self.params:
            if parameter.name in filled:
                parameter.help = filled[parameter.name]  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def _either(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def ablate(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    world: Annotated[str | None, typer.Option("--world")] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="PRESET", help="compare this preset, a name or a file, with its baseline (data)"
        ),
    ] = None,
    dim: Annotated[int | None, typer.Option("--dim", help=r"2 or 3 \[both, where the world has them]")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", callback=seed_count, help=r"how many seeds, from 0 \[5, or 2 with --quick]")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="a small version, in under a minute on two cores")] = False,
    jobs: JobsOption = -1,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help=r"compute on a Dask cluster (equiwm\[cluster]), not here"),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help=r"name of the study \[ablate-KIND]")] = None,
    out: Annotated[Path, typer.Option("--out", help="folder that holds runs")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with a study that was interrupted")] = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Ask whether something else replaces the architecture: augmentation, scale, softness, data, ...

    A grid of small trainings, several seeds each, as a study directory with a CSV of all rows, tables, a figure and the
    answer: statements, each with its bound and whether it holds. Exits with 1 if a cell failed.

    Examples: equiwm ablate augmentation --dim 2 ;
    equiwm ablate scale --scheduler tcp://host:8786 ;
    equiwm ablate data --world pusht --quick ;
    equiwm ablate data --preset spring.yaml ;
    equiwm ablate my_studies:NOISE
    """
    from contextlib import nullcontext

    from equiwm.claims.ablation.claim import CLAIM
    from equiwm.claims.ablation.registry import load_kind
    from equiwm.claims.ablation.study import ablation_study, resolve_scope
    from equiwm.claims.view import Shown
    from equiwm.cli.output import print_json, print_tables, publish, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.cluster import dask_cluster
    from equiwm.results.measured import Measured

    if scheduler is not None and jobs != -1:
        raise ConfigError("give --jobs or --scheduler, not both: a cluster has its own workers.")
    chosen = load_kind(kind)
    scope = resolve_scope(chosen, world=world, dim=dim, seeds=seeds, quick=quick, preset=preset)
    with dask_cluster(scheduler) if scheduler else nullcontext(), ProgressBars(quiet=quiet) as progress:
        study, result = ablation_study(
            chosen,
            scope,
            out,
            name=name,
            called=kind,
            jobs=None if scheduler else jobs,
            resume=resume,
            command=["equiwm", *sys.argv[1:]],
            progress=progress.grid,
        )
    entry = publish(study, CLAIM, Measured(result), out=None)
    shown = Shown(Measured(result), study.name, study.figures)
    figure = next((drawing.draw(study.figures) for drawing in CLAIM.shown.drawings_of(shown)), None)
    if json:
        print_json(entry)
    else:
        print_tables(CLAIM.shown.tables_of(shown.measured, study.name))
        say(f"study: {study.path}" + (f"\nfigure: {figure}" if figure else ""))
    for line in result.failed:
        say(f"failed: {line}")
    if result.failed:
        raise typer.Exit(1)
