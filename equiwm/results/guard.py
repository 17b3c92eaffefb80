"""The saved map of where a symmetry breaks: plain data of bounded size, which a world takes as its guard.

Nothing in it is run: it is numbers, each checked, and a function of this package says what they mean (`worlds.guard`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from equiwm.disk.strict_json import parse_json, read_json
from equiwm.errors import ConfigError, EquiwmError
from equiwm.results import door
from equiwm.results.result import Real, Result

FEWEST_KNOTS, MOST_KNOTS, MOST_BYTES = 4, 1024, 64 * 1024
MOST_ENTRIES = 100_000
"""Numbers of a state."""


@dataclass(frozen=True)
class GuardMap(Result):
    """How far out of a position a symmetry holds, by direction.

    Attributes:
        world: what it was measured on, for a reader.
        group: under which symmetry.
        channel: name of the position, for a reader.
        size: S, how many numbers a state has.
        position: the two entries of a state that are the position.
        centre: the point that the group leaves where it is.
        angle: the entry of the state's angle, where the bound depends on that less the direction; None where on the
            direction alone.
        radius: bounds at K equally spaced angles from -pi on; null where there is none.
    """

    world: str
    group: str
    channel: str
    size: int
    position: list[int]
    centre: list[float]
    angle: int | None
    radius: list[Real]

    @property
    def misfit(self) -> str | None:
        entries = [*self.position, *([] if self.angle is None else [self.angle])]
        if not 1 <= self.size <= MOST_ENTRIES or not all(0 <= entry < self.size for entry in entries):
            return f"entries {entries} of a state of {self.size} numbers"
        if len(self.position) != 2 or len(set(entries)) < len(entries) or len(self.centre) != 2:
            return "a position and a centre are two numbers each, and an angle is another"
        if not FEWEST_KNOTS <= len(self.radius) <= MOST_KNOTS:
            return f"{len(self.radius)} bounds, expected {FEWEST_KNOTS} to {MOST_KNOTS}"
        if any(bound < 0.0 for bound in self.radius):
            return "a bound is a distance, at least 0"
        return None if any(math.isfinite(bound) for bound in self.radius) else "it bounds nothing"

    def as_text(self) -> str:
        """The map in one line: what `world.guard` of a run's configuration holds."""
        return json.dumps(door.to_builtins(self), separators=(",", ":"))


def read_guard(path: Path) -> GuardMap:
    """The map in a file that `equiwm check-world --save-guard` wrote, or somebody else.

    Raises:
        ConfigError: no such file, too large, or no such map; the message says what is wrong.
    """
    try:
        return door.read(GuardMap, read_json(path, most=MOST_BYTES))
    except EquiwmError as error:
        raise _no_map(str(path), error) from None


def guard_of_text(text: str) -> GuardMap:
    """The map that `GuardMap.as_text` wrote.

    Raises:
        ConfigError: another text.
    """
    if len(text) > MOST_BYTES:
        raise ConfigError(f"world.guard: got {len(text):,} characters, expected at most {MOST_BYTES:,}.")
    try:
        return door.read(GuardMap, parse_json(text, "world.guard"))
    except EquiwmError as error:
        raise _no_map("world.guard", error) from None


def _no_map(where: str, error: EquiwmError) -> ConfigError:
    said = str(error).removeprefix(f"{where} is damaged ").partition("; ")[0]
    return ConfigError(f"{where} is no map of a break: {said}. `equiwm check-world --save-guard FILE.json` writes one.")
