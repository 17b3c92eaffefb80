"""Which reader a path belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from equiwm.errors import DataError
from equiwm.logs.hdf5 import MINARI, read_hdf5
from equiwm.logs.lerobot import INFO, read_lerobot
from equiwm.logs.npz import read_npz
from equiwm.logs.raw import Array, Budget, Raw
from equiwm.logs.several import stacked
from equiwm.logs.tables import read_csv, read_parquet
from equiwm.logs.zarr_folder import is_zarr, read_zarr

_FILES = {".npz": read_npz, ".csv": read_csv, ".parquet": read_parquet, ".h5": read_hdf5, ".hdf5": read_hdf5}
_MINARI = (MINARI, Path(MINARI.name))
KNOWN = "an .npz, .csv, .parquet, .h5 or .hdf5 file, a folder with one an episode, or a Zarr, Minari or LeRobot folder"
_MOST_EPISODES = 200_000


def _episode_files(folder: Path) -> list[Path]:
    """The files of a folder that has an episode a file: all those of the first ending that is there, by name."""
    for ending in _FILES:
        found = [each for each in folder.iterdir() if each.suffix.lower() == ending and each.is_file()]
        if found:
            return sorted(
                found,
                key=lambda each: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", each.name)],
            )
    return []


def _read_episodes(path: Path, files: list[Path], *, skip_bad: bool) -> Raw:
    """A folder with a file an episode."""
    if len(files) > _MOST_EPISODES:
        raise DataError(f"{path}: {len(files):,} files, expected at most {_MOST_EPISODES:,} episodes.")
    reader = _FILES[files[0].suffix.lower()]
    budget = Budget(path)

    def read(file: Path) -> Mapping[str, Array]:
        raw = reader(file)
        for name, values in raw.columns.items():
            budget.take(values.shape, f"{file.name}, {name}")
        return raw.columns

    columns, starts, rows, skipped = stacked(path, files, read, skip_bad=skip_bad)
    lengths = np.diff([first for _, first in starts] + [rows])
    return Raw(path, columns, lengths=lengths.tolist(), files=starts, skipped=skipped)


def is_log(path: Path) -> bool:
    """Whether a file by its ending, or a folder by what is in it, is a log that can be read."""
    if not path.is_dir():
        return path.suffix.lower() in _FILES
    known = (path / INFO).is_file() or is_zarr(path) or any((path / name).is_file() for name in _MINARI)
    return known or bool(_episode_files(path))


def read_raw(path: Path, *, skip_bad: bool = False) -> Raw:
    """The columns of a log.

    Args:
        path: a file, told by its ending, or a folder, told by what is in it.
        skip_bad: of several files, leave out those that cannot be read (`Raw.skipped`).

    Raises:
        DataError: there is nothing, or nothing that is known.
        MissingExtraError: the library that reads it is not installed.
    """
    if not path.exists():
        raise DataError(f"no such log: {path}; expected {KNOWN}.")
    if not path.is_dir():
        reader = _FILES.get(path.suffix.lower())
        if reader is None:
            raise DataError(f"{path}: the ending {path.suffix or 'is missing and'} is not known; expected {KNOWN}.")
        return reader(path)
    if (path / INFO).is_file():
        return read_lerobot(path, skip_bad=skip_bad)
    if is_zarr(path):
        return read_zarr(path)
    for inner in _MINARI:
        if (path / inner).is_file():
            return read_hdf5(path / inner)
    files = _episode_files(path)
    if len(files) == 1:  # one episode is no log: it holds several, as what `equiwm collect` writes
        return _FILES[files[0].suffix.lower()](files[0])
    if files:
        return _read_episodes(path, files, skip_bad=skip_bad)
    raise DataError(
        f"{path}: a folder with neither meta/info.json, Zarr's metadata, main_data.hdf5 nor a file an episode; "
        f"expected {KNOWN}."
    )
