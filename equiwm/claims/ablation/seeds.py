"""The seeds of a cell of an ablation, whose trainings are one program. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from equiwm.claims.ablation.lockstep import Asking, side_by_side
from equiwm.disk.strict_json import canonical_json
from equiwm.grid import Stacks
from equiwm.training.room import in_parts, room_for

RowsOf = Callable[[Mapping[str, Any]], Asking[dict[str, Any]]]
"""A cell's parameters -> what `AblationKind.compute` gives of it, asking for its trainings."""


def _transitions(params: Mapping[str, Any]) -> int:
    return int(params["config"]["training"]["transitions"])


def seeds_together(rows_of: RowsOf, transitions: Callable[[Mapping[str, Any]], int] = _transitions) -> Stacks:
    """Stacks of the cells that differ in `seed` alone, as many as there is room for in memory.

    Args:
        rows_of: importable.
        transitions: a cell's parameters -> of its largest training; else those of its `config`.
    """

    def parts(several: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        return in_parts([_room(params, transitions(params)) for params in several])

    return Stacks(_but_seed, partial(_together, rows_of), parts)


def _configs(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [params["config"]] if "config" in params else list(params.get("configs", {}).values())


def _room(params: Mapping[str, Any], transitions: int) -> int:
    return max(room_for(transitions, config) for config in _configs(params))


def _but_seed(params: Mapping[str, Any]) -> str | None:
    """What the seeds of a cell have in common; None where no world model is trained."""
    return canonical_json({**params, "seed": None}) if _configs(params) else None


def _together(rows_of: RowsOf, several: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | BaseException]:
    return side_by_side([rows_of(params) for params in several])
