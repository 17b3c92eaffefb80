"""`equiwm compare`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    SeedOption,
    TrustOption,
)
from equiwm.errors import ConfigError
from equiwm.printable import quoted

if TYPE_CHECKING:
    from equiwm.claims.compare.measure import Comparison
    from equiwm.claims.compare.result import CompareResult

PROBE_SEED = 1000
MOST_EPISODES = 100_000


class Outcome(StrEnum):
    """What is compared."""

    success = "success"
    final = "final"
    error = "error"
    reward = "reward"


class Turned(StrEnum):
    """How tasks are turned."""

    all = "all"
    seen = "seen"


def _episodes(value: int) -> int:
    """Refuse a number of pairs before anything is loaded."""
    if not 1 <= value <= MOST_EPISODES:
        raise ConfigError(f"--episodes: got {quoted(value)}, expected 1 to {MOST_EPISODES:,} pairs.")
    return value


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="RUN, RUN:planning.samples=100,planner=ordinary, or module:name")
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", help="the same; a policy is called with what is observed, goal, steps")
    ],
    task: Annotated[
        str,
        typer.Option(
            "--task",
            help="own: the world's own tasks; or the name of some that others measure the world by, as of closed-loop",
        ),
    ] = "own",
    demonstrations: Annotated[
        Path | None,
        typer.Option("--demonstrations", help="recorded episodes, for tasks that take starts and goals from them"),
    ] = None,
    outcome: Annotated[
        Outcome,
        typer.Option(
            "--outcome",
            help="success (by any pose on the way, of own tasks the best), final (last pose), error (pose error, "
            "clipped), reward (largest of an episode)",
        ),
    ] = Outcome.success,
    criterion: Annotated[
        str | None,
        typer.Option(
            "--criterion",
            help=r"whose criterion success is, by source \[the one that the tasks come with]",
        ),
    ] = None,
    orientations: Annotated[
        Turned | None,
        typer.Option(
            "--orientations",
            help=r"all turns every task by an element of its own, seen leaves it as it stands \[all where tasks can be "
            "turned]",
        ),
    ] = None,
    episodes: Annotated[int, typer.Option("--episodes", callback=_episodes, help="most pairs of episodes")] = 500,
    alpha: Annotated[float, typer.Option("--alpha", help="largest probability of a wrong difference")] = 0.05,
    power: Annotated[float, typer.Option("--power", help="least probability of finding one of the margin")] = 0.9,
    margin: Annotated[float, typer.Option("--margin", help="smallest difference worth telling")] = 0.1,
    jobs: JobsOption = -1,
    dtype: DtypeOption = Dtype.float64,
    seed: SeedOption = PROBE_SEED,
    device: DeviceOption = Device.cpu,
    out: OutOption = None,
    trust: TrustOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Compare two runs, planners, settings or policies on the same tasks with the same random numbers.

    A sequential test looks after every pair of episodes and stops when it is decided: A or B is better, or they differ
    by less than the margin. Finished pairs are kept: the same command goes on, also with more --episodes.

    Examples: equiwm compare runs/vn-2d-forward runs/mlp-2d-forward ;
    equiwm compare runs/vn-2d-forward runs/vn-2d-forward:planning.samples=100 --outcome error ;
    equiwm compare runs/vn-2d-forward my_policy.py:push ;
    equiwm compare runs/vn-2d-arena runs/mlp-2d-arena --task standard
    """
    import torch

    from equiwm.claims.compare.claim import CLAIM
    from equiwm.claims.compare.measure import compare as measured
    from equiwm.claims.compare.measure import comparison
    from equiwm.claims.compare.scores import check_outcome, criterion_of
    from equiwm.claims.compare.sequential import Test
    from equiwm.claims.store import Stores
    from equiwm.cli.output import print_json, print_tables, publish, require_writable, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.devices import DTYPES, resolve_device
    from equiwm.results.measured import Measured

    torch.set_num_threads(1)
    test = Test(alpha, power, margin)
    between = comparison(
        a,
        b,
        task=task,
        demonstrations=demonstrations,
        orientations=None if orientations is None else orientations.value,
        seed=seed,
        dtype=DTYPES[dtype.value],
        device=resolve_device(device.value),
        trust=trust or (),
    )
    criterion = criterion_of(between.host, criterion)
    check_outcome(between.host, outcome.value, seed)
    subject = between.host.subject
    require_writable(subject.stored, out)
    for run in between.runs:
        if run is not None and run.subject.notice:
            say(run.subject.notice)
    earlier = _earlier(between, out)
    with Stores((out or subject.stored.path) / CLAIM.name) as stores:
        with ProgressBars(quiet=quiet) as progress:
            result = measured(
                between,
                test,
                outcome=outcome.value,
                criterion=criterion,
                episodes=episodes,
                store=stores.open({"claim": CLAIM.name, **between.params}),
                jobs=jobs,
                known=earlier,
                progress=lambda done, total: progress.count("pairs of episodes", done, total),
            )
        found = Measured(CLAIM.check(result), checkpoint_sha256=subject.checkpoint_sha256)
        entry = publish(subject.stored, CLAIM, found, out=out)
        for left in stores.remove():
            say(f"could not be removed, and is no longer needed: {left}")
    if json:
        print_json(entry)
    else:
        print_tables(CLAIM.shown.tables_of(found, subject.name))


def _earlier(between: Comparison, out: Path | None) -> CompareResult | None:
    """The longest result of the same comparison that is there, whatever was compared; its pairs are taken over."""
    from equiwm.claims.compare.claim import CLAIM
    from equiwm.claims.compare.result import CompareResult
    from equiwm.claims.registry import Stored, stored_results
    from equiwm.layout.metrics import read_metrics

    if None in between.runs:  # the code of a policy may have changed since
        return None
    where = out or between.host.subject.stored.path
    found = [
        stored.measured.result
        for stored in stored_results(read_metrics(where), [CLAIM], study=False, where=str(where))
        if isinstance(stored, Stored)
    ]
    same = [each for each in found if isinstance(each, CompareResult) and each.definition == between.definition]
    return max(same, key=lambda result: result.episodes, default=None)
