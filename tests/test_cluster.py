"""The same grid on a Dask cluster of separate processes: same rows, also when a worker is killed in the middle."""

from __future__ import annotations

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
from equiwm.errors import ConfigError, MissingExtraError
from equiwm.grid import expand, run_grid

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


@contextmanager
def dask_processes(workers):
    """A scheduler and so many workers, each a process of its own: the address, and the workers."""
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
        yield address, started
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
    grid = [type(cell)(cell.key, {**cell.params, "calls": str(calls)}) for cell in GRID]
    seen: list[tuple[int, str | None]] = []

    def kill_one(done, total, result):
        seen.append((done, result and result.cell.key))
        if done == 2:  # both workers are in the middle of cells, and hold more
            os.kill(workers[0].pid, signal.SIGKILL)

    with dask_cluster(address):
        results = run_grid(traced, grid, tmp_path / "grid", jobs=None, progress=kill_one)
    assert workers[0].wait(timeout=10) == -signal.SIGKILL
    assert workers[1].poll() is None
    assert [result.cell.key for result in results] == [cell.key for cell in GRID]
    assert all(result.error is None for result in results)
    assert [done for done, _ in seen] == list(range(len(GRID) + 1))
    assert sorted(key for _, key in seen if key) == sorted(cell.key for cell in GRID)
    runs = [path.name for path in calls.iterdir()]
    assert len(runs) > len(GRID), "no cell was lost with the worker: the test has not tested anything"
    assert {name.split("-")[2] for name in runs} == {str(worker.pid) for worker in workers}
    local = run_grid(traced, grid, tmp_path / "local")
    assert [result.result for result in local] == [result.result for result in results]
    with dask_cluster(address):
        assert run_grid(traced, grid, tmp_path / "grid", jobs=None, resume=True) == results


def test_a_scheduler_without_workers_is_refused():
    with dask_processes(0) as (address, _), pytest.raises(ConfigError, match="no workers"), dask_cluster(address):
        pass
