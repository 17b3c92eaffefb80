"""`reps.yaml`: what the columns of a log are, how they transform, in which unit, and where episodes end.

    dimension: 2
    episodes: {ends: episode_ends}    # or {index: episode_index}, or {done: [terminals, timeouts]}
    rate: 10                          # rows a second; or time: timestamp, a column in seconds
    centre: [256, 256]                # what rotations and reflections leave in place, in the units of the points
    history: 1                        # earlier steps that belong to a state, where velocities were not logged
    state:
      agent: {from: state, entries: [0, 1], rep: p, unit: px}
      block: {from: state, entries: [2, 3], rep: p, unit: px}
      turn: {from: state, entries: [4], rep: angle, unit: rad}
    action:
      target: {from: action, rep: p, unit: px}

`rep` is one of a `Rep` (`p`, `1o`, `3x1o`, `0e`), `angle` (about the z axis in space; unit rad or deg), or `quat`
(order wxyz, or `order: xyzw`). `from` is a column, or a list of columns side by side (`[x, y]`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

from equiwm.disk.safe_yaml import read_yaml
from equiwm.errors import ConfigError, nearest
from equiwm.printable import quoted
from equiwm.schema import coerce

Duplicates = Literal["refuse", "drop", "keep"]
Jumps = Literal["refuse", "allow"]
MOST_HISTORY = 8
_COLUMN = ("from", "entries", "rep", "unit", "order", "unwrapped")
_KEYS = (
    "dimension",
    "episodes",
    "rate",
    "time",
    "centre",
    "history",
    "duplicates",
    "jumps",
    "state",
    "action",
)
_EPISODES = ("ends", "index", "done")


@dataclass(frozen=True)
class ColumnSpec:
    """One quantity of a state or an action.

    Attributes:
        name: what it is called in messages and results.
        sources: columns of the log, side by side.
        entries: which entries of those; None for all.
        rep: how it transforms: the text of a rep, `angle` or `quat`.
        unit: for words, and for an angle `rad` or `deg`.
        order: of a quaternion's entries.
        unwrapped: whether an angle counts its turns on, beyond 2 pi.
    """

    name: str
    sources: tuple[str, ...]
    rep: str
    entries: tuple[int, ...] | None = None
    unit: str = ""
    order: Literal["wxyz", "xyzw"] = "wxyz"
    unwrapped: bool = False


@dataclass(frozen=True)
class LogSpec:
    """What a `reps.yaml` says; the module's text has the keys.

    Attributes:
        dimension: d of the space, 2 or 3.
        state: the quantities of a state.
        action: those of an action.
        episodes: (`ends`, `index` or `done`, columns); None where the layout itself has episodes.
        rate: rows a second; None where it is not known.
        time: a column of seconds.
        centre: the point that rotations and reflections leave in place; None is the origin.
        history: how many earlier steps belong to a state.
        duplicates: what to do with rows that repeat the one before.
        jumps: whether a column may change its unit.
    """

    dimension: int
    state: tuple[ColumnSpec, ...]
    action: tuple[ColumnSpec, ...]
    episodes: tuple[str, tuple[str, ...]] | None = None
    rate: float | None = None
    time: str | None = None
    centre: tuple[float, ...] | None = None
    history: int = 0
    duplicates: Duplicates = "refuse"
    jumps: Jumps = "refuse"


def read_spec(path: Path) -> LogSpec:
    """The specification in a `reps.yaml`.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, or a value of another kind; the message names the key.
    """
    return parse_spec(read_yaml(path), str(path))


def spec_of(data: Path) -> Path | None:
    """The `reps.yaml` that lies with a log, if there is one."""
    inside = [data / "reps.yaml"] if data.is_dir() else []
    places = [*inside, data.with_name(f"{data.stem}.reps.yaml"), data.with_name("reps.yaml")]
    return next((place for place in places if place.is_file()), None)


def required_spec(data: Path) -> Path:
    """The `reps.yaml` that lies with a log.

    Raises:
        ConfigError: there is none.
    """
    found = spec_of(data)
    if found is None:
        raise ConfigError(
            f"{data}: no reps.yaml says what its columns are. Make one: equiwm check-data {data} --guess > reps.yaml, "
            "correct it, and pass --reps reps.yaml."
        )
    return found


def parse_spec(data: Mapping[str, Any], where: str) -> LogSpec:
    """As `read_spec`, of keys and values.

    Raises:
        ConfigError: as `read_spec`.
    """
    _known(data, _KEYS, where)
    dimension = coerce(data.get("dimension"), Literal[2, 3], f"{where}: dimension")
    state, action = (_columns(data.get(part), f"{where}: {part}") for part in ("state", "action"))
    if not state:
        raise ConfigError(f"{where}: state is missing: expected quantities such as block: {{from: state, rep: p}}.")
    twice = sorted({entry.name for entry in state} & {entry.name for entry in action})
    if twice:
        raise ConfigError(f"{where}: {quoted(twice[0])} is a name in state and in action; give another to one of them.")
    centre = data.get("centre")
    if centre is not None:
        centre = coerce(centre, tuple[float, ...], f"{where}: centre")
        if len(centre) != dimension:
            raise ConfigError(f"{where}: centre has {len(centre)} numbers, expected {dimension}.")
    history = coerce(data.get("history", 0), int, f"{where}: history")
    if not 0 <= history <= MOST_HISTORY:
        raise ConfigError(f"{where}: history: got {history}, expected 0 to {MOST_HISTORY} steps.")
    rate = coerce(data.get("rate"), float | None, f"{where}: rate")
    if rate is not None and rate <= 0:
        raise ConfigError(f"{where}: rate: got {rate:g}, expected rows a second, above 0.")
    return LogSpec(
        dimension,
        state,
        action,
        _episodes(data.get("episodes"), f"{where}: episodes"),
        rate,
        coerce(data.get("time"), str | None, f"{where}: time"),
        centre,
        history,
        coerce(data.get("duplicates", "refuse"), Duplicates, f"{where}: duplicates"),
        coerce(data.get("jumps", "refuse"), Jumps, f"{where}: jumps"),
    )


def _known(data: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in data:
        if key not in keys:
            raise ConfigError(f"{where}: unknown key {quoted(key)}; {nearest(str(key), keys)}")


def _columns(data: Any, where: str) -> tuple[ColumnSpec, ...]:
    if data is None:
        return ()
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: got {quoted(data)}, expected names and what they are.")
    return tuple(_column(str(name), entry, f"{where}.{name}") for name, entry in data.items())


def _column(name: str, data: Any, where: str) -> ColumnSpec:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: got {quoted(data)}, expected {{from: COLUMN, rep: REP, unit: UNIT}}.")
    _known(data, _COLUMN, where)
    given = data.get("from", name)
    sources = (given,) if isinstance(given, str) else coerce(given, tuple[str, ...], f"{where}.from")
    entries = data.get("entries")
    if entries is not None:
        entries = coerce(entries, tuple[int, ...], f"{where}.entries")
    if not sources or entries == ():
        raise ConfigError(f"{where}: it is made of nothing; expected at least one column and one entry.")
    return ColumnSpec(
        name,
        sources,
        coerce(data.get("rep"), str, f"{where}.rep"),
        entries,
        coerce(data.get("unit", ""), str, f"{where}.unit"),
        coerce(data.get("order", "wxyz"), Literal["wxyz", "xyzw"], f"{where}.order"),
        coerce(data.get("unwrapped", False), bool, f"{where}.unwrapped"),
    )


def _episodes(data: Any, where: str) -> tuple[str, tuple[str, ...]] | None:
    if data is None:
        return None
    if not isinstance(data, Mapping) or len(data) != 1:
        raise ConfigError(
            f"{where}: got {quoted(data)}, expected one of {{ends: COLUMN}}, {{index: COLUMN}}, {{done: [COLUMN]}}."
        )
    _known(data, _EPISODES, where)
    ((way, given),) = data.items()
    columns = (given,) if isinstance(given, str) else coerce(given, tuple[str, ...], f"{where}.{way}")
    if not columns or (way != "done" and len(columns) > 1):
        raise ConfigError(
            f"{where}.{way}: got {quoted(given)}, expected {'columns' if way == 'done' else 'one column'}."
        )
    return str(way), columns


_WIDTH = 80
"""Columns of a line with its comment."""


def text_of(spec: LogSpec, comments: Mapping[str, str] | None = None) -> str:
    """The `reps.yaml` of a specification, to be edited.

    Args:
        spec: what it says.
        comments: name of a quantity, or key -> what stands beside it, or above it where a line would be too long.
    """
    said = comments or {}

    def line(text: str, key: str) -> str:
        if key not in said:
            return text
        beside = f"{text}  # {said[key]}"
        if len(beside) <= _WIDTH:
            return beside
        indent = " " * (len(text) - len(text.lstrip()))
        return "\n".join([*wrap(f"{indent}# {said[key]}", _WIDTH, subsequent_indent=f"{indent}# "), text])

    lines = [line(f"dimension: {spec.dimension}", "dimension")]
    if spec.episodes is not None:
        way, columns = spec.episodes
        shown = _flow(columns) if way == "done" else _text(columns[0])
        lines.append(line(f"episodes: {{{way}: {shown}}}", "episodes"))
    if spec.time is not None:
        lines.append(line(f"time: {_text(spec.time)}", "time"))
    if spec.rate is not None:
        lines.append(line(f"rate: {spec.rate:g}", "rate"))
    if spec.centre is not None:
        lines.append(line(f"centre: [{', '.join(f'{x:g}' for x in spec.centre)}]", "centre"))
    if spec.history:
        lines.append(line(f"history: {spec.history}", "history"))
    for part, columns_of in (("state", spec.state), ("action", spec.action)):
        lines.append(line(f"{part}:" if columns_of else f"{part}: {{}}", f"{part}:"))
        for entry in columns_of:
            source = _text(entry.sources[0]) if len(entry.sources) == 1 else _flow(entry.sources)
            parts = [f"from: {source}"]
            parts += [f"entries: {list(entry.entries)}"] if entry.entries is not None else []
            parts += [f"rep: {_text(entry.rep)}"]
            parts += [f"order: {entry.order}"] if entry.rep == "quat" else []
            parts += [f"unit: {_text(entry.unit)}"] if entry.unit else []
            parts += ["unwrapped: true"] if entry.unwrapped else []
            lines.append(line(f"  {_text(entry.name)}: {{{', '.join(parts)}}}", entry.name))
    return "\n".join(lines) + "\n"


def _flow(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, names))}]"


def _text(name: str) -> str:
    """A name as YAML reads it back: in quotes unless it is a plain word."""
    import json
    import re

    plain = re.fullmatch(r"[A-Za-z_][\w./*+-]*|\d+x[\w+*]+", name) and name.lower() not in _WORDS
    return name if plain else json.dumps(name)


_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
