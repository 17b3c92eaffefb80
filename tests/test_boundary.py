"""The boundary with the machine: whatever it refuses is one line and status 2; what is left is a fault."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import zipfile
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch

from equiwm.boundary import machine_error
from equiwm.cli.main import run
from equiwm.cli.streams import ascii_form
from equiwm.disk.files import atomic_writer
from equiwm.errors import DataError, MachineError, RunError, TrainingError
from equiwm.grid import Cell, run_grid

HERE = Path(__file__).parent


def error_of(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def system(number, name=None):
    return OSError(number, os.strerror(number), name)


def hidden(below, above):
    """`above`, raised from None while `below` was handled."""

    def both():
        try:
            raise below
        except BaseException:
            raise above from None

    return error_of(both)


class FullDisk:
    """A file that takes so many writes."""

    def __init__(self, writes, error):
        self._left, self._error = writes, error

    def write(self, data):
        self._left -= 1
        if self._left < 0:
            raise self._error
        return len(data)

    def flush(self):
        pass


MACHINE = {
    "full": (system(errno.ENOSPC), "the disk is full"),
    "quota": (system(errno.EDQUOT), "quota"),
    "device": (system(errno.EIO, "x.pt"), "x.pt"),
    "rights": (system(errno.EACCES, "figures/a.png"), "figures/a.png: Permission denied"),
    "bytes": (system(errno.EACCES, b"\xff"), "xff: Permission denied"),
    "files": (system(errno.EMFILE), "too many open files"),
    "system's memory": (system(errno.ENOMEM), "out of memory"),
    "memory without a word": (MemoryError(), "out of memory"),
    "numpy's memory": (error_of(np.zeros, 10**16), "out of memory"),
    "torch's memory": (error_of(torch.zeros, 10**15), "out of memory"),
    "a GPU's memory": (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"), "out of memory"),
    "a library's memory": (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "out of memory"),
    "memory for an exception": (SystemError("error return without exception set"), "out of memory?"),
    "threads": (RuntimeError("can't start new thread"), "threads"),
    "torch's writer": (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "torch"),
    "torch's writer on a full disk": (
        error_of(torch.save, {"a": torch.zeros(9)}, FullDisk(2, system(errno.ENOSPC))),
        "the disk is full",
    ),
    "a worker": (BrokenProcessPool("A worker process terminated"), "worker process died"),
    "an encoding": (error_of("ü".encode, "ascii"), "ascii"),
    "a user's code": (hidden(MemoryError(), DataError("Spring.step raised MemoryError.")), "Spring.step"),
    "below": (hidden(system(errno.ENOSPC), ValueError("half a file")), "the disk is full"),
}
FAULTS = {
    "recursion": RecursionError("maximum recursion depth exceeded"),
    "archive": zipfile.BadZipFile("File is not a zip file"),
    "torch's reader": RuntimeError("[enforce fail at inline_container.cc:145] . PytorchStreamReader failed"),
    "value": ValueError("out of memory"),
    "shape": RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    "an error of ours": RunError("there is none"),
    "a file that was looked for": hidden(FileNotFoundError(2, "No such file", "x"), RunError("there is none")),
    "a training": TrainingError("it diverged"),
    "a fault of C code": SystemError("bad argument to internal function"),
    "no number": OSError("cannot identify image file"),
}


@pytest.mark.parametrize("case", MACHINE)
def test_what_the_machine_refuses_is_one_line(case):
    error, words = MACHINE[case]
    refused = machine_error(error)
    assert isinstance(refused, MachineError)
    assert words in str(refused)
    assert len(str(refused).splitlines()) == 1
    assert refused.exit_status == 2


@pytest.mark.parametrize("case", FAULTS)
def test_what_it_did_not_do_is_not_its(case):
    assert machine_error(FAULTS[case]) is None


def test_a_lost_cluster_is_the_machines():
    distributed = pytest.importorskip("distributed")
    lost = (
        distributed.comm.CommClosedError("in <TCP>: Stream is closed"),
        distributed.KilledWorker("cell", None, 3),
    )
    for error in lost:
        assert "Dask" in str(machine_error(error))


@pytest.mark.parametrize("writes", range(8))
@pytest.mark.parametrize("error", [system(errno.ENOSPC), system(errno.EIO), MemoryError()])
def test_a_file_of_torch_on_a_full_disk(tmp_path, writes, error):
    """Whichever write fails, and whatever torch makes of it: the path is named, and what was there stays."""
    path = tmp_path / "resume.pt"
    path.write_text("before")

    def write():
        with atomic_writer(path):
            torch.save({"a": torch.zeros(9)}, FullDisk(writes, error))

    with pytest.raises(MachineError, match=r"cannot write .*resume\.pt"):
        write()
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["resume.pt"]


@pytest.mark.parametrize("case", MACHINE)
def test_any_command_ends_with_it(case, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise MACHINE[case][0]

    monkeypatch.setattr("equiwm.report.document.make_report", refuse)
    assert run(["report", str(HERE)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("error: ")


@pytest.mark.parametrize("error", [MemoryError(), SystemError("error return without exception set")])
def test_no_memory_is_left_to_say_so(error, monkeypatch, capfd):
    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr("equiwm.report.document.make_report", refuse)
    monkeypatch.setattr("equiwm.boundary.machine_error", refuse)
    assert run(["report", str(HERE)]) == 2
    captured = capfd.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", 1)
    assert captured.err.startswith("error: out of memory; ")


def refused(params):
    """A cell of which seed 1 meets a machine that refuses, until the folder holds the file `mended`."""
    if params["seed"] == 1 and not (Path(params["folder"]) / "mended").exists():
        raise {"memory": MemoryError(), "disk": system(errno.ENOSPC)}[params["what"]]
    return {"seed": params["seed"]}


@pytest.mark.parametrize("what", ["memory", "disk"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_that_the_machine_stops_has_not_failed(tmp_path, what, jobs):
    cells = [Cell(f"seed={seed}", {"seed": seed, "what": what, "folder": str(tmp_path)}) for seed in range(3)]
    with pytest.raises(MachineError, match="--resume"):
        run_grid(refused, cells, tmp_path / "grid", jobs=jobs)
    kept = [json.loads(path.read_text()) for path in (tmp_path / "grid" / "cells").iterdir()]
    assert all("result" in record for record in kept)
    assert 1 not in [record["params"]["seed"] for record in kept]
    (tmp_path / "mended").touch()
    done = run_grid(refused, cells, tmp_path / "grid", jobs=jobs, resume=True)
    assert [cell.result for cell in done] == [{"seed": seed} for seed in range(3)]


@pytest.mark.parametrize("seeds", [[], ["--seeds", "0-1"]])
def test_a_training_that_never_began_leaves_no_name_taken(tmp_path, tiny, seeds, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise MemoryError

    arguments = ["train", "--out", str(tmp_path), *tiny, *seeds]
    with monkeypatch.context() as patch:
        patch.setattr("equiwm.training.run.training_data", refuse)
        assert run(arguments) == 2
    assert "out of memory" in capsys.readouterr().err
    assert not (tmp_path / "vn-2d").exists()


@pytest.mark.parametrize("seeds", [[], ["--seeds", "0-1"]])
def test_a_disk_that_fills_up_while_training(tmp_path, tiny, seeds, monkeypatch, capsys):
    """One line; what is written stays valid, and goes on when there is space again."""
    save, calls = torch.save, []

    def full(state, file):
        calls.append(file)
        save(state, FullDisk(5, system(errno.ENOSPC)) if len(calls) == 2 else file)

    arguments = ["train", "--out", str(tmp_path), "--json", *tiny, *seeds]
    with monkeypatch.context() as patch:
        patch.setattr("torch.save", full)
        assert run(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: the disk is full: cannot write ")
    assert "resume.pt" in err
    assert "--resume" in err
    assert len(err.splitlines()) == 1
    assert run([*arguments, "--resume"]) == 0
    assert list(tmp_path.rglob("*.tmp")) == []


PROBE = """
import torch
from equiwm import Probe

