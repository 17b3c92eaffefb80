"""The entry point of the `equiwm` command: signals first, then everything else; and how errors become exit statuses.

Nothing is imported here that takes time: a Ctrl-C during the imports is answered like any other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from equiwm import interrupts
from equiwm.cli import signals, unraisable
from equiwm.cli.streams import flushed, open_streams

_NO_MEMORY = b"error: out of memory; free some, or give smaller settings or fewer --jobs and run the command again.\n"


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit status: 0 done, 1 a verdict fails, 2 the command, its input or the machine is wrong, 3 an internal
        error; 130 interrupted, 143 by SIGTERM, 129 by SIGHUP.
    """
    try:
        from equiwm.cli.app import app

        result = app(args=list(arguments), prog_name="equiwm", standalone_mode=False)
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as error:  # typer's way out of a help text that nobody reads to its end
        return 0 if isinstance(error.__context__, BrokenPipeError) else _status(error.code)
    except Exception as error:
        return _failed(error)
    # typer makes a status of a Ctrl-C, and a user's code may have made anything of it
    if result == 130 or interrupts.received():
        return _interrupted()
    return _out_of_memory() if unraisable.memory_was_short() else _status(result)


def _failed(error: Exception) -> int:
    """What is said of an error; where there is no memory left to say it, what was laid by."""
    try:
        return _told(error)
    except (MemoryError, SystemError, OSError):
        return _out_of_memory()


def _out_of_memory() -> int:
    with suppress(OSError):
        os.write(2, _NO_MEMORY)
    return 2


def _told(error: Exception) -> int:
    """One line, or two, for what the user or the machine has done; a traceback for a fault of ours."""
    import traceback

    from equiwm.boundary import machine_error
    from equiwm.cli.output import say
    from equiwm.errors import EquiwmError

    bases = {base.__name__ for base in type(error).__mro__}
    if interrupts.received() or "Abort" in bases:  # the exception may be what the interrupted code made of it
        return _interrupted()
    if "ClickException" in bases:  # in typer's own copy of click or in click, whichever this typer has
        return _usage(error)
    if isinstance(error, EquiwmError):
        say(f"error: {error}")
        return error.exit_status
    refused = machine_error(error)
    if refused is not None:
        say(f"error: {refused}")
        return refused.exit_status
    say(traceback.format_exc() + "error: this is a fault of equiwm; please report it with the lines above.")
    return 3


def _status(code: object) -> int:
    return code if isinstance(code, int) else 0


def _interrupted() -> int:
    from equiwm.cli.output import say

    say(signals.INTERRUPTED)
    if interrupts.received():
        say(signals.HINT)
    return signals.status(interrupts.received())


def _usage(error: BaseException) -> int:
    from equiwm.cli.output import say

    message = getattr(error, "format_message", lambda: str(error))()
    if not message:  # no command was given: the help has been printed already
        return 2
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "equiwm"
    say(f"error: {' '.join(message.split())}\nTry '{path} --help'.")
    return 2


def main() -> None:
    """Entry point of the console script."""
    try:
        signals.install()
        unraisable.install()
        open_streams()
        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # between the handlers and the command
        status = _interrupted()
    status = flushed(status)
    signals.uninstall()
    sys.exit(status)
