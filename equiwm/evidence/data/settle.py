"""Whether a log shows its world's group: asked once, before a training, and kept in the run."""

from __future__ import annotations

from equiwm.errors import GroupError
from equiwm.evidence.data.check import check_data
from equiwm.logs.episodes import Logs
from equiwm.symmetry.group import Group


def shows(logs: Logs, group: Group) -> tuple[bool, str]:
    """Whether `check_data` finds a log consistent with a group, and what that means for test sets.

    Args:
        logs: the episodes.
        group: the world's.

    Raises:
        DataError: as `check_data`.
    """
    try:
        result = check_data(logs, group)
    except GroupError as error:
        found, said = False, str(error)
    else:
        found, said = result.verdict == "consistent", result.sentence
    means = (
        "test sets are turned"
        if found
        else "test sets are held-out orientations of the log; world.symmetric=yes would turn them"
    )
    return found, f"check-data: {said}\n{means}."
