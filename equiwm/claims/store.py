"""What a measuring command has finished so far: a store an invocation, which belongs to one command at a time."""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from equiwm.disk.drafts import remove_stale
from equiwm.disk.files import reason
from equiwm.disk.locks import hold
from equiwm.disk.ownership import FolderKind, make_folder, marker_of, remove_empty, remove_folder
from equiwm.disk.strict_json import canonical_json
from equiwm.errors import RunError

_LOCK = ".store.lock"
_ATTEMPTS = 20
"""How often a folder is made that other commands remove beside us."""


class _GoneError(Exception):
    """Another command, the last one that had a store there, has removed the folder of the stores this moment."""


class Stores:
    """The stores of one command in the folder of a claim, `RUN/closed_loop` perhaps.

    Each is called by a hash of what is computed in it: the same command goes on with it, another one has another. A
    command holds its stores from `open` until it ends. It removes them with `remove` once their results are written;
    interrupted, it leaves them. Nothing but stores that carry the marker is ever removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = ExitStack()
        self._stores: list[Path] = []
        self._above: list[Path] = []

    def __enter__(self) -> Stores:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in list(self._stores):
            if _is_empty(store):  # refused before there was anything to keep
                self._remove(store)
        self._held.close()

    def open(self, definition: Mapping[str, Any]) -> Path:
        """The store of an invocation: made, or gone on with.

        Args:
            definition: JSON data, all that its contents depend on.

        Raises:
            RunError: another process holds it, something is in its way, or it cannot be made.
        """
        name = hashlib.sha256(canonical_json(definition).encode()).hexdigest()[:16]
        store = self.folder / name
        if store in self._stores:
            return store
        for attempt in range(_ATTEMPTS):
            self._make(self.folder, "stores")
            try:
                self._make(store, "store")
                break
            except _GoneError:
                if attempt == _ATTEMPTS - 1:
                    raise RunError(f"{self.folder} is removed again and again; choose another --out.") from None
        self._held.enter_context(hold(store / _LOCK, f"the store {store}"))
        self._stores.append(store)
        remove_stale(store)
        return store

    def remove(self) -> list[Path]:
        """Remove every store of this command: everything in them stands elsewhere now.

        Returns:
            Where what could not be removed is now.
        """
        return [left for store in list(self._stores) if (left := self._remove(store)) is not None]

    def _make(self, path: Path, kind: FolderKind) -> None:
        found = _mode(path)
        if found is not None and not stat.S_ISDIR(found):
            raise RunError(f"{path} is in the way of what is kept there; move it, or pass another --out.")
        if found is not None:
            if kind == "store" and marker_of(path) != "store":
                raise RunError(f"{path} was not made by equiwm; move it, or pass another --out.")
            return
        try:
            self._above += make_folder(path, kind, parents=kind == "stores")
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # another command has made it this moment
                return
            if kind == "store" and error.errno == errno.ENOENT:
                raise _GoneError from error
            raise RunError(f"cannot make {path}: {reason(error)}; choose another --out.") from None

    def _remove(self, store: Path) -> Path | None:
        left = remove_folder(store, "store")
        if left == store:
            return left
        self._stores.remove(store)
        if remove_folder(self.folder, "stores") is None:
            remove_empty(self._above)
        return left


def _mode(path: Path) -> int | None:
    """What stands at `path`, asked once: another command may remove it between two questions. None for nothing."""
    try:
        return path.lstat().st_mode
    except OSError:
        return None


def _is_empty(store: Path) -> bool:
    try:
        return {path.name for path in store.iterdir()} <= {_LOCK, ".equiwm"}
    except OSError:
        return False
