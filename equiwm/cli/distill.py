"""`equiwm distill`: a policy cloned from a run's planner."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from equiwm.cli.options import JobsOption, JsonOption, QuietOption, RunArgument, TrustOption
from equiwm.layout.header import MAX_SEED


class PolicyKind(StrEnum):
    """Which network is cloned into."""

    vn = "vn"
    mlp = "mlp"
    augmented = "augmented"


def distill(
    run: RunArgument,
    policy: Annotated[
        PolicyKind,
        typer.Option("--policy", help="vn: equivariant at any weights; mlp: ordinary; augmented: mlp, labels turned"),
    ] = PolicyKind.vn,
    task: Annotated[
        str | None, typer.Option("--task", help=r"what it learns to do, as closed-loop --task \[what the world says]")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MAX_SEED, help="seeds everything: tasks, weights, order")
    ] = 0,
    name: Annotated[str | None, typer.Option("--name", help=r"name of the policy's run \[RUN-policy]")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help=r"folder that holds runs \[the one that RUN lies in]")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="a setting of policy, or of planning for the labels; repeatable"
        ),
    ] = None,
    jobs: JobsOption = 1,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a policy that was interrupted")] = False,
    trust: TrustOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Clone a run's planner into a policy: one network, no planner at run time.

    In rounds: the planner drives and its actions are labels; then the policy drives, and the planner labels the states
    that it gets itself into. Where an episode ends with its task solved, the policy then drives alone and learns plans
    near its own. It is a run of its own, which audit, closed-loop, compare and export take.

    Examples: equiwm distill runs/vn-2d-forward ;
    equiwm distill runs/vn-2d-arena --task standard ;
    equiwm distill runs/vn-2d-forward --policy mlp --set policy.tasks=96
    """
    import torch

    from equiwm.claims.distill.claim import CLAIM
    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.config import planning_of
    from equiwm.distilling.prepare import policy_name, prepare_policy, recipe, usual_settings
    from equiwm.distilling.run import distill_run
    from equiwm.errors import RunError
    from equiwm.loading import load_run, policy_network, read_policy
    from equiwm.policy import KINDS, policy_config
    from equiwm.report.summary import write_summary
    from equiwm.runs import Run
    from equiwm.training.run import refused_whole
    from equiwm.worlds.factory import build_world

    torch.set_num_threads(1)
    subject = load_run(run, torch.float32, trust=trust or ())
    given = list(assignments or [])
    of_planning = [each for each in given if each.strip().startswith("planning.")]
    if of_planning:
        subject = subject.altered(planning=planning_of(subject.planning, of_planning))
    of_policy = [each for each in given if each not in of_planning]
    usual = () if subject.policy is not None else usual_settings(subject, policy_config(of_policy), task)
    config = policy_config([*usual, *KINDS[policy.value], *of_policy])
    made, teacher = recipe(subject, config, task, seed)
    folder = out or subject.stored.path.resolve().parent
    called = name or policy_name(subject.name, policy.value, seed)
    new = Run(folder / called).state == "absent"
    ready = prepare_policy(made, folder, called, resume=resume, command=["equiwm", *sys.argv[1:]])
    complete = ready.state == "complete"
    if complete:
        read_policy(ready, policy_network(ready, build_world(ready.config.world)))
        say(f"{ready.path} is complete; nothing to do.")
    else:
        with ProgressBars(quiet=quiet) as progress, refused_whole(ready, made=new):
            distill_run(made, teacher, ready, jobs=jobs, progress=progress, completed=write_summary)
    metrics = ready.metrics()
    if CLAIM.name not in metrics:
        raise RunError(
            f"{ready.metrics_path} has lost its section '{CLAIM.name}': restore it, or distill under another --name."
        )
    measured = CLAIM.read(metrics[CLAIM.name], f"{ready.metrics_path}: {CLAIM.name}")
    if not ready.summary.is_file():  # a kill came before it
        write_summary(ready)
    if json:
        print_json(metrics[CLAIM.name])
    else:
        print_tables(CLAIM.shown.tables_of(measured, ready.name))
        say(f"run: {ready.path}")
