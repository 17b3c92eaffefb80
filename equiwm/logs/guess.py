"""A `reps.yaml` proposed from the names, shapes and ranges of a log's columns, for its owner to correct."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from equiwm.errors import DataError
from equiwm.logs.formats import read_raw
from equiwm.logs.raw import Array, Raw
from equiwm.logs.spec import ColumnSpec, LogSpec, text_of

_ACTION = re.compile(r"(^|[./_])(actions?|act|control|command|target)s?($|[./_\d])", re.IGNORECASE)
_ASIDE = re.compile(
    r"(reward|success|done|terminal|terminat|truncat|timeout|timestamp|(^|[./_])(time|t|index|frame|step|task)|_index$"
    r"|episode|infos?/)",
    re.IGNORECASE,
)
_DONE = re.compile(r"(^|[./_])(done|dones|terminals?|timeouts?|terminations?|truncations?)$", re.IGNORECASE)
_INDEX = re.compile(r"(^|[./_])(episode|episode_index|episode_id|ep|traj|trajectory)$", re.IGNORECASE)
_ENDS = re.compile(r"(^|[./_])(episode_ends|ends)$", re.IGNORECASE)
_TIME = re.compile(r"(^|[./_])(timestamp|time|t)$", re.IGNORECASE)
_AXIS = re.compile(r"^(.*?)[._/]?([xyz])$")
_KINDS: tuple[tuple[str, str], ...] = (
    (r"quat|orientation_q", "quat"),
    (r"angle|theta|yaw|heading|psi", "angle"),
    (r"vel|force|torque|spin|accel|momentum|direction|delta|(^|[./_])[dvf]$", "1o"),
    (r"pos|point|xy|location|centre|center|agent|block|goal|target|tip|(^|[./_])p$", "p"),
)
_UNSURE = "unsure: say p, 1o, 0e, angle or quat"


def guess(path: Path) -> str:
    """The text of a `reps.yaml` for a log; what is unsure carries a comment that says so.

    Raises:
        DataError, MissingExtraError: as `equiwm.logs.formats.read_raw`; a log without any column.
    """
    raw = read_raw(path)
    columns = {name: values for name, values in raw.columns.items() if values.ndim >= 1 and len(values)}
    if not columns:
        raise DataError(f"{path}: it holds no column of numbers.")
    ends = [name for name in columns if _ENDS.search(name)]
    rows = max(len(values) for values in columns.values())
    of_rows = {name: values for name, values in columns.items() if len(values) == rows}
    comments: dict[str, str] = {}
    episodes = None if raw.lengths is not None else _episodes(of_rows, ends)
    if raw.lengths is None and episodes is None:
        comments["dimension"] = "where do episodes end? add `episodes: {index: COLUMN}`, or ends or done"
    found: dict[str, list[ColumnSpec]] = {"state": [], "action": []}
    dimension = _dimension(of_rows)
    for name, values in _grouped(of_rows).items():
        first = name[0]
        if _ASIDE.search(first) or any(_ENDS.search(part) for part in name):
            continue
        part = "action" if _ACTION.search(first) else "state"
        wide = np.concatenate([values_of.reshape(rows, -1) for values_of in values], 1)
        found[part] += _quantities(raw, name, wide, dimension, comments)
    named: dict[str, int] = defaultdict(int)
    state, action = (tuple(_renamed(entry, named, comments) for entry in found[part]) for part in ("state", "action"))
    if not action:
        comments["action:"] = "no column looks like an action: name those that are"
    centre = None
    if any(entry.rep == "p" for entry in (*state, *action)):
        centre = _middle(of_rows, state, dimension)
        comments["centre"] = "a guess, the middle of what was seen: put the point that rotations leave in place"
    time = next((name for name in of_rows if _TIME.search(name)), None)
    if any(entry.rep in ("p", "angle", "quat") for entry in state) and not any(entry.rep == "1o" for entry in state):
        comments["history"] = "no velocities found: a state is completed by the step before it"
    history = int("history" in comments)
    spec = LogSpec(dimension, state, action, episodes, None, time, centre, history)
    return "# A guess from names, shapes and ranges. Correct it: a wrong rep misleads.\n" + text_of(spec, comments)


def _episodes(columns: dict[str, Array], ends: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    if ends:
        return "ends", (ends[0],)
    index = [name for name in columns if _INDEX.search(name)]
    if index:
        return "index", (index[0],)
    done = tuple(name for name in columns if _DONE.search(name))
    return ("done", done) if done else None


def _dimension(columns: dict[str, Array]) -> int:
    """3 where something has a z, a quaternion or three entries; else 2."""
    spatial = any(
        re.search(r"quat", name, re.IGNORECASE) or values.shape[-1:] == (3,) for name, values in columns.items()
    )
    axes = {match[2] for name in columns if (match := _AXIS.match(name))}
    return 3 if spatial or "z" in axes else 2


def _grouped(columns: dict[str, Array]) -> dict[tuple[str, ...], list[Array]]:
    """Columns, those together that differ in their last letter x, y, z alone (`block_x`, `block_y`)."""
    sets: dict[str, list[str]] = defaultdict(list)
    for name, values in columns.items():
        match = _AXIS.match(name) if values.ndim == 1 else None
        sets[f"{match[1]}\0axes" if match else name].append(name)
    found = {}
    for names in sets.values():
        whole = [sorted(names)] if len(names) > 1 else [[name] for name in names]
        for group in whole:
            found[tuple(group)] = [columns[name] for name in group]
    return found


def _quantities(
    raw: Raw, sources: tuple[str, ...], values: Array, dimension: int, comments: dict[str, str]
) -> list[ColumnSpec]:
    """A column as one quantity, or cut where the names of its entries or its width say that it holds several."""
    name = sources[0].rpartition("/")[2].rpartition(".")[2] or sources[0]
    if len(sources) > 1:
        match = _AXIS.match(name)
        name = (match[1] if match else name) or "position"
    width = values.shape[1]
    kind = next((kind for pattern, kind in _KINDS if re.search(pattern, sources[0], re.IGNORECASE)), None)
    if _ACTION.search(sources[0]) and width == dimension:
        comments[name] = "p if it is a target in space, 1o if it is a displacement or a force"
        kind = kind or "p"
    rep = _rep(kind, width, dimension)
    if rep is not None:
        return [ColumnSpec(name, sources, rep, unit="rad" if rep == "angle" else "")]
    named = raw.entries.get(sources[0], ())
    pieces, start = [], 0
    while start < width:
        stop, rep, known = _piece(values, start, dimension, named)
        label = f"{name}_{start}" if stop - start < width else name
        pieces.append(ColumnSpec(label, sources, rep, tuple(range(start, stop)), "rad" if rep == "angle" else ""))
        if not known:
            comments[label] = _UNSURE
        start = stop
    return pieces


def _rep(kind: str | None, width: int, dimension: int) -> str | None:
    """The rep of a whole column of a kind; None where its width does not fit."""
    if kind == "quat":
        return "quat" if width == 4 and dimension == 3 else None
    if kind == "angle":
        return "angle" if width == 1 else None
    if kind in ("p", "1o") and width % dimension == 0:
        return kind if width == dimension else f"{width // dimension}x{kind}"
    return None


def _piece(values: Array, start: int, dimension: int, named: Sequence[str]) -> tuple[int, str, bool]:
    """The next quantity in a wide column: where it ends, its rep, and whether anything says so but its range."""
    left = values.shape[1] - start
    if len(named) == values.shape[1] and left >= dimension:
        letters = [match[2] if (match := _AXIS.match(entry)) else "" for entry in named[start : start + dimension]]
        if letters == ["x", "y", "z"][:dimension]:
            kind = next((kind for pattern, kind in _KINDS if re.search(pattern, named[start], re.IGNORECASE)), "p")
            return start + dimension, kind if kind in ("p", "1o") else "p", True
    spread = np.ptp(values[:, start : start + dimension].astype(np.float64), axis=0)
    if left >= dimension and spread.min() > 0.5 * spread.max() > 0:
        return start + dimension, "p", False
    if 5.5 < spread[0] < 6.6:
        return start + 1, "angle", False
    return start + 1, "0e", False


def _renamed(entry: ColumnSpec, named: dict[str, int], comments: dict[str, str]) -> ColumnSpec:
    """The quantity, with a number behind a name that stood there before."""
    named[entry.name] += 1
    if named[entry.name] == 1:
        return entry
    name = f"{entry.name}_{named[entry.name]}"
    if entry.name in comments:
        comments[name] = comments[entry.name]
    return ColumnSpec(name, entry.sources, entry.rep, entry.entries, entry.unit, entry.order)


def _middle(columns: dict[str, Array], state: Sequence[ColumnSpec], dimension: int) -> tuple[float, ...]:
    """The middle of the ranges of all points, to three figures."""
    points = []
    for entry in state:
        if entry.rep.endswith("p"):
            wide = np.concatenate([columns[name].reshape(len(columns[name]), -1) for name in entry.sources], 1)
            chosen = wide if entry.entries is None else wide[:, list(entry.entries)]
            points.append(chosen.astype(np.float64).reshape(-1, dimension))
    if not points:
        return (0.0,) * dimension
    every = np.concatenate(points)
    every = every[np.isfinite(every).all(1)]
    return tuple(float(f"{x:.3g}") for x in (every.min(0) + every.max(0)) / 2) if len(every) else (0.0,) * dimension
