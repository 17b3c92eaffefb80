"""Claim C: does the same task, turned, end the same? `equiwm closed-loop` asks it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from equiwm.claims.claim import JOBS, Claim, Option
from equiwm.claims.closed_loop.result import ClosedLoopResult
from equiwm.errors import ConfigError


class Planner(StrEnum):
    """How a planner treats directions."""

    equivariant = "equivariant"
    paper = "paper"
    ordinary = "ordinary"


class GoalKind(StrEnum):
    """What a plan is to reach."""

    pose = "pose"
    keypoints = "keypoints"
    latent = "latent"
    steps = "steps"
    procrustes = "procrustes"


OWN = "own"
"""The world's own tasks."""


def planning_only(settings: object) -> object:
    """Settings of the section planning, as they are.

    Raises:
        ConfigError: one of another section.
    """
    assert isinstance(settings, list)
    for assignment in settings:
        if not assignment.strip().startswith("planning."):
            raise ConfigError(
                f"--set '{assignment}': closed-loop takes settings of planning, as in planning.samples=100."
            )
    return settings


CLAIM: Claim[ClosedLoopResult] = Claim(
    "closed_loop",
    ClosedLoopResult,
    "equiwm.claims.closed_loop.view:VIEW",
    command="closed-loop",
    help="""Plan and act in closed loop, every task as seen and turned: paired differences, success, figures, per-task
    CSV.

    Finished tasks are kept: the same command goes on after an interruption. --set takes settings of the section
    planning.

    Example: equiwm closed-loop runs/vn-2d-forward --tasks 48 --baseline runs/mlp-2d-forward

    Example: equiwm closed-loop runs/vn-2d-arena --task standard --tasks 100

    Example: equiwm closed-loop runs/vn-2d-arena-policy --task standard-turned --baseline runs/vn-2d-arena
    """,
    measure="equiwm.claims.closed_loop.measure:closed_loop",
    options=(
        Option("tasks", int, 24, "tasks, the same for every orientation", low=2, high=10_000),
        Option(
            "orbit",
            str,
            help="what every task is turned by: degrees (90,37.5) in the plane, GROUP:N random elements (se3:8)"
            r" \[90, 150, 210, 270, 37, 101.3 and 222.2, or 8 random elements]",
        ),
        Option(
            "planner",
            Planner,
            Planner.equivariant,
            "equivariant is told nothing; paper is told the rotation; ordinary has a box and a sigma per axis",
        ),
        Option("goal", GoalKind, help=r"what a plan is to reach \[pose for forward models, else latent]"),
        Option(
            "references",
            bool,
            False,
            "beside it: centroid only, true dynamics, replay (the cloud world)",
            run_alone=True,  # they know no model: once is enough
        ),
        Option("video", bool, False, "write a GIF of a seen and a turned episode", beside=True),
        Option("show", int, 0, "task that paths and video show", low=0),
        Option(
            "settings",
            list[str],
            help="override one setting; repeat for more",
            metavar="SECTION.KEY=VALUE",
            flag="--set",
            parse=planning_only,
        ),
        Option(
            "task",
            str,
            OWN,
            "own: the world's own tasks; of PushT also standard (gym-pusht's), standard-turned (the same over the "
            "orbit) and wm (stable-worldmodel's)",
        ),
        Option(
            "policy",
            Path,
            help="a policy of equiwm distill acts in the planner's place (a run that is a policy acts itself)",
            metavar="RUN",
            run_alone=True,  # the baseline plans, or is a policy itself
        ),
        Option("demonstrations", Path, help="recorded episodes that --task wm takes starts and goals from"),
        JOBS,
    ),
    bounds="equiwm.claims.closed_loop.bounds:broken",
    expectation="exit with 1 unless the verdict is invariant",
    dtype="float64",
    device="cpu",
)
