"""LeRobot folders, v2.0, v2.1 and v3.0: Parquet files and `meta/info.json`, read without lerobot."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.disk.text import read_text
from equiwm.errors import DataError
from equiwm.logs.raw import Budget, Raw
from equiwm.logs.several import stacked
from equiwm.logs.tables import parquet_columns
from equiwm.printable import cut, quoted

INFO = Path("meta") / "info.json"
_MOST_INFO = 2**22
_MOST_FILES = 200_000
_FIELD = re.compile(r"\{(episode_chunk|episode_index|chunk_index|file_index)(?::0?(\d{1,2})d)?\}")


def read_lerobot(path: Path, *, skip_bad: bool = False) -> Raw:
    """The columns of a LeRobot folder; videos and images are left out.

    Args:
        path: the folder.
        skip_bad: leave out files that cannot be read.

    Raises:
        DataError: metadata or a file that is missing or damaged, or frames that are not as many as the metadata tells.
        MissingExtraError: pyarrow is not installed.
    """
    info = _info(path)
    version = str(info.get("codebase_version", ""))
    if not re.fullmatch(r"v?[23](\.\d+)*", version):
        raise DataError(f"{path / INFO}: codebase_version is {quoted(version)}, expected v2.0, v2.1 or v3.0.")
    template = info.get("data_path")
    if not isinstance(template, str):
        raise DataError(f"{path / INFO}: data_path is {quoted(template)}, expected a template of file names.")
    pictures = frozenset(
        name
        for name, feature in _mapping(info, "features").items()
        if isinstance(feature, Mapping) and feature.get("dtype") in ("video", "image", "string")
    )
    paths = _every_episode(path, info, template) if "{episode_index" in template else _every_file(path, template)
    budget = Budget(path)
    columns, files, first, skipped = stacked(
        path, paths, lambda file: parquet_columns(file, budget, inside=path, leave_out=pictures), skip_bad=skip_bad
    )
    frames = info.get("total_frames")
    if isinstance(frames, int) and frames != first and not skipped:
        raise DataError(f"{path}: {first:,} frames in its files, {frames:,} in {INFO}; a file is missing or cut off.")
    rate = info.get("fps")
    return Raw(
        path,
        columns,
        entries=_entries(info),
        rate=float(rate) if isinstance(rate, int | float) and rate > 0 else None,
        files=files,
        skipped=skipped,
    )


def _info(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path / INFO, most=_MOST_INFO, inside=path, error=DataError))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path / INFO} is damaged ({cut(str(error), 120)}).") from None
    if not isinstance(found, dict):
        raise DataError(f"{path / INFO} is damaged: expected a JSON object.")
    return found


def _mapping(info: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = info.get(key)
    return found if isinstance(found, Mapping) else {}


def _filled(path: Path, template: str, **numbers: int) -> Path:
    """A file of the template; nothing but these numbers is put in, and nothing leads out of the folder.

    Raises:
        DataError: such a template.
    """
    name = _FIELD.sub(lambda match: f"{numbers.get(match[1], 0):0{int(match[2] or 1)}d}", template)
    if "{" in name or name.startswith("/") or ".." in Path(name).parts or len(name) > 400:
        raise DataError(f"{path / INFO}: data_path is {quoted(template)}, which is no template of names in the folder.")
    return path / name


def _every_episode(path: Path, info: Mapping[str, Any], template: str) -> list[Path]:
    """v2: a file an episode."""
    count, chunk = info.get("total_episodes"), info.get("chunks_size", 1000)
    if not isinstance(count, int) or not 0 < count <= _MOST_FILES or not isinstance(chunk, int) or chunk < 1:
        raise DataError(
            f"{path / INFO}: total_episodes is {quoted(count)} and chunks_size {quoted(chunk)}; expected 1 to "
            f"{_MOST_FILES:,} episodes, in chunks of 1 or more."
        )
    return [_filled(path, template, episode_index=k, episode_chunk=k // chunk) for k in range(count)]


def _every_file(path: Path, template: str) -> list[Path]:
    """v3: many episodes in a file; files are numbered within numbered chunks, without gaps."""
    found: list[Path] = []
    for chunk in range(_MOST_FILES):
        before = len(found)
        for number in range(_MOST_FILES):
            file = _filled(path, template, chunk_index=chunk, file_index=number)
            if not file.exists() or file in found[-1:]:
                break
            found.append(file)
        if len(found) == before:
            break
    if not found:
        raise DataError(f"{path}: no file {_filled(path, template)}, which data_path in {INFO} names.")
    return found


def _entries(info: Mapping[str, Any]) -> dict[str, list[str]]:
    """Column -> the names of its entries, which are a list, or lists by a heading."""
    named = {}
    for name, feature in _mapping(info, "features").items():
        given = feature.get("names") if isinstance(feature, Mapping) else None
        lists = list(given.values()) if isinstance(given, Mapping) else [given]
        flat = [str(entry) for part in lists if isinstance(part, list) for entry in part]
        if flat:
            named[str(name)] = flat
    return named