class Model(torch.nn.Module):
    calls = 0

    def forward(self, x):
        Model.calls += 1
        if Model.calls == CALL:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")
        return x + 0.1

probe = Probe(Model(), inputs=torch.randn(8, 3), group="o3", takes="1o", gives="1o")
"""


@pytest.mark.parametrize("call", [1, 2, 5, 30, 60, 120, 200])
def test_no_verdict_is_given_on_a_network_without_memory(tmp_path, call, monkeypatch, capsys):
    """Whenever it runs out: neither "does not run in float64", nor a cause the less."""
    (tmp_path / "my_probe.py").write_text(PROBE.replace("CALL", str(call)))
    monkeypatch.chdir(tmp_path)
    assert run(["audit", "my_probe.py:probe", "--elements", "4", "--symmetries"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "out of memory" in captured.err
    assert len(captured.err.splitlines()) == 1


# Streams


def shell(text, folder, **variables):
    """A line of shell in which `$EQUIWM` is the command."""
    command = f"{sys.executable} -c 'from equiwm.cli.main import main; main()'"
    return subprocess.run(
        ["bash", "-c", text.replace("$EQUIWM", command)],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE.parent), **variables},
        capture_output=True,
        text=True,
    )


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is Linux's")


@needs_full
@pytest.mark.parametrize("arguments", ["presets", "presets --json", "--help"])
def test_a_full_stdout(tmp_path, arguments):
    done = shell(f"$EQUIWM {arguments} > /dev/full", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "the disk is full" in done.stderr


@needs_full
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("$EQUIWM presets >&-", 0),
        ("$EQUIWM presets 2>&- >&- <&-", 0),
        ("$EQUIWM nonsense 2>&-", 2),
        ("$EQUIWM nonsense 2> /dev/full", 2),
        ("set -o pipefail; $EQUIWM presets | head -1", 0),
    ],
)
def test_streams_that_nobody_reads(tmp_path, line, status):
    done = shell(line, tmp_path)
    assert (done.returncode, done.stderr) == (status, "")


def test_what_is_printed_to_a_closed_stream_goes_into_no_file(tmp_path, copy_run):
    path = copy_run("vn-2d")
    done = shell(f"$EQUIWM sweep-group {path} --bins 4 --transitions 40 --quiet >&-", tmp_path)
    assert done.returncode == 0, done.stderr
    for file in path.rglob("*"):
        assert not file.is_file() or b"|---" not in file.read_bytes()


def test_an_ascii_terminal(tmp_path, copy_run):
    path = copy_run("vn-2d", name="groß")
    line = f"$EQUIWM sweep-group '{path}' --bins 4 --transitions 40 && $EQUIWM report '{path}'"
    variables = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = shell(line, tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "gro\\xdf" in done.stdout
    assert "Traceback" not in done.stderr


def test_ascii_forms():
    error = error_of("30° × 字".encode, "ascii")
    assert ascii_form(error) == (" deg", 3)
    assert ascii_form(UnicodeEncodeError("ascii", "×字", 0, 2, "")) == ("x\\u5b57", 2)


def test_a_figures_folder_that_cannot_be_written(copy_run, capsys):
    path = copy_run("vn-2d")
    (path / "figures").write_text("in the way")
    assert run(["sweep-group", str(path), "--bins", "4", "--transitions", "40"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert str(path / "figures") in lines[0]
    assert (path / "figures").read_text() == "in the way"
