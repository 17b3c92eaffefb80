"""The errors a user can meet.

Every message says what was given, what was expected and what to do, in one or two lines. The command line prints
the message alone and exits with `exit_status`; a traceback is only ever shown for a fault of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from equiwm.printable import MOST_QUOTED, message


class EquiwmError(Exception):
    """Base of all errors that a command or an input of the user can cause."""

    exit_status = 2

    def __str__(self) -> str:
        """The message as it may be shown: what others wrote into names moves no cursor and fills no screen."""
        return message(super().__str__())


class ConfigError(EquiwmError, ValueError):
    """A preset, a configuration file or a `--set` that does not describe a run."""


class GroupError(EquiwmError, ValueError):
    """A group that does not exist, or that does not fit the world it is asked of."""


class RepError(EquiwmError, ValueError):
    """A representation that cannot be parsed, or a tensor or layer that does not have it."""


class DataError(EquiwmError, ValueError):
    """Observations, actions or simulator states that a world or a model cannot take."""


class RunError(EquiwmError):
    """A run directory that is missing, incomplete, foreign, in use, or in the way."""


class MachineError(RunError):
    """What the machine refused: a full disk, no memory, a failing device, a lost worker or cluster; nobody's fault.

    Made by `equiwm.boundary` alone. It is a `RunError`, because what it mostly stops is the writing of a run.
    """


class TrustError(EquiwmError):
    """A run that names code from outside this package which the user has not pointed at."""


class ResultError(EquiwmError, ValueError):
    """A stored result that is damaged, foreign, or of a later version, or a result that does not fit its claim."""


class DeviceError(EquiwmError):
    """A device that this machine does not have."""


class MissingExtraError(EquiwmError, ImportError):
    """An optional dependency that is not installed."""


class TrainingError(EquiwmError):
    """A training that diverged (NaN) or collapsed: the command was right, the result is not."""

    exit_status = 1


class ClosedLoopError(EquiwmError):
    """Episodes of a closed loop that failed: the others are kept."""

    exit_status = 1


MOST_KNOWN = 60
"""Names that a message lists, where none is near: more are none that anybody reads."""


def nearest(given: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the nearest known ones, else all of them, or some of many."""
    known, given = sorted(known), given[:MOST_QUOTED]
    close = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    more = f" and {len(known) - MOST_KNOWN} more" if len(known) > MOST_KNOWN + 1 else ""
    return f"known: {', '.join(known[:MOST_KNOWN] if more else known)}{more}."
