"""HDF5 files: Minari's layout and others with a group an episode, and flat arrays as D4RL has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from equiwm.disk.text import open_regular
from equiwm.errors import DataError
from equiwm.logs.raw import MOST_COLUMNS, MOST_FILE, Array, Budget, Raw, extra_missing, is_numeric
from equiwm.logs.spool import Growing, allocate, blocks
from equiwm.printable import cut, quoted

_EPISODE = re.compile(r"(\D*)(\d{1,9})")
_MOST_DEPTH = 8
_MOST_EPISODES = 1_000_000
MINARI = Path("data") / "main_data.hdf5"


def read_hdf5(path: Path) -> Raw:
    """The arrays of an HDF5 file, by their paths in it, or in an episode's group (`observations`).

    Raises:
        DataError: damaged, links to other files, too many numbers, or episodes that differ in their columns.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise extra_missing("h5py", "HDF5 files") from None
    budget = Budget(path)
    with open_regular(path, most=MOST_FILE, error=DataError) as stream:
        try:
            with h5py.File(stream, "r") as file:
                groups = _episodes(path, file, h5py) or _episodes(path, file.get("data"), h5py)
                if not groups:
                    return Raw(path, {name: _laid_out(entry) for name, entry in _datasets(path, file, h5py, budget)})
                return _joined(path, [(name, dict(_datasets(path, group, h5py, budget))) for name, group in groups])
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{path}: damaged, cut off, or no HDF5 file ({cut(' '.join(str(error).split()), 120)})."
            ) from None


def _episodes(path: Path, group: Any, h5py: Any) -> list[tuple[str, Any]]:
    """The groups `episode_0`, `demo_1`, ... in the order of their numbers; none where there are no such groups."""
    if not isinstance(group, h5py.Group):
        return []
    if len(group) > _MOST_EPISODES:
        raise DataError(f"{path}: {len(group):,} groups, expected at most {_MOST_EPISODES:,} episodes.")
    named = {name: match for name in group if (match := _EPISODE.fullmatch(name)) and _is_here(path, group, name, h5py)}
    found = [(int(match[2]), name) for name, match in named.items() if isinstance(group[name], h5py.Group)]
    return [(name, group[name]) for _, name in sorted(found)]


def _is_here(path: Path, group: Any, name: str, h5py: Any) -> bool:
    """Whether a name stands for something in this very file.

    Raises:
        DataError: it is a link to another file, or to another name, which could go in a circle.
    """
    if isinstance(group.get(name, getlink=True), h5py.HardLink):
        return True
    raise DataError(f"{path}: {quoted(f'{group.name}/{name}')} is a link; links in HDF5 files are not followed.")


def _datasets(
    path: Path, group: Any, h5py: Any, budget: Budget, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """The data sets of a group that hold numbers, by their paths in it; nothing of them is read yet."""
    if depth > _MOST_DEPTH or len(group) > MOST_COLUMNS:
        raise DataError(f"{path}: {quoted(group.name)} is nested too deep, or holds too many arrays.")
    for name in group:
        _is_here(path, group, name, h5py)
        entry = group[name]
        if isinstance(entry, h5py.Group):
            yield from _datasets(path, entry, h5py, budget, f"{prefix}{name}/", depth + 1)
        elif isinstance(entry, h5py.Dataset) and is_numeric(entry.dtype) and entry.shape:
            if entry.is_virtual or entry.external:
                raise DataError(f"{path}: {quoted(entry.name)} lies in another file; it is not read.")
            budget.take(entry.shape, quoted(entry.name))
            if entry.chunks is not None:
                Budget(path).take(entry.chunks, f"a chunk of {quoted(entry.name)}")
            yield f"{prefix}{name}", entry


def _laid_out(entry: Any) -> Array:
    """The values of a data set."""
    found = allocate(entry.shape, entry.dtype)
    for part in blocks(len(found)):
        found[part] = entry[part]
    return found


def _joined(path: Path, episodes: list[tuple[str, dict[str, Any]]]) -> Raw:
    """The columns of episodes one after another; those with an entry less than the observations are filled with 0."""
    first, columns = episodes[0]
    names = list(columns)
    lengths = []
    short: set[str] = set()
    parts = {name: Growing() for name in names}
    for episode, arrays in episodes:
        missing = sorted(set(names) - set(arrays))
        if missing:
            raise DataError(f"{path}: {quoted(episode)} has no {cut(', '.join(missing), 80)}, which {first} has.")
        rows = max(len(arrays[name]) for name in names)
        lengths.append(rows)
        for name in names:
            values = arrays[name]
            if values.shape[1:] != columns[name].shape[1:] or len(values) not in (rows, rows - 1):
                raise DataError(
                    f"{path}: {quoted(f'{episode}/{name}')} has shape {values.shape}; expected {rows} rows, or "
                    f"{rows - 1} of an action, each of shape {columns[name].shape[1:]}."
                )
            parts[name].add(np.asarray(values[()]))
            if len(values) == rows - 1:
                short.add(name)
                parts[name].add(np.zeros((1, *values.shape[1:]), values.dtype))
    joined = {name: pieces.array() for name, pieces in parts.items()}
    return Raw(path, joined, lengths=lengths, short=frozenset(short))
