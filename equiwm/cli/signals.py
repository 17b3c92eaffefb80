"""Ctrl-C and the ways a system asks a command to end: SIGINT, SIGTERM and SIGHUP all clean up, with a status each."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from types import FrameType

from equiwm import interrupts

INTERRUPTED = "interrupted."
HINT = "Trainings and studies go on with --resume, a closed loop with the same command."
SAME_SECONDS = 1.0
"""`timeout` strikes the command and then its whole group: what comes so soon again is the same signal."""

_came: list[float] = []


def install() -> None:
    """Answer these signals from now on, but for those that a parent (`nohup`, `&`) has had ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, on_signal)


def uninstall() -> None:
    """The work is done: what comes now ends the process without a word, rather than in the interpreter's own end."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is on_signal:
            signal.signal(number, signal.SIG_DFL)


def status(number: int | None) -> int:
    """Exit status of a command that a signal has ended: 130 of SIGINT, 143 of SIGTERM, 129 of SIGHUP."""
    return 128 + (number or signal.SIGINT)


def on_signal(number: int, frame: FrameType | None) -> None:
    """Interrupt what is going on; at the second signal, and in the middle of an import, leave at once.

    C++ initialisers abort when an exception meets them, or take it for a fault of theirs. Children end with this
    process in any case.
    """
    now = time.monotonic()
    if _came and now - _came[0] < SAME_SECONDS:
        return
    _came.append(now)
    interrupts.note(number)
    if len(_came) > 1 or _importing(frame):
        _leave(number)
    raise KeyboardInterrupt


def raise_again() -> None:
    """Give the signal that came once more, as if it had not come."""
    _came.clear()
    signal.raise_signal(interrupts.received() or signal.SIGINT)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave(number: int) -> None:
    with suppress(OSError):  # nobody reads it
        os.write(2, f"{INTERRUPTED}\n{HINT}\n".encode())
    os._exit(status(number))
