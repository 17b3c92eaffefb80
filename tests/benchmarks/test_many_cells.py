"""Grids of many trivial cells: what scheduling and writing one costs here, with workers and on a Dask cluster."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest
from test_cluster import dask_processes

from equiwm.cluster import dask_cluster
from equiwm.grid import Cell, run_grid, stored_results
from equiwm.workers import release

FEW, MANY, ON_DASK = 1_000, 10_000, 3_000
ASKED = "5 ms"
FSYNC = os.fsync


def trivial(params):
    return {"value": 2 * params["width"]}


def cells_of(count: int) -> list[Cell]:
    return [Cell(f"width={n},seed={n % 5}", {"width": n, "seed": n % 5}) for n in range(count)]


def _ended() -> float:
    """CPU seconds of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ms(seconds: float, count: int) -> float:
    return seconds / count * 1e3


@pytest.fixture(autouse=True)
def _nobody_waits_for_the_disk(monkeypatch):
    """Two syncs a cell are milliseconds of waiting; the CPU time of the system in them is shown apart."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.slow
def test_what_syncs_cost(board, tmp_path, monkeypatch):
    seconds = []
    for sync in (lambda _: None, FSYNC):
        monkeypatch.setattr(os, "fsync", sync)
        began, wall = time.process_time(), time.perf_counter()
        run_grid(trivial, cells_of(FEW), tmp_path / str(len(seconds)))
        seconds.append((time.process_time() - began, time.perf_counter() - wall))
    cpu, wall = (_ms(b - a, FEW) for a, b in zip(*seconds, strict=True))
    board.note("syncs of a cell", f"{cpu:.2f} ms", spread=f"{wall:.1f} ms of wall clock")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_of_many(board, tmp_path, jobs):
    here, there = {}, {}
    for count in (FEW, MANY):
        began, ended = time.process_time(), _ended()
        run_grid(trivial, cells_of(count), tmp_path / str(count), jobs=jobs)
        release()
        here[count], there[count] = _ms(time.process_time() - began, count), _ms(_ended() - ended, count)
    told = {n: f"{here[n]:.2f} ms" + (f" here, {there[n]:.2f} ms in the workers" * (jobs > 1)) for n in here}
    spread = f"of {FEW:,}: {told[FEW]}"
    board.note(f"a cell of {MANY:,} that does nothing, jobs={jobs}", told[MANY], spread=spread, asked=ASKED)
    assert here[MANY] < 2 * here[FEW]  # linear


@pytest.mark.slow
def test_a_cell_read_back(board, tmp_path):
    read = {}
    for count in (FEW, MANY):
        run_grid(trivial, cells_of(count), tmp_path / str(count))
        began = time.process_time()
        found = stored_results(cells_of(count), tmp_path / str(count))
        read[count] = _ms(time.process_time() - began, count)
        assert len(found) == count
    spread = f"of {FEW:,}: {read[FEW]:.3f} ms"
    board.note(f"a finished cell of {MANY:,} read back", f"{read[MANY]:.3f} ms", spread=spread, asked="linear")
    assert read[MANY] < 2 * read[FEW]


@pytest.mark.slow
def test_a_cell_on_a_cluster(board, tmp_path: Path, monkeypatch):
    psutil = pytest.importorskip("psutil")  # Dask brings it
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    with dask_processes(2) as (address, processes), dask_cluster(address):
        *workers, scheduler = (psutil.Process(process.pid) for process in processes)

        def spent() -> tuple[float, ...]:
            sums = [sum(sum(each.cpu_times()[:2]) for each in group) for group in ([scheduler], workers)]
            return time.process_time(), *sums

        run_grid(trivial, cells_of(10), None, jobs=None)
        before = spent()
        run_grid(trivial, cells_of(ON_DASK), tmp_path / "grid", jobs=None)
        here, scheduling, working = (_ms(b - a, ON_DASK) for a, b in zip(before, spent(), strict=True))
    figure = f"{here + scheduling:.2f} ms: {here:.2f} here, {scheduling:.2f} in the scheduler"
    spread = f"{working:.2f} ms in the workers"
    board.note(f"a cell of {ON_DASK:,} on Dask that does nothing", figure, spread=spread, asked=ASKED)
