"""Commands that are asked to end, or killed: their status, what is kept, and nobody who outlives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from processes import session_of

from equiwm import interrupts
from equiwm.cli import main, signals, unraisable
from equiwm.errors import RunError
from equiwm.grid import Cell, run_grid

HERE = Path(__file__).parent
START = "from equiwm.cli.main import main; main()"
ENDS = [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]


def environment(temporary):
    """Of a command whose temporary files are told from everybody else's."""
    folder = Path(temporary) / "tmp"
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    # JOBLIB_TEMP_FOLDER: joblib would take /dev/shm
    return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder), "JOBLIB_TEMP_FOLDER": str(folder)}


@contextmanager
def command(folder, *arguments, code=START):
    """A command in a session of its own; its processes are gone when the block ends, however that ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(folder),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        for pid in session_of(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def training(out, epochs):
    settings = [f"training.{each}" for each in ("transitions=200", f"epochs={epochs}", "batch=32")]
    return ["train", "--out", out, "--quiet", *(part for each in settings for part in ("--set", each))]


def grid(epochs, out="runs"):
    return [*training(out, epochs), "--seeds", "0-3", "--jobs", "2"]


def both_train(folder):
    return lambda: all((folder / "runs" / name / "resume.pt").exists() for name in ("vn-2d", "vn-2d-s1"))


def left_behind(folder):
    """Temporary files, but for the cache that torch makes for all its processes together."""
    return [path.name for path in (folder / "tmp").iterdir() if not path.name.startswith("torchinductor_")]


def semaphores(pid):
    """Of loky, made by that process."""
    return [path.name for path in Path("/dev/shm").glob(f"sem.loky-{pid}-*")]


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGKILL", -9), *ENDS])
@pytest.mark.parametrize("group", [False, True])
def test_no_worker_outlives_its_command(tmp_path, name, status, group):
    """And what they trained goes on at once, to the same weights as a training that nobody struck."""
    import torch

    with command(tmp_path, *grid(20)) as process:
        until(both_train(tmp_path))
        (os.killpg if group else os.kill)(process.pid, getattr(signal, name))
        _, err = process.communicate(timeout=20) if name != "SIGKILL" else (process.wait(20), "")
        assert process.returncode == status, err
        if name == "SIGKILL":
            again = subprocess.run(
                [sys.executable, "-c", START, *grid(20), "--resume"],
                **{"cwd": tmp_path, "env": environment(tmp_path), "capture_output": True, "text": True, "check": False},
            )
            assert again.returncode == 0, again.stderr
        else:
            assert err.splitlines() == [signals.INTERRUPTED, signals.HINT]
        until(lambda: session_of(process.pid) == [], 10)
    assert left_behind(tmp_path) == []
    if not (group and name == "SIGKILL"):  # which leaves nobody who could remove them (docs/runs.md)
        assert semaphores(process.pid) == []
    if name != "SIGKILL":
        with command(tmp_path, *grid(20), "--resume") as process:
            _, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
    with command(tmp_path, *training("whole", 20)) as process:
        process.communicate(timeout=120)
    one, other = (torch.load(tmp_path / out / "vn-2d" / "checkpoint.pt")["model"] for out in ("runs", "whole"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@needs_proc
def test_workers_end_with_a_killed_parent(tmp_path):
    """In cells that take no notice of anything, and between two cells."""
    code = (
        "import pathlib, test_grid\nfrom equiwm.grid import run_grid\n"
        "run_grid(test_grid.slow, test_grid.GRID, pathlib.Path('grid'), jobs=2,\n"
        "         progress=lambda done, total, result: print(done, flush=True))"
    )
    with command(tmp_path, code=code) as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if line == "2\n")
        assert len(session_of(process.pid)) >= 3
        process.kill()
        process.wait()
        until(lambda: session_of(process.pid) == [], 10)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(("name", "status"), ENDS)
def test_a_training_that_is_asked_to_end(tmp_path, name, status):
    with command(tmp_path, *training("runs", 3000)) as process:
        until((tmp_path / "runs" / "vn-2d" / "resume.pt").exists)
        os.kill(process.pid, getattr(signal, name))
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (status, "")
    assert err.splitlines() == [signals.INTERRUPTED, signals.HINT]
    assert sorted(path.name for path in (tmp_path / "runs" / "vn-2d").iterdir()) == [
        *(".equiwm", ".train.lock", "config.yaml", "history.csv", "resume.pt")
    ]


def test_a_signal_that_the_parent_had_ignored_stays_ignored(tmp_path):
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); signal.raise_signal(signal.SIGHUP); {START}"
    with command(tmp_path, "presets", code=f"from equiwm.cli import signals; {code}") as process:
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.2, 0.4])
def test_ctrl_c_during_the_imports(tmp_path, after):
    """From the moment that the command has begun: before it, the interpreter answers."""
    code = f"import equiwm.cli.main as m; print(flush=True)\nm.signals.install(); print(flush=True)\n{START}"
    with command(tmp_path, *training("runs", 3000), code=code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        time.sleep(after)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert err.splitlines() == [signals.INTERRUPTED, signals.HINT]


def swallowing(params):
    """A user's cell that takes every exception for a bad seed."""
    try:
        if params["seed"] == 1:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    except BaseException:
        if params["how"] == "raises":
            raise ArithmeticError("it diverged") from None
    return {"seed": params["seed"]}


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_cell_that_swallows_ctrl_c_still_ends_the_grid(tmp_path, how, monkeypatch):
    """And the signal does not become a failure of the cell."""
    monkeypatch.setattr(interrupts, "_received", [])
    monkeypatch.setattr(signals, "_came", [])
    before = signal.signal(signal.SIGINT, signals.on_signal)
    cells = [Cell(f"seed={seed}", {"seed": seed, "how": how}) for seed in range(4)]
    try:
        with pytest.raises(KeyboardInterrupt):
            run_grid(swallowing, cells, tmp_path / "grid")
    finally:
        signal.signal(signal.SIGINT, before)
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "grid" / "cells").iterdir())
    assert kept == ["seed=0", *(["seed=1"] if how == "returns" else [])]


