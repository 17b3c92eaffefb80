"""Independent, seeded cells: the one mechanism for seeds, optimisers, ablations and reproductions.

A cell is a key and its parameters (the seed among them); a grid is a list of cells and one importable
function of the parameters. Finished cells are written one by one by the client, so that an interruption loses
only what was being computed; the results do not depend on the number of jobs, the order or the interruption.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, product
from pathlib import Path
from typing import Any

from equiwm import interrupts
from equiwm.boundary import machine_error
from equiwm.cluster import current_cluster
from equiwm.disk.drafts import remove_stale
from equiwm.disk.files import write_atomic
from equiwm.disk.locks import hold
from equiwm.disk.ownership import link_inside
from equiwm.disk.strict_json import canonical_json, read_json
from equiwm.errors import ConfigError, MachineError, RunError
from equiwm.locate import RAISED
from equiwm.printable import cut
from equiwm.workers import THREAD_VARIABLES, computed

CellFunction = Callable[..., Mapping[str, Any]]
"""Parameters to result, both JSON data; importable, and a function of nothing else (not even the clock).

A grid with a `root` gives it as a second argument: where the cells find and leave files.
"""

Progress = Callable[[int, int, "Sequence[CellResult]"], None]
"""Called with (cells done, cells of the grid, those done since the last call): at first with those that were stored."""

MOST_CELLS = 100_000
"""Of one grid: its `grid.json` and its `seconds.json`, at most some 130 bytes a cell, are below `MOST_TEXT`."""
_OFTEN = 64
"""What cells have cost is written again after one in so many has finished."""


@dataclass(frozen=True)
class Cell:
    """One independent computation.

    Attributes:
        key: what a reader calls it (`width=64,seed=0`); unique in its grid.
        params: JSON data given to the function.
    """

    key: str
    params: Mapping[str, Any]

    @cached_property
    def id(self) -> str:
        """Canonical key: the key as a file name, and a hash of the key and the parameters."""
        digest = hashlib.sha256(canonical_json([self.key, self.params]).encode()).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9_.=,-]+', '_', self.key)[:80]}-{digest[:16]}"


def _in_one(several: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    return [list(range(len(several)))]


@dataclass(frozen=True)
class Stacks:
    """Cells that are cheaper to compute together than one by one, as trainings of one configuration are.

    Attributes:
        of: a cell's parameters -> the stack that it belongs to; None is a cell that is computed alone.
        function: importable, as the function of the grid, with lists: of the parameters of the cells of a stack to the
            result of each, or the exception that it failed with. A cell's result does not depend on the others.
        parts: the parameters of cells of a stack -> places of those that one call may compute, where there is not room
            for all of them.
    """

    of: Callable[[Mapping[str, Any]], str | None]
    function: Callable[..., Sequence[Mapping[str, Any] | BaseException]]
    parts: Callable[[Sequence[Mapping[str, Any]]], list[list[int]]] = _in_one

    def units(self, missing: Sequence[tuple[int, Mapping[str, Any]]], jobs: int) -> list[list[int]]:
        """Places of the cells that are computed by one call, in order of their first; enough calls for all jobs."""
        stacks: dict[object, list[int]] = {}
        given = dict(missing)
        for index, params in missing:
            name = self.of(params)
            stacks.setdefault(("alone", index) if name is None else name, []).append(index)
        shares = -(-jobs // max(1, len(stacks)))
        units = [
            members[len(members) * share // shares : len(members) * (share + 1) // shares]
            for members in stacks.values()
            for share in range(shares)
        ]
        return [part for unit in units if unit for part in self._in_parts(unit, given)]

    def _in_parts(self, unit: list[int], given: Mapping[int, Mapping[str, Any]]) -> list[list[int]]:
        if len(unit) == 1:
            return [unit]
        return [[unit[place] for place in places] for places in self.parts([given[index] for index in unit])]


@dataclass(frozen=True)
class CellError:
    """Why a cell failed: the exception's type, its message, and the traceback as text."""

    type: str
    message: str
    traceback: str


@dataclass(frozen=True)
class CellResult:
    """What came of a cell: a result, or an error.

    Attributes:
        cell: the cell.
        result: what its function returned, or None.
        error: why there is no result.
        seconds: CPU time that it took, of its process: on a machine with nothing else to do, its duration.
    """

    cell: Cell
    result: dict[str, Any] | None
    error: CellError | None = None
    seconds: float = field(default=0.0, compare=False)


