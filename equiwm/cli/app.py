"""The sub-commands of `equiwm`, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from equiwm.claims.closed_loop.claim import CLAIM as CLOSED_LOOP
from equiwm.claims.rollout.claim import CLAIM as ROLLOUT
from equiwm.cli.ablate import AblateCommand, ablate
from equiwm.cli.audit import audit
from equiwm.cli.cache import cache
from equiwm.cli.check_data import check_data
from equiwm.cli.check_world import check_world
from equiwm.cli.collect import collect
from equiwm.cli.compare import compare
from equiwm.cli.discover import discover
from equiwm.cli.distill import distill
from equiwm.cli.export import export
from equiwm.cli.fsck import fsck
from equiwm.cli.measure import measure, measuring_command
from equiwm.cli.presets import presets
from equiwm.cli.report import report
from equiwm.cli.reproduce import reproduce
from equiwm.cli.sweep_group import sweep_group
from equiwm.cli.train import train
from equiwm.cli.verify_equivariance import verify_equivariance
from equiwm.cli.version import show_version

PANELS = TRAIN, PAPER, AUDIT, FILES = (
    "Train and control",
    "The paper's measurements",
    "Audit what is not ours",
    "Runs as files",
)
"""Of `equiwm --help`, in order."""

app = typer.Typer(
    name="equiwm",
    help="Train and audit exactly equivariant latent world models.\n\n"
    "Start with: equiwm train, then equiwm verify-equivariance runs/vn-2d",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.callback()(show_version)


def _add(name: str, function: Callable[..., Any], panel: str, line: str, **options: Any) -> None:
    """A command: its panel, and the line that stands for it there (at 80 columns it has to fit into one)."""
    app.command(name, rich_help_panel=panel, short_help=line, **options)(function)


_add("train", train, TRAIN, "Train a preset into a run directory.")
_add("closed-loop", measuring_command(CLOSED_LOOP), TRAIN, "Plan and act, every task as seen and turned.")
_add("distill", distill, TRAIN, "Clone a run's planner into a policy of its own.")
_add("collect", collect, TRAIN, "Record episodes of an environment.")
_add("presets", presets, TRAIN, "List the presets, or every setting of one.")
_add("verify-equivariance", verify_equivariance, PAPER, "Is a trained run still equivariant? Else exit 1.")
_add("sweep-group", sweep_group, PAPER, "One-step error, or success, at every orientation.")
_add("rollout", measuring_command(ROLLOUT), PAPER, "The error of H steps, seen and unseen.")
_add("compare", compare, PAPER, "Which of two is better? The same tasks for both.")
_add("ablate", ablate, PAPER, "Does something else replace the architecture?", cls=AblateCommand)
_add("reproduce", reproduce, PAPER, "The paper's claims, end to end, beside its figures.")
_add(
    "measure",
    measure,
    PAPER,
    "Any other claim, of a package or module of your own.",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
_add("audit", audit, AUDIT, "Is a network equivariant, and what breaks it?")
_add("check-world", check_world, AUDIT, "Has a simulator a symmetry? Where does it break?")
_add("check-data", check_data, AUDIT, "Does a log agree with a symmetry of its world?")
_add("discover", discover, AUDIT, "Which symmetries has a world, a log or a model?")
_add("report", report, FILES, "Tables and figures of many runs, claim by claim.")
_add("export", export, FILES, "A run's model as safetensors, torch.export or ONNX.")
_add("fsck", fsck, FILES, "Are runs whole, and do their files belong together?")
_add("cache", cache, FILES, "Data that are kept for other commands.")
