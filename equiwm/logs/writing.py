"""Episodes written as logs that the readers give back in every bit: one npz, or a LeRobot folder v3.0.

An episode is columns of one length, a row a step; of actions the last row is what would have been done next. Files are
whole or absent, and the one that makes a folder a log (`meta/info.json`, the npz itself) comes last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equiwm.disk.files import atomic_writer, write_atomic
from equiwm.errors import DataError
from equiwm.logs.lerobot import INFO
from equiwm.logs.raw import Array, extra_missing

if TYPE_CHECKING:
    import pyarrow

NPZ = "episodes.npz"
ENDS = "episode_ends"
"""Column of an npz: rows up to the end of each episode."""
INDEX = "episode_index"
"""Column of a LeRobot folder: the episode of each row."""
ROWS_A_FILE = 200_000
"""Of a LeRobot folder: memory holds no more than so many rows and an episode."""
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_EPISODES = "meta/episodes/chunk-000/file-000.parquet"
_FILES_A_CHUNK = 1000

Columns = Mapping[str, Array]
"""Name -> (rows,) or (rows, width)."""


def write_npz(folder: Path, episodes: Iterable[Columns]) -> Path:
    """All episodes in `folder/episodes.npz`, their ends in the column `episode_ends`.

    Raises:
        DataError: no episode, or one with other columns than the first.
        MachineError: it cannot be written.
    """
    parts: list[Columns] = []
    for episode in episodes:
        _require_like(episode, parts[0] if parts else episode)
        parts.append(episode)
    if not parts:
        raise DataError(f"{folder}: there is no episode to write.")
    ends = np.cumsum([_rows(part) for part in parts])
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    with atomic_writer(folder / NPZ) as file:
        np.savez(file, allow_pickle=False, **whole, **{ENDS: ends})
    return folder / NPZ


def require_pyarrow() -> None:
    """Whatever writes LeRobot folders asks before its work.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise extra_missing("pyarrow", "LeRobot folders") from None


def write_lerobot(folder: Path, episodes: Iterable[Columns], *, rate: float, task: str) -> Path:
    """All episodes as a LeRobot folder v3.0: Parquet files, and the metadata that its own library reads.

    To the columns come `timestamp`, `frame_index`, `episode_index`, `index` and `task_index`.

    Args:
        folder: where; it exists.
        episodes: one after another; no more than a file of them is held.
        rate: rows a second.
        task: what was to be done, in words.

    Raises:
        DataError: no episode, or one with other columns than the first.
        MachineError: a file cannot be written.
        MissingExtraError: pyarrow is not installed.
    """
    require_pyarrow()
    written = _Folder(folder, rate)
    for episode in episodes:
        written.add(episode)
    written.close(task)
    return folder


@dataclass
class _Summary:
    """Least, largest, mean and standard deviation of a column, row by row."""

    count: int = 0
    low: Any = None
    high: Any = None
    total: Any = 0.0
    squares: Any = 0.0

    def add(self, values: Array) -> None:
        numbers = values.reshape(len(values), -1).astype(np.float64)
        self.low = numbers.min(0) if self.low is None else np.minimum(self.low, numbers.min(0))
        self.high = numbers.max(0) if self.high is None else np.maximum(self.high, numbers.max(0))
        self.count += len(numbers)
        self.total = self.total + numbers.sum(0)
        self.squares = self.squares + np.square(numbers).sum(0)

    def as_dict(self) -> dict[str, list[float] | list[int]]:
        mean = self.total / self.count
        std = np.sqrt(np.maximum(self.squares / self.count - np.square(mean), 0.0))
        found = {"min": self.low, "max": self.high, "mean": mean, "std": std}
        return {name: value.tolist() for name, value in found.items()} | {"count": [self.count]}