def expand(**axes: Sequence[Any]) -> list[Cell]:
    """The product of the axes, the last one varying fastest, with keys `width=64,seed=0`.

    Args:
        axes: the values of each parameter.
    """
    combinations = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return [Cell(",".join(f"{name}={value}" for name, value in params.items()), params) for params in combinations]


def require_storable(cells: Sequence[Cell]) -> None:
    """Refuse a grid that its store could not be opened again with.

    Raises:
        ConfigError: it has too many cells.
    """
    if len(cells) > MOST_CELLS:
        raise ConfigError(f"a grid of {len(cells):,} cells: expected at most {MOST_CELLS:,}; compute several grids.")


def is_importable(function: object) -> bool:
    """Whether another process finds a function by the name of its module and its own."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    return getattr(sys.modules.get(module or ""), name, None) is function


def _name(function: CellFunction) -> str:
    if not is_importable(function):
        raise ValueError(f"the function of a grid has to be importable by name; got {function!r}")
    return f"{function.__module__}.{getattr(function, '__qualname__', '')}"


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for numerical libraries, as in a worker, or jobs=1 and jobs=2 would round differently."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # for what the cell imports first
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_Computed = tuple[int, dict[str, Any], float]


def _compute(index: int, function: CellFunction, params: str, root: Path | None) -> _Computed:
    """Run one cell, in whichever process: its index, its payload, and its CPU seconds.

    The payload is {"result": ...}, {"error": ...} of a cell that failed, or {"machine": ...} of one that the machine
    stopped, which says nothing about the cell.
    """
    started = time.process_time()
    torch = sys.modules.get("torch")
    if torch:  # a Dask worker knows nothing of inner_max_num_threads
        torch.set_num_threads(1)
    try:
        result = function(json.loads(params), *([] if root is None else [root]))
        if not isinstance(result, Mapping):
            raise TypeError(f"the function of a grid returns a dict; got {type(result).__name__}")
        # through text, so that a fresh result equals one that is read back
        payload = {"result": json.loads(canonical_json(result))}
    except RAISED as error:  # a cell may run a user's code
        refused = machine_error(error)
        payload = {"machine": str(refused)} if refused else {"error": _told(error)}
    return index, payload, time.process_time() - started


def _compute_unit(indices: list[int], function: CellFunction, params: list[str], root: Path | None) -> list[_Computed]:
    """Run one cell by its own function."""
    return [_compute(index, function, each, root) for index, each in zip(indices, params, strict=True)]


def _compute_stack(
    indices: list[int], function: Callable[..., Any], params: list[str], root: Path | None
) -> list[_Computed]:
    """Run the cells of a stack, in whichever process: as `_compute` of each; they share the CPU seconds evenly."""
    started = time.process_time()
    torch = sys.modules.get("torch")
    if torch:
        torch.set_num_threads(1)
    try:
        results = function([json.loads(each) for each in params], *([] if root is None else [root]))
        payloads = [
            {"error": _told(result)} if isinstance(result, BaseException) else {"result": result} for result in results
        ]
        payloads = [json.loads(canonical_json(payload)) for payload in payloads]
        if len(payloads) != len(indices):
            raise TypeError(f"the function of a stack returns a result a cell; got {len(payloads)} of {len(indices)}")
    except RAISED as error:
        refused = machine_error(error)
        payloads = [{"machine": str(refused)} if refused else {"error": _told(error)} for _ in indices]
    seconds = (time.process_time() - started) / len(indices)
    return [(index, payload, seconds) for index, payload in zip(indices, payloads, strict=True)]


def _told(error: BaseException) -> dict[str, str]:
    trace = "".join(traceback.format_exception(error))
    return {"type": type(error).__name__, "message": str(error), "traceback": trace}


def _as_result(cell: Cell, payload: Mapping[str, Any], seconds: float) -> CellResult:
    error = payload.get("error")
    return CellResult(cell, payload.get("result"), CellError(**error) if error else None, seconds)


def _path(cell: Cell, store: Path) -> Path:
    return store / "cells" / f"{cell.id}.json"


def stored_seconds(store: Path) -> dict[str, float]:
    """CPU seconds of the finished cells by id. Apart from the results, which are the same every time.

    Raises:
        RunError: the file is damaged.
    """
    path = store / "seconds.json"
    stored = read_json(path) if os.path.lexists(path) else {}
    if not all(isinstance(seconds, int | float) for seconds in stored.values()):
        raise RunError(f"{path} is damaged; remove it: it says only how long each cell has taken.")
    return {cell: float(seconds) for cell, seconds in stored.items()}


class _Seconds(AbstractContextManager["_Seconds"]):
    """Keeps `seconds.json` of a grid that computes: written whole, and so after ever more cells, that a cell of ten
    thousand costs as little as one of a hundred. A kill loses the seconds of one finished cell of `_OFTEN`.
    """

    def __init__(self, store: Path) -> None:
        self._path, self._known, self._new = store / "seconds.json", stored_seconds(store), 0

    def note(self, cell: Cell, seconds: float) -> None:
        """What a finished cell has cost."""
        self._known[cell.id] = seconds
        self._new += 1
        if self._new > len(self._known) // _OFTEN:
            self._write()

    def _write(self) -> None:
        write_atomic(self._path, canonical_json(self._known, indent=2) + "\n")
        self._new = 0

    def __exit__(self, *_: object) -> None:
        if self._new:
            self._write()


def read_cell(path: Path) -> dict[str, Any]:
    """What a cell's file holds: key, parameters, and result or error.

    Raises:
        RunError: it is damaged, or holds another cell than its name says.
    """
    record = read_json(path)
    key, params = record.get("key"), record.get("params")
    if not isinstance(key, str) or not isinstance(params, dict) or Cell(key, params).id != path.stem:
        raise RunError(f"{path} does not hold the cell that it is called by; remove it: --resume computes it again.")
    if not isinstance(record.get("result", record.get("error")), dict):
        raise RunError(f"{path} has neither a result nor an error; remove it: --resume computes it again.")
    return record


def stored_results(cells: Sequence[Cell], store: Path) -> dict[int, CellResult]:
    """The results that a store holds, by place in `cells`; failed cells are not among them.

    Raises:
        RunError: a cell's file is damaged, or another cell's.
    """
    seconds = stored_seconds(store)
    found = {}
    for index, cell in enumerate(cells):
        path = _path(cell, store)
        if os.path.lexists(path) and "result" in (payload := read_cell(path)):
            found[index] = _as_result(cell, payload, seconds.get(cell.id, 0.0))
    return found


def read_definition(path: Path) -> dict[str, Any]:
    """A grid's `grid.json`: its function, and the ids of its cells in order.

    Raises:
        RunError: the file is damaged.
    """
    stored = read_json(path)
    function, cells = stored.get("function"), stored.get("cells")
    if not isinstance(function, str) or not isinstance(cells, list) or not all(isinstance(id, str) for id in cells):
        raise RunError(f"{path} is damaged: it does not say which cells the grid has; restore the file.")
    return stored


def _open_store(store: Path, definition: dict[str, Any], resume: bool) -> None:
    """Write the grid's definition into a new store, or compare it with that of an old one."""
    path = store / "grid.json"
    if not os.path.lexists(path):
        write_atomic(path, canonical_json(definition, indent=2) + "\n")
        return
    if not resume:
        raise RunError(f"{store} holds a grid already; pass --resume to go on with it, or another --name.")
    stored = read_definition(path)
    if stored == definition:
        return
    if stored["function"] != definition["function"]:
        change = f"it computes {cut(stored['function'], 200)}, now {definition['function']} is wanted"
    else:
        old, new = set(stored["cells"]), set(definition["cells"])
        change = f"{len(new - old)} cells are new or have other parameters, {len(old - new)} are gone"
    raise RunError(f"cannot resume {store}: {change}. Give the grid it was started with, or another --name.")


