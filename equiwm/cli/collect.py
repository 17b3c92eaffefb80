"""`equiwm collect`: episodes of an environment as a log."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from equiwm.cli.options import JobsOption, JsonOption, QuietOption, TrustOption
from equiwm.layout.header import MAX_SEED

HELP = "gym:ENV, as gym:Pendulum-v1 or gym:my_pkg:MyPush-v0; or a preset of the world gym"
REPS = r"what observations and actions are \[the preset's; else a guess is written]"
POLICY = r"random, module:function of (observation, generator), or a run that plans \[the preset's, or random]"


class Format(StrEnum):
    """How episodes are written."""

    lerobot = "lerobot"
    npz = "npz"


def collect(
    target: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help=HELP)],
    out: Annotated[Path, typer.Option("--out", help="folder of the log, made")],
    episodes: Annotated[int, typer.Option("--episodes", max=10_000_000, help="how many")] = 200,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help=r"steps of an episode \[the environment's limit, or 100]")
    ] = None,
    policy: Annotated[str | None, typer.Option("--policy", help=POLICY)] = None,
    hold: Annotated[
        int | None, typer.Option("--hold", min=1, help=r"steps for which a random action is held \[the preset's, or 4]")
    ] = None,
    reps: Annotated[Path | None, typer.Option("--reps", help=REPS)] = None,
    format: Annotated[Format, typer.Option("--format", help="a LeRobot folder v3.0, or one npz")] = Format.lerobot,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="seeds resets and actions")] = 0,
    jobs: JobsOption = 1,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a collection that was interrupted")] = False,
    trust: TrustOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Collect episodes of a Gymnasium environment, as a log that training and check-data read.

    Episodes begin with seeded resets; the same command gives the same bits, whatever --jobs. A reps.yaml is written
    beside them. An episode that raises is named with its step, and the finished ones are kept.

    Examples: equiwm collect gym:my_pkg:MyPush-v0 --reps reps.yaml --episodes 200 --out episodes ;
    equiwm collect gripper_push.yaml --out episodes --jobs 2
    """
    from equiwm.cli.output import print_json, print_text
    from equiwm.cli.progress import ProgressBars
    from equiwm.collecting.collect import collect as collected
    from equiwm.collecting.recipe import recipe_of

    recipe = recipe_of(target, reps=reps, policy=policy, hold=hold, steps=steps, seed=seed)
    with ProgressBars(quiet=quiet) as progress:
        made = collected(
            recipe,
            episodes,
            out,
            format=format.value,
            jobs=jobs,
            resume=resume,
            trust=tuple(trust or ()),
            progress=lambda done, total: progress.count("episodes", done, total),
        )
    if json:
        print_json(made.__dict__)
        return
    ended = f", {made.terminated} ended by their own rules" if made.terminated else ""
    print_text(
        f"{made.path}: {made.episodes:,} episodes, {made.transitions:,} transitions{ended}\n"
        f"{made.reps}: what its columns are\n"
    )
