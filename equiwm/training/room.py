"""Which trainings are begun together: the data of all of them lie in memory at once. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from equiwm.config import foreign_names

STACKED_TRANSITIONS = 2**18
"""Of a stack in all: the data of its trainings lie in memory together. Larger ones go in smaller stacks, or alone."""


def room_for(transitions: int, config: Mapping[str, Any]) -> int:
    """What a training takes of `STACKED_TRANSITIONS`: all where it has parts of somebody else's, of unknown size.

    Args:
        transitions: of the training.
        config: its configuration, as plain data.
    """
    return STACKED_TRANSITIONS if foreign_names(config) else transitions


def in_parts(needs: Sequence[int]) -> list[list[int]]:
    """Places of trainings that are begun together, in order, as many as there is room for; at least one.

    Args:
        needs: what each takes, as `room_for` says.
    """
    parts: list[list[int]] = []
    room = 0
    for index, need in enumerate(needs):
        if not parts or need > room:
            parts, room = [*parts, []], STACKED_TRANSITIONS
        parts[-1].append(index)
        room -= need
    return parts
