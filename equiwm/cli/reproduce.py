"""`equiwm reproduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equiwm.cli.options import JobsOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from equiwm.claims.reproduce.plan import Part

HELP = r"A, B, C, rollout, augmentation, scale, soft \[all]"


def reproduce(
    claims: Annotated[list[str] | None, typer.Argument(metavar="CLAIM", help=HELP)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="a smoke test: one seed, small sizes")] = False,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help=r"how many seeds, from 0 \[5, or 1 with --quick]")
    ] = None,
    jobs: JobsOption = 1,
    out: Annotated[Path, typer.Option("--out", help="folder that holds runs")] = Path("runs"),
    name: Annotated[
        str | None, typer.Option("--name", help=r"name of the study \[reproduce, or reproduce-quick]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a study that was interrupted")] = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Run the paper's claims end to end from the presets, and tabulate the paper's figures against these.

    Every training and measurement is kept as a run in the study's folder runs. Exits with 1 if a claim does not hold or
    a cell failed.

    Examples: equiwm reproduce --jobs 2 ; equiwm reproduce A B --seeds 3 ; equiwm reproduce --quick
    """
    from equiwm.claims.reproduce.plan import plan
    from equiwm.claims.reproduce.registry import parse_claims, resolve_size
    from equiwm.claims.reproduce.section import CLAIM
    from equiwm.claims.reproduce.study import reproduce as run_claims
    from equiwm.cli.output import print_json, print_tables, publish, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.report.reproduce import SMOKE_TEST, estimate_table
    from equiwm.report.summary import write_summary
    from equiwm.results.measured import Measured

    size = resolve_size(seeds, quick=quick)
    parts = plan(parse_claims(claims or ()), size)

    def starting(part: Part) -> None:
        if quiet:
            return
        if part is parts[0]:
            costs = [(each.claim.name, each.claim.text, each.cells, each.seconds, each.wall(jobs)) for each in parts]
            if quick:
                say(SMOKE_TEST)
            print_tables([estimate_table(costs, jobs)], sys.stderr)
        say(f"{part.claim.name}: {part.claim.text} About {part.wall(jobs) / 60:.1f} min.")

    with ProgressBars(quiet=quiet) as progress:
        study, result = run_claims(
            parts,
            size,
            out,
            name=name or ("reproduce-quick" if quick else "reproduce"),
            jobs=jobs,
            resume=resume,
            command=["equiwm", *sys.argv[1:]],
            progress=progress.grid,
            starting=starting,
            recorded=write_summary,
        )
    entry = publish(study, CLAIM, Measured(result), out=None)
    if json:
        print_json(entry)
    else:
        print_tables(CLAIM.shown.tables_of(Measured(result), study.name))
        say(f"study: {study.path}")
    for line in result.failed:
        say(f"failed: {line}")
    for row in result.rows:
        if row.holds is False:
            say(f"does not hold: {row.claim}: {row.setting}: {row.quantity}.")
    if not result.passed:
        raise typer.Exit(1)