def test_a_second_signal_leaves_at_once(tmp_path):
    """A moment later; `timeout` strikes twice in the same one."""
    code = (
        "import time\nfrom equiwm.cli import signals\nsignals.SAME_SECONDS = 0.5\nsignals.install()\n"
        "try:\n    print(flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print(flush=True)\n    time.sleep(60)  # a clean-up that hangs\n"
    )
    with command(tmp_path, code=code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)
        process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.6)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=5)
    assert process.returncode == 143


def test_ctrl_c_in_the_middle_of_an_import_leaves_at_once(tmp_path):
    """C++ initialisers would abort, or report a fault of theirs."""
    (tmp_path / "struck.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('went on')\n")
    with command(tmp_path, code="from equiwm.cli import signals\nsignals.install()\nimport struck") as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == [signals.INTERRUPTED, signals.HINT]


def test_ctrl_c_that_c_code_swallowed_is_given_again():
    """pymunk frees its spaces in a callback, where Python only prints what is raised."""
    with pytest.raises(KeyboardInterrupt):
        unraisable.on_unraisable(SimpleNamespace(exc_type=KeyboardInterrupt))


class Short:
    """Finds no memory as it is freed, where Python can only print it."""

    def __del__(self):
        raise MemoryError


def _refused():
    raise RunError("no such run.")


@pytest.mark.parametrize(
    ("ends", "said"), [(lambda: 0, "out of memory;"), (lambda: 1, "out of memory;"), (_refused, "no such run.")]
)
def test_memory_that_was_missing_in_c_code_is_told_at_the_end(monkeypatch, capfd, ends, said):
    """matplotlib reads its fonts in a callback: what it draws lacks something, and one line says so."""

    def command(**_):
        Short()
        return ends()

    monkeypatch.setattr(sys, "unraisablehook", unraisable.on_unraisable)
    monkeypatch.setattr(unraisable, "_short", [])
    monkeypatch.setattr("equiwm.cli.app.app", command)
    assert main.run([]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")
