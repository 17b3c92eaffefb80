"""What is raised where nobody can catch it: in a callback of C code, or as an object is freed.

Python prints it there ("Exception ignored in ...") and goes on, with what the callback was to give missing.
"""

from __future__ import annotations

import sys

from equiwm.cli import signals

_short: list[bool] = []


def install() -> None:
    """Answer it from now on."""
    sys.unraisablehook = on_unraisable


def on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """A Ctrl-C is given again; that there was no memory is laid by for the command's end; the rest is printed.

    pymunk frees its spaces in such a callback, and matplotlib reads its fonts in one.
    """
    if unraisable.exc_type is KeyboardInterrupt:
        signals.raise_again()
    elif issubclass(unraisable.exc_type, MemoryError):
        _short.append(True)
    else:
        sys.__unraisablehook__(unraisable)


def memory_was_short() -> bool:
    """Whether memory was missing where it could not be said: what the command gives may lack something."""
    return bool(_short)
