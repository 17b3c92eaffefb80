"""The sub-commands of `equiwm`, put together."""

from __future__ import annotations

import typer

from equiwm.claims.closed_loop.claim import CLAIM as CLOSED_LOOP
from equiwm.claims.rollout.claim import CLAIM as ROLLOUT
from equiwm.claims.sweep.claim import CLAIM as SWEEP
from equiwm.cli.ablate import AblateCommand, ablate
from equiwm.cli.audit import audit
from equiwm.cli.check_data import check_data
from equiwm.cli.check_world import check_world
from equiwm.cli.compare import compare
from equiwm.cli.discover import discover
from equiwm.cli.fsck import fsck
from equiwm.cli.measure import measure, measuring_command
from equiwm.cli.presets import presets
from equiwm.cli.report import report
from equiwm.cli.reproduce import reproduce
from equiwm.cli.train import train
from equiwm.cli.verify_equivariance import verify_equivariance

app = typer.Typer(
    name="equiwm",
    help="Train and audit exactly equivariant latent world models.\n\n"
    "Start with: equiwm train, then equiwm verify-equivariance runs/vn-2d",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(train)
app.command("verify-equivariance")(verify_equivariance)
for claim in (SWEEP, ROLLOUT, CLOSED_LOOP):
    app.command(claim.command)(measuring_command(claim))
app.command(
    "measure", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)(measure)
app.command("compare")(compare)
app.command("ablate", cls=AblateCommand)(ablate)
app.command("reproduce")(reproduce)
app.command("report")(report)
app.command("presets")(presets)
app.command("fsck")(fsck)
app.command("audit")(audit)
app.command("discover")(discover)
app.command("check-data")(check_data)
app.command("check-world")(check_world)
