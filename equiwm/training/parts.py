"""Large data in parts: always the same parts, whether one process makes them, several, or an earlier command has.

A world that says so (`PartedWorld`) is asked for its episodes part by part. The first part is made here, and what it
costs says what the rest will: where that is little, the rest is made here as well; else other processes help this one,
and what is made is kept in the cache (`equiwm.disk.cache`) for other commands, which read it by memory map. The bits
are the same in each case: a part does not depend on who makes it, and what comes from another process or from the cache
is used only if it begins with the very part that is made here.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from equiwm.disk.cache import Cache, EntryDraft, cache_folder, cache_limit
from equiwm.disk.columns import Column
from equiwm.disk.files import reason
from equiwm.errors import ConfigError, DataError, MachineError, RunError
from equiwm.foreign import bare
from equiwm.locate import RAISED
from equiwm.training.data_key import code_of, key_of
from equiwm.workers import computed_with_help, is_worker, release
from equiwm.worlds.foreign import guarded_world
from equiwm.worlds.world import PART, PartedWorld, Progress, Transitions, World

WORTH = 10.0
"""CPU seconds that all but the first part must cost before other processes are started, each of which takes some 3 s
until it begins, and before anything is kept: less is made again sooner than it is worth the place on the disk."""
SHARE = 5.0
"""CPU seconds of work that a process is started for."""
JOBS_VARIABLE = "EQUIWM_DATA_JOBS"
COLUMNS = ("observation", "action", "next_observation", "episode")
_EMPTY_PARTS = 64
"""Parts without any transition before a world is given up."""

_log = logging.getLogger("equiwm")

Rows = dict[str, Column]


@dataclass(frozen=True)
class _Part:
    """The transitions of some episodes as another process sends them."""

    rows: Rows
    excluded: Mapping[str, int]
    code: Mapping[str, str] | None = None
    """What the code was that made it, in another process."""

    def __len__(self) -> int:
        return len(self.rows["episode"])


def collected(world: World, n: int, *, seed: int, progress: Progress | None = None) -> Transitions:
    """`world.transitions(n, seed=seed)`, made in parts where the world can be and there are many.

    Raises:
        ConfigError: a variable of the environment that says nothing (`EQUIWM_DATA_JOBS`, `EQUIWM_CACHE`, ...).
        MachineError: a process died.
        DataError: as the world's own.
    """
    if not (isinstance(world, PartedWorld) and world.part_episodes and n > PART):
        return world.transitions(n, seed=seed, progress=progress)
    with _one_thread():
        began = time.process_time()
        first = _made_here(world, 0, seed)
        left = (time.process_time() - began) * (n / max(1, len(first)) - 1)
        keep = _Kept.of(world, n, seed, first) if left >= WORTH else None
        found = None if keep is None else keep.read(first)
        if found is not None:
            if progress is not None:
                progress(n, n)
            return found
        jobs = _jobs(left)
        gathering = _Gathering(world, n, seed, progress)
        with closing(_parts(world, first, n, seed, jobs)) as parts, closing(gathering.rows(parts)) as rows:
            columns = _in_memory(rows, n) if keep is None else keep.write(rows, gathering)
    return _transitions(columns, gathering.excluded)


def _jobs(seconds: float) -> int:
    """How many processes share work of so many CPU seconds; 1 is this one alone."""
    given = os.environ.get(JOBS_VARIABLE, "")
    if given and not (given.isascii() and given.isdigit() and 1 <= int(given) <= 4096):
        raise ConfigError(f"{JOBS_VARIABLE}: got '{given}', expected how many processes, 1 for none but this one.")
    if seconds < WORTH or is_worker() or given == "1":
        return 1
    import joblib

    return min(int(given) if given else joblib.cpu_count(), math.ceil(seconds / SHARE))


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in the other processes: with more threads sums could round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _made_here(world: PartedWorld, part: int, seed: int) -> _Part:
    each = world.part_episodes
    return _as_part(world.episodes(part * each, each, seed=seed))


def _piece_here(world: PartedWorld, wanted: Sequence[int], seed: int, piece: int) -> _Part | None:
    return _made_here(world, wanted[piece], seed)


def _as_part(data: Transitions, code: Mapping[str, str] | None = None) -> _Part:
    return _Part({name: getattr(data, name).contiguous().numpy() for name in COLUMNS}, dict(data.excluded), code)


def _transitions(columns: Rows, excluded: Mapping[str, int]) -> Transitions:
    observation, action, following, episode = (torch.from_numpy(columns[name]) for name in COLUMNS)
    dropped = {why: count for why, count in sorted(excluded.items()) if count}
    return Transitions(observation, action, following, episode, dropped)


# In other processes


def _parts(world: PartedWorld, first: _Part, n: int, seed: int, jobs: int) -> Generator[_Part, None, None]:
    """Part 0, which is there, and those after it in their order, until somebody has enough."""
    yield first
    done, part = len(first), 1
    packed = _packed(world) if jobs > 1 else None
    if packed is not None:
        try:
            # What is left is estimated, for episodes may be cut: a part too few is made here, one too many is wasted.
            while (wanted := round((n - done) * part / max(1, done))) >= jobs:
                each = world.part_episodes
                wanted_parts = (0, *range(part, part + wanted))
                work = [(packed, index * each, each, seed) for index in wanted_parts]
                here = partial(_piece_here, world, wanted_parts, seed)
                with closing(computed_with_help(_made_there, work, here, jobs - 1)) as arriving:
                    begun = next(arriving)
                    if begun is None or not _same_rows(begun.rows, first.rows):
                        _log.warning(
                            "the world '%s' %s in another process; all transitions are made in this one.",
                            getattr(world, "name", type(world).__name__),
                            "cannot be made" if begun is None else "gives other transitions",
                        )
                        break
                    for made in filter(None, arriving):
                        yield made
                        done, part = done + len(made), part + 1
        except BrokenExecutor:
            raise MachineError(
                f"a process that made transitions died (out of memory?); with {JOBS_VARIABLE}=1 none is started."
            ) from None
        finally:
            release()
    while True:
        if part >= _EMPTY_PARTS and not done:
            raise DataError(f"none of {part * world.part_episodes:,} episodes of the world has a transition.")
        made = _made_here(world, part, seed)
        yield made
        done, part = done + len(made), part + 1


def _packed(world: PartedWorld) -> bytes | None:
    """The world as another process takes it; None where it holds what cannot be sent (a simulator, an open file)."""
    from joblib.externals.loky.backend.reduction import dumps  # as it sends everything else

    try:
        return bytes(dumps(bare(world)))
    except RAISED:  # an object's own code, which may refuse in any way
        return None


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> PartedWorld:
    import pickle

    return guarded_world(pickle.loads(packed))


def _made_there(packed: bytes, first: int, count: int, seed: int) -> _Part | None:
    """A part, in another process, which was given the world by the one that started it; None where it takes no such."""
    torch.set_num_threads(1)
    try:
        world = _unpacked(packed)
    except RAISED:  # code that is not found here, or an object's own
        return None
    return _as_part(world.episodes(first, count, seed=seed), code_of(world) or {})


def _same_rows(some: Rows, others: Rows) -> bool:
    return all(np.array_equal(some[name], others[name]) for name in COLUMNS)


# Put together


class _Gathering:
    """The rows of parts up to the n-th, and what was dropped in the episodes that they come from.

    Args:
        world, n, seed, progress: as of `collected`.
    """

    def __init__(self, world: PartedWorld, n: int, seed: int, progress: Progress | None) -> None:
        self._world, self._n, self._seed, self._progress = world, n, seed, progress
        self.excluded: Counter[str] = Counter()
        self.codes: list[Mapping[str, str]] = []
        """What the code of other processes that made them was."""

    def rows(self, parts: Iterator[_Part]) -> Generator[Rows, None, None]:
        """The rows of each part."""
        done = 0
        for number, part in enumerate(parts):
            taken = {name: column[: self._n - done] for name, column in part.rows.items()}
            done += len(taken["episode"])
            if part.code is not None and part.code not in self.codes:
                self.codes.append(part.code)
            self.excluded.update(part.excluded if done < self._n else self._dropped(number, part, taken))
            yield taken
            if self._progress is not None:
                self._progress(done, self._n)
            if done >= self._n:
                return

    def _dropped(self, number: int, part: _Part, taken: Rows) -> Mapping[str, int]:
        """What is dropped in the episodes of the last part that are needed: no more are, where rows are made singly."""
        first = number * self._world.part_episodes
        used = int(taken["episode"][-1]) - first + 1
        if not part.excluded or used == self._world.part_episodes:
            return part.excluded
        return self._world.episodes(first, used, seed=self._seed).excluded


def _in_memory(rows: Iterator[Rows], n: int, columns: Rows | None = None, filled: int = 0) -> Rows:
    """All rows, `filled` of which may be there."""
    for part in rows:
        if columns is None:
            columns = {name: np.empty((n, *column.shape[1:]), column.dtype) for name, column in part.items()}
        for name, column in part.items():
            columns[name][filled : filled + len(column)] = column
        filled += len(part["episode"])
    if columns is None or filled != n:
        raise RuntimeError(f"{filled} of {n} rows were made")
    return columns


# Kept for other commands


class _RefusedError(Exception):
    """The cache cannot be written; says why."""


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _RefusedError(reason(error)) from None
    except RunError as error:
        raise _RefusedError(str(error).rstrip(".")) from None


class _Kept:
    """The entry of some data in the cache, whether it is there or to be written.

    Args:
        cache: the cache.
        key: of the data.
        again: computes the key anew, for what has changed while they were made.
        world, n, seed: what they are.
    """

    def __init__(
        self, cache: Cache, key: str, again: Callable[[], str | None], world: PartedWorld, n: int, seed: int
    ) -> None:
        self._cache, self._key, self._again, self._world, self._n = cache, key, again, world, n
        self._what = f"{getattr(world, 'name', '?')}: {n:,} transitions, seed {seed}"

    @classmethod
    def of(cls, world: PartedWorld, n: int, seed: int, first: _Part) -> _Kept | None:
        """The entry; None where there is no cache, the data have no key, or are larger than the cache may be."""
        folder, limit = cache_folder(), cache_limit()
        if folder is None:
            return None

        def key() -> str | None:
            return key_of(world, seed=seed, transitions=n)

        found = key()
        if found is None or not len(first):
            return None
        try:
            cache = Cache(folder, limit)
        except RunError as error:
            _log.warning("data are not kept: %s", error)
            return None
        kept = cls(cache, found, key, world, n, seed)
        kept.size = n * sum(column.nbytes for column in first.rows.values()) // len(first)
        return kept

    size = 0
    """Bytes of the data."""

    def read(self, first: _Part) -> Transitions | None:
        """The data that an earlier command made, if they begin with the part that was made here."""
        try:
            found = self._cache.read(self._key)
            if found is None:
                return None
            columns, beside = found
            _require(columns, beside, first, self._n)
        except RunError as error:
            _log.warning("%s; the data are made again.", str(error).rstrip("."))
            self._cache.discard(self._key)
            return None
        return _transitions(columns, beside["excluded"])

    def write(self, rows: Iterator[Rows], gathering: _Gathering) -> Rows:
        """All rows: mapped from the entry that is made of them, or in memory where it cannot be; that is said."""
        if self.size > self._cache.limit:
            _log.warning(
                "data of %.3g GB are not kept: the cache may have %.3g GB.", self.size / 1e9, self._cache.limit / 1e9
            )
            return _in_memory(rows, self._n)
        columns: Rows | None = None
        pending: Rows | None = None
        filled, finished = 0, False
        try:
            with ExitStack() as stack:
                with _refusals():
                    self._cache.shrink(self._cache.limit - self.size)
                    draft = stack.enter_context(self._cache.writing(self._key, self._n))
                try:
                    for pending in rows:
                        with _refusals():
                            draft.files.add(pending)
                    pending = None
                    with _refusals():
                        columns = self._finished(draft, gathering)
                    finished = True
                except _RefusedError:
                    filled = draft.files.filled
                    columns = draft.files.taken_back() if filled else None
                    raise
        except _RefusedError as error:
            why = str(error)
        except OSError as error:
            if not finished:
                raise
            why = reason(error)
        else:
            why = ""
        if why:
            _log.warning("data are not kept in %s (%s).", self._cache.folder, why)
        if finished and columns is not None:
            return columns
        return _in_memory(_after(pending, rows), self._n, columns, filled)

    def _finished(self, draft: EntryDraft, gathering: _Gathering) -> Rows:
        own = code_of(self._world)
        if (
            own is None
            or self._again() != self._key
            or not all(each and each.items() <= own.items() for each in gathering.codes)
        ):
            raise _RefusedError(
                "the world or its code has changed meanwhile, or is loaded only in part of the processes"
            )
        return draft.finish(self._what, {"excluded": dict(gathering.excluded)})


def _after(pending: Rows | None, rows: Iterator[Rows]) -> Iterator[Rows]:
    if pending is not None:
        yield pending
    yield from rows


def _require(columns: Rows, beside: Mapping[str, Any], first: _Part, n: int) -> None:
    """Refuse columns that are not what is made here, as far as it has been.

    Raises:
        RunError: they are not.
    """
    excluded = beside.get("excluded")
    counted = isinstance(excluded, dict) and all(type(count) is int for count in excluded.values())
    shapes = {name: (n, *column.shape[1:]) for name, column in first.rows.items()}
    if not counted or {name: column.shape for name, column in columns.items()} != shapes:
        raise RunError("an entry of the cache does not hold the data that it is called by")
    begun = {name: column[: len(first)] for name, column in columns.items()}
    if not _same_rows(begun, first.rows):
        raise RunError("an entry of the cache has other data than are made here")
