"""The cache: data that many commands need and that are dear to make, in a folder of this user's, and nowhere else.

It is `$EQUIWM_CACHE`, by default `$XDG_CACHE_HOME/equiwm` (`~/.cache/equiwm`); `EQUIWM_CACHE=off` is none. An entry is
a folder that is called by its key. What is not used for longest goes when `$EQUIWM_CACHE_LIMIT` (5 GB) is reached. Both
the folder and its entries carry our marker, and nothing without one is written to, counted or removed.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from equiwm.disk.columns import Column, ColumnFiles, read_columns
from equiwm.disk.drafts import remove_stale
from equiwm.disk.files import reason, write_atomic
from equiwm.disk.ownership import drafted_folder, make_folder, mark, marker_of, remove_folder
from equiwm.disk.strict_json import canonical_json, read_json
from equiwm.errors import ConfigError, RunError

SCHEMA = 1
"""Version of an entry's files."""
VARIABLE, LIMIT_VARIABLE = "EQUIWM_CACHE", "EQUIWM_CACHE_LIMIT"
OFF = "off"
LIMIT = 5 * 10**9
"""Bytes of all entries, where nothing else is said."""

_ENTRY = "entry.json"
_KEY = re.compile(r"[0-9a-f]{64}")
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([kmgt]?b?)", re.IGNORECASE)


def cache_folder() -> Path | None:
    """Where the cache is, whether or not it is there; None where it is switched off.

    Raises:
        ConfigError: `$EQUIWM_CACHE` is neither an absolute path nor `off`.
    """
    given = os.environ.get(VARIABLE, "")
    if given == OFF:
        return None
    if given:
        path = Path(given).expanduser()
        if not path.is_absolute():
            raise ConfigError(f"{VARIABLE}: got '{given}', expected an absolute path of a folder, or {OFF}.")
        return path
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "equiwm"


