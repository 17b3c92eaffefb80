"""`equiwm reproduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equiwm.cli.options import JobsOption, JsonOption, QuietOption, seed_count

if TYPE_CHECKING:
    from equiwm.claims.reproduce.plan import ClaimWork

HELP = r"A, B, C, rollout, augmentation, scale, soft \[all of these]; baselines, standard; or your own, as module:name"


def reproduce(
    claims: Annotated[list[str] | None, typer.Argument(metavar="CLAIM", help=HELP)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="a smoke test: one seed, small sizes")] = False,
    seeds: Annotated[
        int | None, typer.Option("--seeds", callback=seed_count, help=r"how many seeds, from 0 \[5, or 1 with --quick]")
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

    Claims baselines (ordinary networks made symmetric by other means) and standard (PushT as others measure it) are
    ours, beside the paper's.

    Every training and measurement is kept as a run in the study's folder runs. Exits with 1 if a claim does not hold or
    a cell failed.

    Examples: equiwm reproduce --jobs 2 ; equiwm reproduce A B --seeds 3 ; equiwm reproduce --quick ;
    equiwm reproduce baselines standard --name beside
    """
    from equiwm.claims.reproduce.costs import measured_costs, reference_study
    from equiwm.claims.reproduce.plan import plan
    from equiwm.claims.reproduce.registry import parse_claims, resolve_size
    from equiwm.claims.reproduce.section import CLAIM
    from equiwm.claims.reproduce.study import reproduce as run_claims
    from equiwm.cli.output import print_json, print_tables, publish, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.report.reproduce import SMOKE_TEST, ClaimEstimate, estimate_table
    from equiwm.report.summary import write_summary
    from equiwm.results.measured import Measured

    size = resolve_size(seeds, quick=quick)
    called = name or ("reproduce-quick" if quick else "reproduce")
    # Not of the study itself: what it says must not depend on how often it was interrupted.
    others = [path for path in sorted(out.iterdir()) if path.name != called] if out.is_dir() else []
    costs = measured_costs([*others, reference_study()], quick=quick)
    parts = plan(parse_claims(claims or ()), size, costs=costs)

    def starting(part: ClaimWork) -> None:
        if quiet:
            return
        if part is parts[0]:
            estimates = [
                ClaimEstimate(each.claim.name, each.claim.text, each.cells, each.seconds, each.wall(jobs))
                for each in parts
            ]
            if quick:
                say(SMOKE_TEST)
            print_tables([estimate_table(estimates, jobs)], sys.stderr)
        wall = part.wall(jobs)
        about = "No estimate: not every cell was measured before." if wall is None else f"About {wall / 60:.1f} min."
        say(f"{part.claim.name}: {part.claim.text} {about}")

    with ProgressBars(quiet=quiet) as progress:
        study, result = run_claims(
            parts,
            size,
            out,
            name=called,
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
