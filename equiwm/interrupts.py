"""Signals that ask a process to end, remembered: a user's code that swallows the exception does not swallow the signal.

The command line notes a signal here and raises `KeyboardInterrupt`; loops over cells and epochs ask between two steps.
"""

from __future__ import annotations

_received: list[int] = []


def note(number: int) -> None:
    """A signal has come."""
    _received.append(number)


def received() -> int | None:
    """The first signal that came; None if there was none."""
    return _received[0] if _received else None


def check() -> None:
    """End here if a signal has come.

    Raises:
        KeyboardInterrupt: one has.
    """
    if _received:
        raise KeyboardInterrupt
