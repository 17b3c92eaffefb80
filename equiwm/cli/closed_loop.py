"""`equiwm closed-loop`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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
    SetOption,
)
from equiwm.errors import ConfigError


class Planner(StrEnum):
    """How a planner treats directions."""

    equivariant = "equivariant"
    paper = "paper"
    ordinary = "ordinary"


class GoalKind(StrEnum):
    """What a plan is to reach."""

    pose = "pose"
    latent = "latent"
    procrustes = "procrustes"


def closed_loop(
    run: RunArgument,
    tasks: Annotated[
        int, typer.Option("--tasks", min=2, max=10_000, help="tasks, the same for every orientation")
    ] = 24,
    orbit: Annotated[
        str | None,
        typer.Option(
            "--orbit",
            help="what every task is turned by: degrees (90,37.5) in the plane, GROUP:N random elements (se3:8)"
            r" \[90,150,210,270,37,101.3,222.2, or 8 random elements]",
        ),
    ] = None,
    planner: Annotated[
        Planner,
        typer.Option(
            "--planner",
            help="equivariant is told nothing; paper is told the rotation; ordinary has a box and a sigma per axis",
        ),
    ] = Planner.equivariant,
    goal: Annotated[
        GoalKind | None, typer.Option("--goal", help=r"what a plan is to reach \[pose for forward models, else latent]")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="RUN", help="a run to measure beside it")
    ] = None,
    references: Annotated[
        bool,
        typer.Option("--references", help="beside it: centroid only, true dynamics, replay (the cloud world)"),
    ] = False,
    video: Annotated[bool, typer.Option("--video", help="write a GIF of a seen and a turned episode")] = False,
    show: Annotated[int, typer.Option("--show", min=0, help="task that paths and video show")] = 0,
    dtype: DtypeOption = Dtype.float64,
    expect_invariant: Annotated[
        bool, typer.Option("--expect-invariant", help="exit with 1 unless the verdict is invariant")
    ] = False,
    settings: SetOption = None,
    jobs: JobsOption = -1,
    seed: SeedOption = 1000,
    device: DeviceOption = Device.cpu,
    out: OutOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Plan and act in closed loop, every task as seen and turned: paired differences, success, figures, per-task CSV.

    Finished tasks are kept: the same command goes on after an interruption. --set takes settings of the section
    planning.

    Example: equiwm closed-loop runs/vn-2d-forward --tasks 48 --baseline runs/mlp-2d-forward
    """
    assignments = list(settings or ())
    for assignment in assignments:
        if not assignment.strip().startswith("planning."):
            raise ConfigError(
                f"--set '{assignment}': closed-loop takes settings of planning, as in planning.samples=100."
            )
    if goal is not None:
        assignments.append(f"planning.goal={goal.value}")
    import shutil

    from equiwm.claims.closed_loop import closed_loop as measure_loop
    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.cli.sides import measure_sides
    from equiwm.config import planning_of
    from equiwm.report.closed_loop import closed_loop_tables
    from equiwm.report.closed_loop_figures import closed_loop_figure, closed_loop_file, paths_figure, paths_frame
    from equiwm.report.sides import sides_of
    from equiwm.report.video import write_video
    from equiwm.results.closed_loop import ClosedLoopResult
    from equiwm.subject import Subject

    shown: list[dict[str, Any]] = []
    store = (out or run) / "closed_loop"

    def measure(side: Subject, progress: ProgressBars) -> ClosedLoopResult:
        result, kept = measure_loop(
            side.altered(planning=planning_of(side.planning, assignments)),
            tasks=tasks,
            planner=planner.value,
            orbit=orbit,
            seed=seed,
            references=references and not shown,  # they know no model: once is enough
            show=show,
            store=store,
            jobs=jobs,
            progress=lambda done, total: progress.count(side.path, done, total),
        )
        shown.append(kept)
        return result

    measured = measure_sides(
        run,
        baseline,
        measure,
        section="closed_loop",
        variant=lambda result: result.variant,
        dtype=dtype,
        device=device,
        out=out,
        quiet=quiet,
    )
    result, name, entry = measured.result, measured.loaded.name, measured.entry
    file = closed_loop_file(result.variant)
    figures = [closed_loop_figure(entry, name, measured.figures, file)]
    paths = paths_frame(dict(zip(sides_of(entry, name), shown, strict=True)), ["seen", *result.orbit], show)
    figures.append(paths_figure(paths, measured.figures, f"{file}_paths"))
    if video:
        figures.append(write_video(paths, measured.figures, file))
    shutil.rmtree(store, ignore_errors=True)  # everything is in metrics and figures now
    if json:
        print_json(entry)
    else:
        print_tables(closed_loop_tables(entry, name))
        for figure in figures:
            say(f"figure: {figure}")
    if expect_invariant and not result.passed:
        say(f"{result.verdict}: {result.reason}.")
        raise typer.Exit(1)
