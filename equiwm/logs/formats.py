"""Which reader a path belongs to."""

from __future__ import annotations

from pathlib import Path

from equiwm.errors import DataError
from equiwm.logs.hdf5 import MINARI, read_hdf5
from equiwm.logs.lerobot import INFO, read_lerobot
from equiwm.logs.npz import read_npz
from equiwm.logs.raw import Raw
from equiwm.logs.tables import read_csv, read_parquet
from equiwm.logs.zarr_folder import is_zarr, read_zarr

_FILES = {".npz": read_npz, ".csv": read_csv, ".parquet": read_parquet, ".h5": read_hdf5, ".hdf5": read_hdf5}
_MINARI = (MINARI, Path(MINARI.name))
KNOWN = "an .npz, .csv, .parquet, .h5 or .hdf5 file, or a Zarr, Minari or LeRobot folder"


def is_log(path: Path) -> bool:
    """Whether a file by its ending, or a folder by what is in it, is a log that can be read."""
    if not path.is_dir():
        return path.suffix.lower() in _FILES
    return (path / INFO).is_file() or is_zarr(path) or any((path / name).is_file() for name in _MINARI)


def read_raw(path: Path) -> Raw:
    """The columns of a log.

    Args:
        path: a file, told by its ending, or a folder, told by what is in it.

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
        return read_lerobot(path)
    if is_zarr(path):
        return read_zarr(path)
    for inner in _MINARI:
        if (path / inner).is_file():
            return read_hdf5(path / inner)
    raise DataError(
        f"{path}: a folder with neither meta/info.json, Zarr's metadata nor main_data.hdf5; expected {KNOWN}."
    )