def parse_size(text: str, what: str) -> int:
    """Bytes of a text as `500MB` or `1.5 GB` (powers of ten), or of a plain number.

    Args:
        text: the text.
        what: where it was given, for the message.

    Raises:
        ConfigError: anything else.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{what}: got '{text}', expected a size as 500MB or 2GB.")
    unit = found[2].lower()
    return int(float(found[1]) * _UNITS[unit if unit in _UNITS else f"{unit}b" if unit != "b" else ""])


def cache_limit() -> int:
    """Bytes that all entries may have.

    Raises:
        ConfigError: `$EQUIWM_CACHE_LIMIT` is no size.
    """
    given = os.environ.get(LIMIT_VARIABLE, "")
    return parse_size(given, LIMIT_VARIABLE) if given else LIMIT


@dataclass(frozen=True)
class Entry:
    """An entry as it is listed.

    Attributes:
        path: its folder.
        what: what it holds, in a few words; empty of an entry that another version wrote, or that is damaged.
        size: bytes of its files.
        used: when it was last used, seconds since 1970.
    """

    path: Path
    what: str
    size: int
    used: float

    @property
    def last_used(self) -> str:
        """`used` as a local date and time."""
        return datetime.fromtimestamp(self.used).astimezone().isoformat(sep=" ", timespec="seconds")


class Cache:
    """The cache in a folder, which is made when the first entry is.

    Args:
        folder: where.
        limit: bytes that all entries may have.

    Raises:
        RunError: the folder is somebody's own: there, not empty, and without our marker.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        try:
            foreign = os.path.lexists(folder) and marker_of(folder) != "cache" and bool(os.listdir(folder))
        except OSError as error:
            raise RunError(f"cannot use {folder} as cache: {reason(error)}.") from None
        if foreign:
            raise RunError(
                f"cannot use {folder} as cache: it is no folder that equiwm has made; name a new one with {VARIABLE}."
            )

    def entries(self) -> list[Entry]:
        """What is in it, what was used last first."""
        found = []
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if _KEY.fullmatch(path.name) and not path.is_symlink() and marker_of(path) == "data":
                    with suppress(OSError):  # removed by another process meanwhile
                        found.append(_listed(path))
        return sorted(found, key=lambda entry: (-entry.used, entry.path.name))

    def shrink(self, size: int) -> list[Entry]:
        """Remove what was not used for longest until `size` bytes are left, and what dead processes left unfinished.

        An entry vanishes at once; whoever reads it goes on doing so.

        Returns:
            What was removed.
        """
        if marker_of(self.folder) == "cache":
            remove_stale(self.folder)
        kept = self.entries()
        total, removed = sum(entry.size for entry in kept), []
        while kept and total > size:
            entry = kept.pop()
            total -= entry.size
            if remove_folder(entry.path, "data") is None:
                removed.append(entry)
        return removed

    def read(self, key: str) -> tuple[dict[str, Column], dict[str, Any]] | None:
        """The columns of an entry, mapped into memory, and what was kept beside them; None where there is none.

        Raises:
            RunError: it is damaged; what is wrong.
        """
        path = self.folder / key
        if path.is_symlink() or marker_of(path) != "data":
            return None
        said = read_json(path / _ENTRY)
        if said.get("schema") != SCHEMA or said.get("key") != key or not isinstance(said.get("beside"), dict):
            raise RunError(f"{path / _ENTRY} is damaged: it is another entry's.")
        columns = read_columns(path, said.get("columns"))
        with suppress(OSError):  # a cache that may only be read
            os.utime(path / _ENTRY)
        return columns, said["beside"]

    def discard(self, key: str) -> None:
        """Remove an entry that is damaged, if it can be removed."""
        remove_folder(self.folder / key, "data")

    @contextmanager
    def writing(self, key: str, rows: int) -> Iterator[EntryDraft]:
        """An entry that is there when the block ends well, and vanishes when it does not.

        Of two processes that write one entry the first one's stays; the other's vanishes, and its columns can be used
        as long as it has them.

        Raises:
            OSError, RunError: the cache, or the entry, cannot be written.
        """
        if marker_of(self.folder) != "cache":
            _make(self.folder)
        filled = False
        try:
            with drafted_folder(self.folder / key, "data", parents=False) as (draft, _):
                files = ColumnFiles(draft, rows)
                try:
                    yield EntryDraft(draft, key, files)
                finally:
                    files.close()
                filled = True
        except OSError as error:
            if not filled or error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


class EntryDraft:
    """An entry that is being written.

    Args:
        folder: where it stands meanwhile.
        key: its key.
        files: its columns.
    """

    def __init__(self, folder: Path, key: str, files: ColumnFiles) -> None:
        self._folder, self._key, self.files = folder, key, files

    def finish(self, what: str, beside: Mapping[str, Any]) -> dict[str, Column]:
        """Write down what it is, and read it back as `Cache.read` does.

        Args:
            what: what it holds, in a few words.
            beside: JSON data that is kept with the columns.

        Raises:
            OSError, RunError: it cannot be written.
        """
        columns = self.files.finished()
        said = {"schema": SCHEMA, "key": self._key, "what": what, "columns": columns, "beside": beside}
        write_atomic(self._folder / _ENTRY, canonical_json(said, indent=2) + "\n")
        return read_columns(self._folder, columns)


def _make(folder: Path) -> None:
    """The folder of the cache; another process may make it, too, and an empty one (a mounted disk) becomes it."""
    try:
        if folder.is_dir():
            mark(folder, "cache")
        else:
            make_folder(folder, "cache")
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or marker_of(folder) != "cache":
            raise


def _listed(path: Path) -> Entry:
    try:
        said = read_json(path / _ENTRY)
    except RunError:
        said = {}
    what = said.get("what") if said.get("schema") == SCHEMA else None
    used = (path / _ENTRY if (path / _ENTRY).is_file() else path).stat().st_mtime
    return Entry(
        path, what if isinstance(what, str) else "", sum(each.lstat().st_size for each in path.iterdir()), used
    )
