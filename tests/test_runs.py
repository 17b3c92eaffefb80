"""The run directory: nothing half-written, nothing lost, nothing silently overwritten."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from processes import holder_of

from equiwm.config import load, parse
from equiwm.disk import files, ownership
from equiwm.disk.files import write_atomic
from equiwm.errors import ConfigError, EquiwmError, MachineError, RunError
from equiwm.layout import header as layout
from equiwm.layout import history, metrics
from equiwm.layout.header import read_config
from equiwm.layout.history import history_sha256
from equiwm.layout.metrics import read_metrics, record_metrics
from equiwm.results.door import SCHEMA
from equiwm.runs import Run

CONFIG = parse({"preset": "vn-2d", "training": {"epochs": 3}})


def make(folder: Path, name: str = "vn-2d", **options) -> Run:
    return Run.create(folder, name, CONFIG.as_dict(), **{"seed": 0, **options})


def message(error: pytest.ExceptionInfo[EquiwmError]) -> str:
    text = str(error.value)
    assert text.count("\n") <= 1
    return text


# Atomic files


def test_atomic_write_replaces(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "Ω")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_keeps_the_old_file_and_leaves_no_litter(tmp_path, error):
    path = tmp_path / "file"
    write_atomic(path, "old")

    def interrupted() -> None:
        with files.atomic_writer(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_kill_in_the_middle_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "old")
    code = (
        "import os, pathlib, signal\nfrom equiwm.disk.files import atomic_writer\n"
        f"with atomic_writer(pathlib.Path({str(path)!r})) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_unwritable_file(tmp_path):
    with pytest.raises(RunError, match="cannot write"):
        write_atomic(tmp_path / "missing" / "file", "x")


def test_torch_saves_through_the_writer(tmp_path):
    torch = pytest.importorskip("torch")
    with files.atomic_writer(tmp_path / "x.pt") as file:
        torch.save({"w": torch.arange(3)}, file)
    assert torch.load(tmp_path / "x.pt", weights_only=True)["w"].tolist() == [0, 1, 2]


def test_importing_imports_no_torch():
    code = "import sys; from equiwm import grid, runs, stats; print({*sys.modules} & {'torch', 'scipy'})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


# Creating and opening


def test_create_then_read_back(tmp_path):
    command = ["equiwm", "train", "--set", "training.epochs=3"]
    run = make(tmp_path / "a" / "b", seed=4, command=command)
    assert os.listdir(tmp_path / "a" / "b") == ["vn-2d"]
    assert sorted(os.listdir(run.path)) == [".equiwm", "config.yaml"]
    assert run.config == CONFIG
    header = run.header
    assert (header.kind, header.name, header.seed, list(header.command)) == ("train", "vn-2d", 4, command)
    assert header.schema == layout.SCHEMA
    assert set(header.versions) == {"python", "equiwm", "torch", "numpy", "gym-pusht"}
    assert header.versions["numpy"] == np.__version__


def test_states(tmp_path):
    assert Run(tmp_path / "none").state == "absent"
    run = make(tmp_path)
    assert run.state == "incomplete"
    run.checkpoint.write_bytes(b"weights")
    assert run.state == "complete"
    assert Run.open(run.path) == run
    assert Run.create(tmp_path, "s", {"study": {"arms": [1, 2]}}, seed=0, kind="study").state == "complete"


def test_create_refuses_an_existing_run(tmp_path):
    run = make(tmp_path)
    before = run.config_path.read_bytes()
    with pytest.raises(RunError) as error:
        make(tmp_path, seed=9)
    assert "--resume" in message(error)
    assert "--name" in message(error)
    assert run.config_path.read_bytes() == before
    assert os.listdir(tmp_path) == ["vn-2d"]


def test_create_refuses_what_is_in_the_way(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("mine", "file"):
        with pytest.raises(RunError) as error:
            make(tmp_path, name)
        assert "--name" in message(error)
    assert make(tmp_path, "empty").state == "incomplete"
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "mine"]


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "../x", "a\0b"])
def test_create_refuses_names_that_are_no_folder_names(tmp_path, name):
    with pytest.raises(RunError, match="--name"):
        make(tmp_path, name)
    assert os.listdir(tmp_path) == []


def test_create_refuses_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as error:
        make(tmp_path / "file" / "runs")
    assert "--out" in message(error)
    with pytest.raises(RunError):
        make(tmp_path, "n" * 300)
    assert os.listdir(tmp_path) == ["file"]


def test_create_leaves_nothing_when_writing_fails(tmp_path, monkeypatch):
    def full(path, content):
        raise RunError("cannot write: No space left on device.")

    monkeypatch.setattr(ownership, "write_atomic", full)
    with pytest.raises(RunError, match="No space"):
        make(tmp_path / "new" / "runs")
    assert os.listdir(tmp_path) == []


def _create(folder: Path, seed: int, barrier, queue) -> None:
    barrier.wait()
    try:
        make(folder, seed=seed)
        queue.put(seed)
    except RunError:
        queue.put(None)


def test_of_concurrent_creators_one_wins(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(4), context.Queue()
    creators = [context.Process(target=_create, args=(tmp_path, seed, barrier, queue)) for seed in range(4)]
    for creator in creators:
        creator.start()
    outcomes = [queue.get(timeout=20) for _ in creators]
    for creator in creators:
        creator.join()
    (winner,) = [seed for seed in outcomes if seed is not None]
    assert Run(tmp_path / "vn-2d").header.seed == winner
    assert os.listdir(tmp_path) == ["vn-2d"]


def test_open_refuses(tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("absent", "foreign", "file"):
        with pytest.raises(RunError) as error:
            Run.open(tmp_path / name, needs_checkpoint=False)
        assert "not a run directory" in message(error)
    study = Run.create(tmp_path, "study", {}, seed=0, kind="study")
    assert Run.open(study.path, needs_checkpoint=False) == study
    with pytest.raises(RunError, match="is a study"):
        Run.open(study.path)


def test_open_tells_how_to_finish_an_incomplete_run(tmp_path):
    config, command = load("vn-2d", None, ["training.epochs=3"]), ["equiwm", "train", "--set", "training.epochs=3"]
    run = Run.create(tmp_path, "x", config.as_dict(), seed=2, command=command)
    assert Run.open(run.path, needs_checkpoint=False) == run
    with pytest.raises(RunError) as error:
        Run.open(run.path)
    assert message(error).splitlines()[1] == (
        f"equiwm train --preset vn-2d --seed 2 --set training.epochs=3 --name x --out {tmp_path} --resume"
    )


def test_a_copied_run_is_a_run(tmp_path):
    run = make(tmp_path)
    run.checkpoint.write_bytes(b"w")
    run.path.rename(tmp_path / "moved")
    assert Run.open(str(tmp_path / "moved")).name == "moved"
    assert len(Run.open(tmp_path / "moved").checkpoint_sha256()) == 64


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"wings": 2}, "unknown key 'wings'"),
        ({"study": {}}, "unknown key 'study'"),
        ({"seed": "zero"}, "seed"),
        ({"seed": True}, "seed"),
        ({"kind": "trian"}, "kind"),
        ({"schema": layout.SCHEMA + 1}, "later equiwm"),
        ({"versions": None}, "versions"),
    ],
)
def test_foreign_configurations_are_refused(tmp_path, change, expected):
    run = make(tmp_path)
    run.config_path.write_text(yaml.safe_dump({**yaml.safe_load(run.config_path.read_text()), **change}))
    with pytest.raises(EquiwmError) as error:
        Run.open(run.path)
    assert expected in message(error)
    assert str(run.config_path) in message(error)


@pytest.mark.parametrize("text", ["", "- a", "kind: train\n", "{", "training: {epochs: 3}"])
def test_damaged_configurations_are_refused(tmp_path, text):
    run = make(tmp_path)
    run.config_path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_config(run.config_path)


def test_a_wrong_value_is_reported_with_the_file(tmp_path):
    run = make(tmp_path)
    run.config_path.write_text(run.config_path.read_text().replace("epochs: 3", "epochs: many"))
    with pytest.raises(ConfigError) as error:
        _ = run.config
    assert str(run.config_path) in message(error)
    assert "training.epochs" in message(error)


def test_resume_needs_the_same_configuration(tmp_path):
    run = make(tmp_path)
    run.require_same(CONFIG.as_dict(), 0)
    other = parse({"preset": "vn-2d", "training": {"epochs": 4}}).as_dict()
    with pytest.raises(RunError) as error:
        run.require_same(other, 1)
    assert "training.epochs (was 3, now 4)" in message(error)
    assert "seed (was 0, now 1)" in message(error)


# History


def test_history_appends_and_truncates(tmp_path):
    run = make(tmp_path)
    assert run.history() == []
    writer = run.history_writer()
    writer.extend([{"epoch": epoch, "loss": 0.1 * epoch} for epoch in range(4)])
    before, file = run.history_path.read_text(), run.history_path.stat().st_ino
    writer.extend([{"epoch": 4, "loss": np.float32(0.5)}])
    assert run.history_path.read_text() == before + "4,0.5\n"
    assert run.history_path.stat().st_ino == file, "appended, not replaced"
    run.history_writer().extend([{"epoch": 2, "loss": float("nan")}])
    assert [row["epoch"] for row in run.history()] == [0, 1, 2]
    assert run.history()[1]["loss"] == 0.1
    assert np.isnan(run.history()[2]["loss"])


def test_what_is_appended_has_the_hash_of_the_file(tmp_path):
    run = make(tmp_path)
    writer, other = run.history_writer(), run.history_writer()
    for epoch in range(1, 6):
        sha = writer.extend([{"epoch": epoch, "loss": 1.0 / epoch}])
        assert sha == history_sha256(run.history_path, epoch)
    assert sha == hashlib.sha256(run.history_path.read_bytes()).hexdigest()
    assert other.extend([{"epoch": 6, "loss": 0.0}]) == history_sha256(run.history_path, 6)
    assert writer.extend([{"epoch": 3, "loss": 7.0}]) == history_sha256(run.history_path, 3)
    assert [row["loss"] for row in run.history()] == [1.0, 0.5, 7.0]


@pytest.mark.parametrize("end", ["4,0.", "4,0.25", "4", "\0\0\0\0", "4,0.25,0.1,x"])
def test_a_row_without_an_end_is_none(tmp_path, end):
    """An append that a dead process or a dead machine left half done, and the row that is written in its place."""
    run = make(tmp_path)
    run.history_writer().extend([{"epoch": epoch, "loss": 1.0} for epoch in range(1, 4)])
    whole = run.history_path.read_text()
    run.history_path.write_text(whole + end)
    assert [row["epoch"] for row in run.history()] == [1, 2, 3]
    sha = run.history_writer().extend([{"epoch": 4, "loss": 0.25}])
    assert run.history_path.read_text() == whole + "4,0.25\n"
    assert sha == history_sha256(run.history_path, 4)


def test_a_history_that_somebody_else_wrote_meanwhile_is_left_as_it_is(tmp_path):
    run = make(tmp_path)
    writer = run.history_writer()
    writer.extend([{"epoch": 1, "loss": 1.0}])
    run.history_path.write_text("mine")
    with pytest.raises(RunError, match="somebody else has written it"):
        writer.extend([{"epoch": 2, "loss": 1.0}])
    assert run.history_path.read_text() == "mine"
    run.history_path.unlink()
    with pytest.raises(RunError, match="is gone"):
        writer.extend([{"epoch": 2, "loss": 1.0}])
    assert not run.history_path.exists()
    (tmp_path / "elsewhere").write_text("1234")
    run.history_path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="no plain file"):
        writer.extend([{"epoch": 2, "loss": 1.0}])
    assert (tmp_path / "elsewhere").read_text() == "1234"


def test_a_full_disk_leaves_the_history_as_it_was(tmp_path, monkeypatch):
    """Half of the row still fits; it is cut off again, and the next one that fits follows the last whole one."""
    run = make(tmp_path)
    writer = run.history_writer()
    writer.extend([{"epoch": 1, "loss": 1.0}])
    before, real, full = run.history_path.read_bytes(), os.write, True

    def write(number, data):
        if not full:
            return real(number, data)
        if len(data) > 4:
            return real(number, bytes(data)[:4])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(MachineError, match="the disk is full"):
        writer.extend([{"epoch": 2, "loss": 0.5}])
    assert run.history_path.read_bytes() == before
    full = False
    writer.extend([{"epoch": 2, "loss": 0.5}])
    assert run.history_path.read_bytes() == before + b"2,0.5\n"


def test_a_row_costs_the_same_however_many_there_are(tmp_path, monkeypatch):
    """Nothing of the file is read or written again: ten times the rows, the same bytes."""
    run = make(tmp_path)
    writer = run.history_writer()
    writer.extend([{"epoch": epoch, "loss": 1.0} for epoch in range(1, 5001)])
    for name in ("_rows", "write_atomic"):
        monkeypatch.setattr(history, name, None)
    written = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda number, data: written.append(len(data)) or real(number, data))
    for epoch in range(5001, 5004):
        writer.extend([{"epoch": epoch, "loss": 1.0}])
    assert written == [len("5001,1.0\n")] * 3


def test_history_refuses_other_columns_and_damage(tmp_path):
    run = make(tmp_path)
    writer = run.history_writer()
    writer.extend([{"epoch": 0, "loss": 1.0}])
    for each in (writer, run.history_writer()):
        with pytest.raises(ValueError, match="los"):
            each.extend([{"epoch": 1, "los": 1.0}])
    for text in ("epoch,loss\n0,\n", "epoch,loss\n0,1,2\n", "epoch,loss\n0\n", "loss\n1\n", "epoch,loss\nx,1\n"):
        run.history_path.write_text(text)
        with pytest.raises(RunError, match="damaged"):
            run.history_writer().extend([{"epoch": 1, "loss": 1.0}])
        assert run.history_path.read_text() == text


# Metrics


def test_metrics_are_strict_json_with_variants(tmp_path):
    run = make(tmp_path)
    result = {"relmse": np.float32(0.5), "flat": np.array([1.0, np.inf]), "ok": np.True_}
    run.record("sweep_group", "so3", result)
    run.record("sweep_group", "se3", {"relmse": float("nan")}, baseline={"preset": "mlp-2d", "relmse": 3.0})
    run.record("train", None, {"parameters": 7})
    text = run.metrics_path.read_text()
    assert "NaN" not in text
    assert run.metrics() == json.loads(text)
    schema = {"schema": SCHEMA}
    first = {**schema, "relmse": 0.5, "flat": [1.0, None], "ok": True}
    last = {**schema, "relmse": None, "baseline": {**schema, "preset": "mlp-2d", "relmse": 3.0}}
    assert run.metrics() == {
        "sweep_group": {**last, "variants": {"so3": first, "se3": last}},
        "train": {**schema, "parameters": 7},
    }


def test_metrics_text_does_not_depend_on_the_order(tmp_path):
    for folder, order in ((tmp_path / "a", ("x", "y")), (tmp_path / "b", ("y", "x"))):
        for section in order:
            record_metrics(folder, section, "v", dict.fromkeys(order, 1))
    assert (tmp_path / "a" / "metrics.json").read_bytes() == (tmp_path / "b" / "metrics.json").read_bytes()


def test_metrics_can_go_elsewhere(tmp_path):
    run = make(tmp_path)
    run.record("rollout", "h16", {"x": 1}, out=tmp_path / "other")
    assert sorted(os.listdir(run.path)) == [".equiwm", "config.yaml"]
    assert read_metrics(tmp_path / "other")["rollout"]["x"] == 1


@pytest.mark.parametrize(
    "text", ["{", '{"train": NaN}', "[]", "", '{"train": 3}', '{"train": {"variants": 1}}', "\xff"]
)
def test_damaged_metrics_are_never_overwritten(tmp_path, text):
    run = make(tmp_path)
    run.metrics_path.write_text(text, encoding="latin-1")
    with pytest.raises(RunError) as error:
        run.record("train", None, {"x": 1})
    assert str(run.metrics_path) in message(error)
    assert run.metrics_path.read_text(encoding="latin-1") == text


def test_metrics_refuse_what_is_no_json(tmp_path):
    with pytest.raises(TypeError):
        record_metrics(tmp_path, "train", None, {"x": object()})
    with pytest.raises(ValueError, match="variants"):
        record_metrics(tmp_path, "train", None, {"variants": {}})
    assert os.listdir(tmp_path) == []


def test_what_could_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    """Else every later command on the folder would fail."""
    monkeypatch.setattr(metrics, "MOST_TEXT", 1000)
    record_metrics(tmp_path, "train", None, {"x": "y" * 900})
    before = (tmp_path / "metrics.json").read_bytes()
    assert len(before) < 1000
    with pytest.raises(RunError, match="nothing was added"):
        record_metrics(tmp_path, "rollout", None, {"x": "y" * 100})
    assert (tmp_path / "metrics.json").read_bytes() == before


def _record(folder: Path, writer: int) -> None:
    for i in range(10):
        record_metrics(folder, f"section{i % 2}", f"{writer}/{i}", {"value": writer * 100 + i})


def test_concurrent_writers_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_record, args=(tmp_path, writer)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    data = read_metrics(tmp_path)
    stored = {**data["section0"]["variants"], **data["section1"]["variants"]}
    assert stored == {f"{w}/{i}": {"schema": SCHEMA, "value": w * 100 + i} for w in range(4) for i in range(10)}


# The training lock


def test_lock_is_held_against_others_and_released_by_death(tmp_path):
    run = make(tmp_path)
    with holder_of(run.path) as holder:
        with pytest.raises(RunError, match="in use by process"), run.lock():
            pass
        holder.kill()
        holder.wait()
    with run.lock(), pytest.raises(RunError, match="in use"), run.lock():
        pass
    with run.lock():
        pass


def test_locking_what_is_not_there(tmp_path):
    with pytest.raises(RunError), Run(tmp_path / "none").lock():
        pass