@contextmanager
def _held(store: Path, definition: dict[str, Any], resume: bool) -> Iterator[None]:
    """The store, made if it is missing, under its lock."""
    link = link_inside(store / "cells")
    if link is not None:
        raise RunError(f"{link} is a link, which is not followed; put the folder itself in its place.")
    try:
        (store / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the grid's folder {store}: {error.strerror}; choose another --out.") from None
    with hold(store / ".lock", f"the grid {store}"):
        for place in (store, store / "cells"):
            remove_stale(place)
        _open_store(store, definition, resume)
        yield


_Unit = tuple[Callable[..., list[_Computed]], tuple[list[int], Callable[..., Any], list[str], Path | None]]
"""What one call computes: a cell, or the cells of a stack."""


def _units(
    function: CellFunction, missing: Mapping[int, Cell], stacks: Stacks | None, jobs: int | None, root: Path | None
) -> list[_Unit]:
    text = {index: canonical_json(cell.params) for index, cell in missing.items()}
    if stacks is None:
        return [(_compute_unit, ([index], function, [text[index]], root)) for index in missing]
    workers = (os.cpu_count() or 1) if jobs is None or jobs == -1 else jobs
    units = stacks.units([(index, cell.params) for index, cell in missing.items()], workers)
    return [
        (_compute_unit, (unit, function, [text[index] for index in unit], root))
        if len(unit) == 1
        else (_compute_stack, (unit, stacks.function, [text[index] for index in unit], root))
        for unit in units
    ]


def _call(unit: _Unit) -> list[_Computed]:
    compute, arguments = unit
    return compute(*arguments)


def _computed(units: list[_Unit], jobs: int | None) -> Generator[list[_Computed], None, None]:
    """What each call computes, as it finishes, in any order."""
    if jobs == 1:
        with _one_thread():
            for unit in units:
                yield _call(unit)
        return
    work = [(unit,) for unit in units]
    if jobs is None and (cluster := current_cluster()) is not None:
        yield from cluster.computed(_call, work)
        return
    yield from computed(_call, work, jobs)


def run_grid(
    function: CellFunction,
    cells: Sequence[Cell],
    store: Path | None,
    *,
    jobs: int | None = 1,
    resume: bool = False,
    progress: Progress | None = None,
    root: Path | None = None,
    stacks: Stacks | None = None,
) -> list[CellResult]:
    """Compute every cell and keep each finished one on disk at once.

    The store holds `grid.json` (the definition), `cells/ID.json` (key, parameters, and result or error) and
    `seconds.json` (what each finished cell has cost).
    A cell that fails is recorded and the others go on. An interruption keeps what is finished.

    Args:
        function: importable, from a cell's parameters to its result, JSON data both.
        cells: the grid, in canonical order; keys are unique.
        store: folder of the grid, made if it is missing; None keeps nothing: the cells leave what lasts themselves.
        jobs: 1 computes in this process, n in n local ones, -1 on every core, one thread each; None
            takes the surrounding `dask_cluster`, or the backend of a surrounding `joblib.parallel_config`.
        resume: go on with an existing store: finished cells are read back, missing and failed ones computed.
        progress: called once with what the store holds, then after each cell.
        root: folder that the cells work in, their second argument; no part of the grid, so that it may be moved.
        stacks: which cells are computed by one call, and how; with more jobs than stacks they are split. What is
            stored is the same, a file a cell.

    Returns:
        One result a cell, in the order of `cells`.

    Raises:
        RunError: the store holds a grid and `resume` is not given, or another grid; it is in use, damaged,
            unwritable, or behind a link in a run.
        MachineError: a full disk, no memory, a worker process or a scheduler that died. The cell that met it is
            not recorded, and is computed when the grid is resumed.
        ConfigError: a number of jobs that makes no sense, or more cells than one store may have.
        ValueError: two cells with one key, or a function that cannot be imported by name.
    """
    if jobs is not None and jobs != -1 and jobs < 1:
        raise ConfigError(f"--jobs: got {jobs}, expected at least 1, or -1 for every core.")
    keys = [cell.key for cell in cells]
    if len(set(keys)) < len(keys):
        raise ValueError(f"cells with one key: {sorted(key for key, count in Counter(keys).items() if count > 1)}")
    if store is not None:
        require_storable(cells)
    definition = {"function": _name(function), "cells": sorted(cell.id for cell in cells)}
    with nullcontext() if store is None else _held(store, definition, resume):
        results = {} if store is None else stored_results(cells, store)
        seconds = None if store is None else _Seconds(store)
        missing = {index: cell for index, cell in enumerate(cells) if index not in results}
        if progress:
            progress(len(results), len(cells), list(results.values()))
        try:
            units = _units(function, missing, stacks, jobs, root)
            with closing(_computed(units, jobs)) as arriving, seconds or nullcontext():
                for index, payload, cost in chain.from_iterable(arriving):
                    cell = cells[index]
                    if "machine" in payload:
                        raise MachineError(payload["machine"])
                    if "error" in payload:  # what a user's code makes of a signal is no result
                        interrupts.check()
                    if store is not None and seconds is not None:
                        seconds.note(cell, cost)
                        record = {"key": cell.key, "params": cell.params, **payload}
                        write_atomic(_path(cell, store), canonical_json(record, indent=2) + "\n")
                    results[index] = _as_result(cell, payload, cost)
                    if progress:
                        progress(len(results), len(cells), [results[index]])
                    interrupts.check()
        except BrokenExecutor:
            interrupts.check()  # a signal to the whole group of processes ends the workers first
            raise MachineError(
                f"a worker process of the grid died (out of memory?); {len(results)} of {len(cells)} cells are kept. "
                "Go on with --resume and fewer --jobs."
            ) from None
    return [results[index] for index in range(len(cells))]
