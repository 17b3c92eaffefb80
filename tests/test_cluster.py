"""The same grid on a Dask cluster of separate processes: same rows, also when a worker is killed in the middle."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from equiwm.cli.main import run
from equiwm.cluster import dask_cluster
from equiwm.errors import ConfigError, MachineError, MissingExtraError
from equiwm.grid import Cell, expand, run_grid

HERE = Path(__file__).parent
GRID = expand(width=[1, 2], seed=list(range(6)))


def traced(params):
    """Leaves a file with its process for every call, and takes long enough to be killed in."""
    folder = Path(params["calls"])
    (folder / f"{params['width']}-{params['seed']}-{os.getpid()}-{time.time_ns()}").touch()
    time.sleep(0.3)
    return {"value": params["width"] / (params["seed"] + 3)}


def test_without_dask_the_extra_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"equiwm\[cluster\]"), dask_cluster("tcp://127.0.0.1:1"):
        pass
    assert run(["ablate", "soft", "--scheduler", "tcp://127.0.0.1:1", "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def traced_grid(folder):
    return [Cell(cell.key, {**cell.params, "calls": str(folder / "calls")}) for cell in GRID]


@contextmanager
def dask_processes(workers):
    """A scheduler and so many workers, each a process of its own: the address, the workers and, last, the scheduler."""
    pytest.importorskip("distributed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]), "OMP_NUM_THREADS": "1"}
    port = _free_port()
    address = f"tcp://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen([*dask, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **quiet)
    dask = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    started = [subprocess.Popen([*dask, "--no-dashboard"], **quiet) for _ in range(workers)]
    try:
        from distributed import Client

        with Client(address, timeout=60, set_as_default=False) as client:
            if workers:
                client.wait_for_workers(workers, timeout=60)
        yield address, [*started, scheduler]
    finally:
        for process in (*started, scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster():
    """Two workers."""
    with dask_processes(2) as found:
        yield found


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_scheduler_is_refused_at_once(tmp_path, capsys, cluster):
    for address in (f"tcp://127.0.0.1:{_free_port()}", "nonsense://x", "not a host"):
        started = time.monotonic()
        assert run(["ablate", "soft", "--scheduler", address, "--out", str(tmp_path)]) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) <= 2, err
        assert "no Dask scheduler" in err
        assert time.monotonic() - started < 15
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["tls", "tcp"])
def test_encryption_that_does_not_fit_is_one_line(tmp_path, capsys, monkeypatch, scheme):
    """`tls://` without keys, and `tcp://` where the configuration wants encryption; nothing is said when it is over."""
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    started = time.monotonic()
    with dask.config.set({"distributed.comm.require-encryption": scheme == "tcp"}):
        address = f"{scheme}://127.0.0.1:{_free_port()}"
        assert run(["ablate", "soft", "--scheduler", address, "--out", str(tmp_path)]) == 2
    gc.collect()
    assert unraisable == []
    assert time.monotonic() - started < 9
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1, err
    assert f"no Dask scheduler at '{address}'" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_command_on_the_cluster_gives_the_same_rows(tmp_path, cluster, monkeypatch):
    address, _ = cluster
    command = ["ablate", "soft", "--quick", "--dim", "2", "--seeds", "1", "--quiet", "--out"]
    assert run([*command, str(tmp_path / "here")]) == 0
    assert run([*command, str(tmp_path / "there"), "--scheduler", address]) == 0
    rows = [tmp_path / where / "ablate-soft-2d-quick" / "rows.csv" for where in ("here", "there")]
    assert rows[0].read_bytes() == rows[1].read_bytes()


def test_a_killed_worker_loses_no_cell_and_counts_none_twice(tmp_path, cluster):
    """Last: it leaves one worker."""
    address, workers = cluster
    calls = tmp_path / "calls"
    calls.mkdir()
    grid = traced_grid(tmp_path)
    seen: list[tuple[int, str | None]] = []

    def kill_one(done, total, results):
        seen.append((done, results[0].cell.key if results else None))
        if done == 2:  # both workers are in the middle of cells, and hold more
            os.kill(workers[0].pid, signal.SIGKILL)

    with dask_cluster(address):
        results = run_grid(traced, grid, tmp_path / "grid", jobs=None, progress=kill_one)
    workers = workers[:2]
    assert workers[0].wait(timeout=10) == -signal.SIGKILL
    assert workers[1].poll() is None
    assert [result.cell.key for result in results] == [cell.key for cell in GRID]
    assert all(result.error is None for result in results)
    assert [done for done, _ in seen] == list(range(len(GRID) + 1))
    assert sorted(key for _, key in seen if key) == sorted(cell.key for cell in GRID)
    runs = [path.name for path in calls.iterdir()]
    for _, key in seen[1:3]:  # finished before the kill
        width, seed = (part.partition("=")[2] for part in key.split(","))
        assert len([name for name in runs if name.startswith(f"{width}-{seed}-")]) == 1, "computed twice"
    assert len(runs) > len(GRID), "no cell was lost with the worker: the test has not tested anything"
    assert {name.split("-")[2] for name in runs} == {str(worker.pid) for worker in workers}
    local = run_grid(traced, grid, tmp_path / "local")
    assert [result.result for result in local] == [result.result for result in results]
    with dask_cluster(address):
        assert run_grid(traced, grid, tmp_path / "grid", jobs=None, resume=True) == results


def test_a_killed_scheduler_is_one_line_and_the_rest_goes_on_here(tmp_path):
    """In a process of its own, whose whole stderr is seen."""
    calls = tmp_path / "calls"
    calls.mkdir()
    code = (
        "import os, pathlib, signal, sys\nimport test_cluster\nfrom equiwm.boundary import machine_error\n"
        "from equiwm.cluster import dask_cluster\nfrom equiwm.grid import run_grid\n"
        "address, scheduler, folder = sys.argv[1:]\n"
        "kill = lambda done, total, result: done == 2 and os.kill(int(scheduler), signal.SIGKILL)\n"
        "try:\n"
        "    with dask_cluster(address):\n"
        "        grid = test_cluster.traced_grid(pathlib.Path(folder))\n"
        "        run_grid(test_cluster.traced, grid, pathlib.Path(folder, 'grid'), jobs=None, progress=kill)\n"
        "except Exception as error:\n"
        "    print(machine_error(error), file=sys.stderr)\n"
    )
    with dask_processes(1) as (address, processes):
        done = subprocess.run(
            [sys.executable, "-c", code, address, str(processes[-1].pid), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])},
            **{"capture_output": True, "text": True, "check": False, "timeout": 60},
        )
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "scheduler" in done.stderr
    assert "is lost" in done.stderr
    assert "--resume" in done.stderr
    kept = {path.name: path.read_bytes() for path in (tmp_path / "grid" / "cells").iterdir()}
    assert 2 <= len(kept) < len(GRID)
    results = run_grid(traced, traced_grid(tmp_path), tmp_path / "grid", resume=True)
    assert [result.error for result in results] == [None] * len(GRID)
    for name, content in kept.items():
        assert (tmp_path / "grid" / "cells" / name).read_bytes() == content


def murderous(params):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_cell_that_kills_its_workers_is_one_line(tmp_path):
    """With one worker there is nobody left; with more, the scheduler gives the cell up."""
    refused = pytest.raises(MachineError, match="killed one worker after another")
    with dask_processes(4) as (address, _), dask_cluster(address), refused:
        run_grid(murderous, GRID[:1], tmp_path / "grid", jobs=None)
    assert list((tmp_path / "grid" / "cells").iterdir()) == []


def test_a_scheduler_without_workers_is_refused():
    with dask_processes(0) as (address, _), pytest.raises(ConfigError, match="no workers"), dask_cluster(address):
        pass