@dataclass
class _Folder:
    """A LeRobot folder that is being written."""

    path: Path
    rate: float
    first: Columns | None = None
    rows: int = 0
    held: list[Columns] = field(default_factory=list)
    files: int = 0
    episodes: list[dict[str, Any]] = field(default_factory=list)
    summaries: dict[str, _Summary] = field(default_factory=dict)

    def add(self, episode: Columns) -> None:
        """One more episode."""
        rows, number = _rows(episode), len(self.episodes)
        self.first = self.first or episode
        _require_like(episode, self.first)
        frames = np.arange(rows, dtype=np.int64)
        whole = {
            **episode,
            "timestamp": (frames / self.rate).astype(np.float32),
            "frame_index": frames,
            INDEX: np.full(rows, number, np.int64),
            "index": self.rows + frames,
            "task_index": np.zeros(rows, np.int64),
        }
        for name, values in whole.items():
            self.summaries.setdefault(name, _Summary()).add(values)
        if self.held and sum(map(_rows, self.held)) + rows > ROWS_A_FILE:
            self._flush()
        chunk, file = divmod(self.files, _FILES_A_CHUNK)
        self.episodes.append(
            {
                INDEX: number,
                "length": rows,
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": self.rows,
                "dataset_to_index": self.rows + rows,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
        )
        self.held.append(whole)
        self.rows += rows

    def _flush(self) -> None:
        chunk, number = divmod(self.files, _FILES_A_CHUNK)
        columns = {name: np.concatenate([part[name] for part in self.held]) for name in self.held[0]}
        _write_parquet(self.path / _DATA.format(chunk_index=chunk, file_index=number), columns)
        self.files, self.held = self.files + 1, []

    def close(self, task: str) -> None:
        """Write what is held, and the metadata.

        Raises:
            DataError: there was no episode.
        """
        if self.first is None:
            raise DataError(f"{self.path}: there is no episode to write.")
        self._flush()
        rows = {name: np.array([row[name] for row in self.episodes]) for name in self.episodes[0]}
        _write_parquet(self.path / _EPISODES, rows, {"tasks": [[task]] * len(self.episodes)})
        _write_parquet(self.path / "meta" / "tasks.parquet", {"task_index": np.array([0])}, {"task": [task]})
        stats = {name: summary.as_dict() for name, summary in self.summaries.items()}
        write_atomic(self.path / "meta" / "stats.json", json.dumps(stats, indent=4) + "\n")
        write_atomic(self.path / INFO, json.dumps(self._info(), indent=4) + "\n")

    def _info(self) -> dict[str, Any]:
        assert self.first is not None
        own = {"timestamp": "float32", "frame_index": "int64", INDEX: "int64", "index": "int64", "task_index": "int64"}
        features = {
            name: {"dtype": str(values.dtype), "shape": [values.shape[1] if values.ndim > 1 else 1], "names": None}
            for name, values in self.first.items()
        } | {name: {"dtype": kind, "shape": [1], "names": None} for name, kind in own.items()}
        rate = int(self.rate) if self.rate == int(self.rate) else self.rate
        return {
            "codebase_version": "v3.0",
            "robot_type": None,
            "total_episodes": len(self.episodes),
            "total_frames": self.rows,
            "total_tasks": 1,
            "chunks_size": _FILES_A_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 500,
            "fps": rate,
            "splits": {"train": f"0:{len(self.episodes)}"},
            "data_path": _DATA,
            "video_path": None,
            "features": features,
        }


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _require_like(episode: Columns, first: Columns) -> None:
    """Refuse an episode of other columns.

    Raises:
        DataError: such a one.
    """
    for name in {**first, **episode}:
        given, expected = episode.get(name), first.get(name)
        if given is None or expected is None or given.shape[1:] != expected.shape[1:] or given.dtype != expected.dtype:
            raise DataError(f"an episode has another column '{name}' than the first one; expected the same in all.")
        if len(given) != _rows(episode):
            raise DataError(f"an episode has {_rows(episode)} rows, and {len(given)} in its column '{name}'.")


def _write_parquet(path: Path, columns: Columns, texts: Mapping[str, Sequence[Any]] | None = None) -> None:
    """One Parquet file, its vectors as lists."""
    import pyarrow
    from pyarrow import parquet

    arrays = {name: _arrow(values) for name, values in columns.items()}
    arrays |= {name: pyarrow.array(values) for name, values in (texts or {}).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file, _writable(file) as sink:
        parquet.write_table(pyarrow.table(arrays), sink)


@contextmanager
def _writable(file: Any) -> Iterator[Any]:
    """A file that pyarrow writes into and leaves open: who opened it syncs and closes it."""
    import pyarrow

    sink = pyarrow.PythonFile(file, mode="w")
    yield sink
    sink.flush()


def _arrow(values: Array) -> pyarrow.Array:
    import pyarrow

    if values.ndim == 1 or values.shape[1] == 1:
        return pyarrow.array(values.reshape(-1))
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.reshape(-1)), values.shape[1])
