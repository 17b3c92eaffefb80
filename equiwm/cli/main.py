"""The `equiwm` command: its sub-commands, and how errors become exit statuses."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import typer

from equiwm.claims.closed_loop.claim import CLAIM as CLOSED_LOOP
from equiwm.claims.rollout.claim import CLAIM as ROLLOUT
from equiwm.claims.sweep.claim import CLAIM as SWEEP
from equiwm.cli.ablate import ablate
from equiwm.cli.audit import audit
from equiwm.cli.measure import measure, measuring_command
from equiwm.cli.output import quiet_pipe
from equiwm.cli.presets import presets
from equiwm.cli.report import report
from equiwm.cli.reproduce import reproduce
from equiwm.cli.train import train
from equiwm.cli.verify_equivariance import verify_equivariance
from equiwm.errors import EquiwmError

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
app.command("audit")(audit)
app.command("ablate")(ablate)
app.command("reproduce")(reproduce)
app.command("report")(report)
app.command("presets")(presets)

# The base of usage errors, in typer's own copy of click or in click, whichever this typer has.
_USAGE_ERROR: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit status: 0 done, 1 a verdict fails, 2 the command or its input is wrong, 3 an internal error, 130
        interrupted.
    """
    try:
        result = app(args=list(arguments), prog_name="equiwm", standalone_mode=False)
    except EquiwmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except _USAGE_ERROR as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except SystemExit as error:  # typer's way out of a help text that nobody reads to its end
        return 0 if isinstance(error.__context__, BrokenPipeError) else _status(error.code)
    except Exception:
        traceback.print_exc()
        print("error: this is a fault of equiwm; please report it with the lines above.", file=sys.stderr)
        return 3
    return _interrupted() if result == 130 else _status(result)


def _status(code: object) -> int:
    return code if isinstance(code, int) else 0


def _interrupted() -> int:
    print("interrupted.", file=sys.stderr)
    return 130


def _usage(error: BaseException) -> int:
    message = getattr(error, "format_message", lambda: str(error))()
    if not message:  # no command was given: the help has been printed already
        return 2
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "equiwm"
    print(f"error: {' '.join(message.split())}\nTry '{path} --help'.", file=sys.stderr)
    return 2


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C. In the middle of an import leave at once: C++ initialisers abort, or take it for a fault of theirs."""
    at = frame
    while at is not None:
        if at.f_code.co_filename.startswith("<frozen importlib"):
            os.write(sys.stderr.fileno(), b"interrupted.\n")
            os._exit(130)
        at = at.f_back
    raise KeyboardInterrupt


def _on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """A Ctrl-C that hit a callback of C code (pymunk frees its spaces in one) was swallowed there: give it again."""
    if unraisable.exc_type is KeyboardInterrupt:
        signal.raise_signal(signal.SIGINT)
    else:
        sys.__unraisablehook__(unraisable)


def main() -> None:
    """Entry point of the console script."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a parent may have had it ignored
        signal.signal(signal.SIGINT, _on_interrupt)
        sys.unraisablehook = _on_unraisable
    status = run(sys.argv[1:])
    if status == 130:
        print("Trainings and studies go on with --resume, a closed loop with the same command.", file=sys.stderr)
    with quiet_pipe(sys.stdout):
        sys.stdout.flush()
    sys.exit(status)
