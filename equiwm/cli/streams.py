"""The streams that a command writes to, whatever they are: closed, full, a pipe that ends early, ASCII alone."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_ASCII_FORMS = {
    **{"°": " deg", "²": "^2", "³": "^3", "×": "x", "·": "*", "±": "+/-", "≤": "<=", "≥": ">=", "−": "-"},
    **{"–": "-", "—": "-", "…": "...", "→": "->", "α": "alpha", "β": "beta"},
}
"""What our own tables and sentences hold; names of the user's keep their escapes, which are exact."""


def open_streams() -> None:
    """Make the three standard streams such that printing never fails for what is printed, nor for where.

    Call it before a file is opened: one would be given the number of a stream that is closed, and what is printed
    would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: this one
    sys.stdout, sys.stderr = sys.stdout or _stream(1), sys.stderr or _stream(2)
    codecs.register_error("equiwm", ascii_form)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="equiwm")


def _stream(number: int) -> TextIO:
    return os.fdopen(number, "w", encoding="utf-8", closefd=False)


def ascii_form(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a stream's encoding lacks: `30 deg`, else an escape as `\\u5b57`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_ASCII_FORMS.get(each) or ascii(each)[1:-1] for each in lacking), error.end


@contextmanager
def writing(stream: TextIO) -> Iterator[None]:
    """A reader that has gone (`| head`) changes neither what is recorded nor the exit status.

    Raises:
        MachineError: what is printed on stdout cannot be written, to a full disk for example. On stderr there is nobody
            left to be told.
    """
    try:
        yield
    except OSError as error:
        from equiwm.boundary import machine_error

        # What is still in the stream's buffer must not fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        refused = machine_error(error, "cannot write to standard output")
        if refused is not None and not isinstance(error, BrokenPipeError) and stream is not sys.stderr:
            raise refused from None


def flushed(status: int) -> int:
    """The exit status once everything is written: 2 where a result could not be printed."""
    from equiwm.errors import MachineError

    try:
        with writing(sys.stdout):
            sys.stdout.flush()
    except MachineError as error:
        if status < 2:  # else it has been said what is wrong
            with writing(sys.stderr):
                print(f"error: {error}", file=sys.stderr, flush=True)
            status = error.exit_status
    with writing(sys.stderr):
        sys.stderr.flush()
    return status
