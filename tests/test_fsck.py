"""`equiwm fsck`: what is whole is silent, what is not is named, and nothing but our own litter is ever removed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import holder_of

from equiwm.cli.main import run as command_line
from equiwm.disk.drafts import draft_of
from equiwm.disk.locks import hold
from equiwm.disk.ownership import make_folder
from equiwm.errors import RunError
from equiwm.fsck import check
from equiwm.grid import expand, run_grid
from equiwm.runs import Run

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "tests" / "data" / "runs"
TINY = KEPT / "layout1-results2-weights2"
FIRST = KEPT / "layout1-results1"


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(Path(shutil.copytree(TINY, tmp_path / "runs" / "one")))


@pytest.fixture
def fsck(capsys) -> Callable[..., tuple[int, list[str], str]]:
    def call(*arguments: str | Path) -> tuple[int, list[str], str]:
        capsys.readouterr()
        status = command_line(["fsck", *map(str, arguments), "--quiet"])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out.splitlines(), err

    return call


def test_what_is_whole_is_silent_and_stays_as_it_is(run, fsck, snapshot):
    before = snapshot(run.path)
    assert fsck(run.path, run.path.parent) == (0, [], "1 runs, 0 findings.\n")
    assert fsck(run.path, "--repair")[0] == 0
    assert snapshot(run.path) == before


def weights(change: Callable[[dict], object]) -> Callable[[Run], object]:
    def damaged(run: Run) -> None:
        state = torch.load(run.checkpoint, weights_only=True)
        change(state)
        torch.save(state, run.checkpoint)

    return damaged


def text(name: str, old: str, new: str) -> Callable[[Run], object]:
    def damaged(run: Run) -> None:
        path = run.path / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return damaged


def half(state: dict) -> None:
    name = next(iter(state["model"]))
    state["model"][name] = state["model"][name].half()


def result(**change: object) -> Callable[[Run], object]:
    def damaged(run: Run) -> None:
        data = json.loads(run.metrics_path.read_text())
        data["rollout"]["variants"]["so2/float32"].update(change)
        run.metrics_path.write_text(json.dumps(data))

    return damaged


DAMAGES: dict[str, tuple[Callable[[Run], object], str]] = {
    "configuration": (text("config.yaml", "seed: 0", "seed: -1"), "seed: got -1"),
    "edited configuration": (text("config.yaml", "epochs: 3", "epochs: 2"), "does not belong to"),
    "no configuration": (lambda run: run.config_path.unlink(), "restore config.yaml"),
    "checkpoint": (lambda run: run.checkpoint.write_bytes(b"x"), "is damaged"),
    "dtype": (weights(half), "is float16, expected float32"),
    "another run's checkpoint": (weights(lambda state: state["binding"].update(config_sha256="0")), "does not belong"),
    "no history": (lambda run: run.history_path.unlink(), "no row for epoch 1"),
    "hole": (lambda run: run.history_path.write_text("".join(_without(run, 2))), "no row for epoch 2"),
    "end of the history": (lambda run: run.history_path.write_text("".join(_without(run, 3))), "no row for epoch 3"),
    "another history": (text("history.csv", ".", ".1"), "is not the history of"),
    "metrics": (lambda run: run.metrics_path.write_text("{"), "is damaged"),
    "a result": (result(parameters="x"), "Expected int, got str"),
    "a later result": (result(schema=3), "install a later equiwm"),
    "a section": (text("metrics.json", '"parameters": 112', '"parameters": "x"'), "is none of its own variants"),
    "another's result": (result(checkpoint_sha256="0" * 64), "rollout so2/float32 was measured on other weights"),
    "no metrics": (lambda run: run.metrics_path.unlink(), "lost its section 'train'"),
    "no summary": (lambda run: run.summary.unlink(), "equiwm train --preset mlp-2d"),
    "foreign resume point": (lambda run: run.resume_point.write_bytes(b"x"), "move it away"),
    "a link to no resume point": (lambda run: run.resume_point.symlink_to("nowhere"), "move it away"),
    "a link to no data": (lambda run: run.data_path.symlink_to("nowhere"), "no such file"),
    "training data": (lambda run: run.data_path.write_bytes(b"x"), "data.pt is damaged"),
}


def _without(run: Run, epoch: int) -> list[str]:
    return [line for line in run.history_path.read_text().splitlines(keepends=True) if not line.startswith(f"{epoch},")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_is_named_and_kept(run, fsck, snapshot, damage):
    change, words = DAMAGES[damage]
    change(run)
    before = snapshot(run.path)
    status, out, _ = fsck(run.path, "--repair")
    assert status == 1
    assert any(words in line for line in out), out
    assert all(str(run.path) in line for line in out)
    assert snapshot(run.path) == {**before, **{k: v for k, v in snapshot(run.path).items() if k == ".train.lock"}}


def test_of_an_old_run_the_results_are_the_evidence(tmp_path, fsck):
    """Weights of 0.1 do not say where they belong: the history has to reach the last epoch, and be the training's."""
    run = Run(Path(shutil.copytree(FIRST, tmp_path / "one")))
    assert fsck(run.path)[0] == 0
    lines = run.history_path.read_text().splitlines(keepends=True)
    run.history_path.write_text("".join(lines[:-1]))
    assert "no row for epoch 3" in "".join(fsck(run.path)[1])
    first = lines[1].split(",")
    run.history_path.write_text("".join([lines[0], ",".join([first[0], "9.5", *first[2:]]), *lines[2:]]))
    assert "is not the history of the training in" in "".join(fsck(run.path)[1])
    run.history_path.write_text("".join(lines))
    text("config.yaml", "seed: 0", "seed: 1")(run)
    assert "train is of seed 0" in "".join(fsck(run.path)[1])


def test_a_copy_without_its_checkpoint_is_whole(run, fsck):
    run.checkpoint.unlink()
    assert fsck(run.path)[:2] == (0, [])
    run.history_path.write_text("".join(_without(run, 1)))
    assert fsck(run.path)[0] == 1


def test_an_interrupted_training_is_whole_where_its_state_is(tmp_path, fsck):
    run = Run(Path(shutil.copytree(KEPT / "layout1-interrupted", tmp_path / "one")))
    assert fsck(run.path)[:2] == (0, [])
    run.resume_point.write_bytes(b"x")
    assert "is damaged" in "".join(fsck(run.path)[1])


# Repairing


def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_repair_removes_our_litter_and_says_so(run, fsck, snapshot):
    before = snapshot(run.path)
    number, figures = dead(), run.path / "figures"
    figures.mkdir()
    theirs = {path: draft_of(path).name for path in (run.metrics_path, figures / "a.b.png")}  # of this process
    ours = [path.with_name(name.replace(f".{os.getpid()}-", f".{number}-")) for path, name in theirs.items()]
    others = [
        run.path / theirs[run.metrics_path],
        run.path / f".metrics.json.{number}-0123456789abcdef.tmp",  # of another machine
        run.path / "notes.tmp",
        run.path / f".thesis.{number}.tmp",
        run.path / f".thesis.{number}-xyz.tmp",
    ]
    for path in (*ours, *others):
        path.write_text("x")
    status, out, _ = fsck(run.path)
    assert (status, len(out)) == (1, 2)
    assert all(path.exists() for path in ours)
    status, out, err = fsck(run.path, "--repair")
    assert (status, out) == (0, [])
    assert all(f"removed: {path}\n" in err for path in ours)
    assert [path for path in others if not path.exists()] == []
    for path in (*others, figures):
        path.unlink() if path.is_file() else path.rmdir()
    (run.path / ".train.lock").unlink()
    assert snapshot(run.path) == before


def test_repair_removes_a_folder_that_was_half_made_or_half_removed(run, fsck):
    """If it says that it is ours, or holds nothing."""
    names = [draft_of(run.path / name).name.replace(f".{os.getpid()}-", f".{dead()}-") for name in ("a", "b", "c")]
    ours, empty, others = (run.path / name for name in names)
    make_folder(ours, "store", {"cell.json": "{}"})
    empty.mkdir()
    others.mkdir()
    (others / "notes.md").write_text("years of work")
    assert len(fsck(run.path)[1]) == 3
    status, out, err = fsck(run.path, "--repair")
    assert (status, len(out)) == (1, 1)
    assert str(others) in out[0]
    assert f"removed: {ours}\n" in err
    assert [path.exists() for path in (ours, empty, others / "notes.md")] == [False, False, True]


def test_repair_removes_a_resume_point_that_its_own_training_left(tmp_path, fsck):
    run = Run(Path(shutil.copytree(FIRST, tmp_path / "one")))
    shutil.copy(KEPT / "layout1-interrupted" / "resume.pt", run.resume_point)
    status, out, _ = fsck(run.path, "--json")
    assert status == 1
    said = json.loads("\n".join(out))
    assert [finding["stale"] for finding in said["findings"]] == [str(run.resume_point)]
    status, out, _ = fsck(run.path, "--json", "--repair")
    assert status == 0
    assert json.loads("\n".join(out)) == {
        "runs": [str(run.path)],
        "findings": [],
        "removed": [str(run.resume_point)],
    }
    assert not run.resume_point.exists()


def test_repair_says_that_the_machine_refuses_it(run, fsck, monkeypatch):
    """Rather than that there is something to repair."""
    litter = run.path / draft_of(run.metrics_path).name.replace(f".{os.getpid()}-", f".{dead()}-")
    litter.write_text("x")

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("equiwm.fsck.repair.remove_file", full)
    status, out, err = fsck(run.path, "--repair")
    assert (status, out, len(err.splitlines())) == (2, [], 1)
    assert "the disk is full" in err


def test_what_cannot_be_read_is_not_called_lost(run, fsck, monkeypatch):
    def failing(path, *arguments, **options):
        raise RunError(f"cannot read {path}: Input/output error.")

    monkeypatch.setattr("equiwm.layout.metrics.read_json", failing)
    status, out, _ = fsck(run.path)
    assert (status, out) == (1, [f"cannot read {run.metrics_path}: Input/output error."])


def test_a_run_in_use_is_left_alone(run, fsck):
    (run.path / f".metrics.json.{dead()}-0123abcd.tmp").write_text("x")
    run.history_path.unlink()
    with holder_of(run.path):
        assert fsck(run.path, "--repair")[0] == 0
    assert fsck(run.path)[0] == 1


# Cells


def _store(run: Run) -> Path:
    return run.path / "cells" / "C" / "measure"


def _cell(run: Run, place: int = 0) -> Path:
    return sorted((_store(run) / "cells").iterdir())[place]


def _swapped(run: Run) -> None:
    one, other = _cell(run), _cell(run, 1)
    one.write_bytes(other.read_bytes())


def _edited(run: Run) -> None:
    record = json.loads(_cell(run).read_text())
    record["params"]["seed"] = 7
    _cell(run).write_text(json.dumps(record))


def _linked(run: Run, place: Path) -> None:
    elsewhere = run.path.parents[1] / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


CELL_DAMAGES: dict[str, tuple[Callable[[Run], object], str]] = {
    "cell": (lambda run: _cell(run).write_text("{"), "is damaged"),
    "a link to no cell": (lambda run: _dangling(_cell(run)), "no such file"),
    "another cell's file": (_swapped, "does not hold the cell"),
    "edited parameters": (_edited, "does not hold the cell"),
    "no result": (lambda run: _cell(run).write_text(json.dumps({"key": "seed=0", "params": {"seed": 0}})), "neither"),
    "a stranger": (lambda run: (_store(run) / "cells" / "notes.json").write_text("{}"), "is no cell of"),
    "definition": (lambda run: (_store(run) / "grid.json").write_text('{"cells": [[1]]}'), "which cells the grid has"),
    "seconds": (lambda run: (_store(run) / "seconds.json").write_text('{"a": "x"}'), "how long each cell"),
    "cells that are a link": (lambda run: _linked(run, run.path / "cells"), "cells is a link"),
    "a store that is a link": (lambda run: _linked(run, _store(run)), "measure is a link"),
    "its cells are a link": (lambda run: _linked(run, _store(run) / "cells"), "measure/cells is a link"),
}


@pytest.fixture
def study(tmp_path) -> Run:
    """A study with two cells that are finished."""
    made = Run.create(tmp_path / "runs", "study", {"study": {}}, seed=0, kind="study")
    run_grid(cell, expand(seed=[0, 1]), _store(made))
    return made


def cell(params):
    return dict(params)


def test_a_study_s_cells_are_whole(study, fsck, snapshot):
    before = snapshot(study.path)
    assert fsck(study.path, "--repair") == (0, [], "1 runs, 0 findings.\n")
    assert snapshot(study.path) == before


@pytest.mark.parametrize("damage", CELL_DAMAGES)
def test_a_study_s_cell_that_is_wrong_is_named_and_not_resumed(study, fsck, snapshot, damage):
    change, words = CELL_DAMAGES[damage]
    change(study)
    before = snapshot(study.path)
    status, out, _ = fsck(study.path, "--repair")
    assert (status, len(out)) == (1, 1), out
    assert words in out[0]
    assert str(study.path) in out[0]
    assert snapshot(study.path) == before
    if damage != "a stranger":
        with pytest.raises(RunError):
            run_grid(cell, expand(seed=[0, 1]), _store(study), resume=True)
        assert {**before, **snapshot(study.path)} == snapshot(study.path)


def test_cells_that_are_being_computed_are_passed_over(study, fsck):
    _cell(study).write_text("{")
    with hold(_store(study) / ".lock", "the grid"):
        assert fsck(study.path)[0] == 0
    assert fsck(study.path)[0] == 1


# Where runs are


def test_runs_are_found_at_any_depth(run, fsck, tmp_path):
    study = Run.create(tmp_path / "runs" / "deep", "study", {"study": {}}, seed=0, kind="study")
    shutil.copytree(TINY, study.path / "runs" / "inner")
    (study.path / "runs" / "inner" / "history.csv").unlink()
    (tmp_path / "runs" / "evaluation").mkdir()
    (tmp_path / "runs" / "evaluation" / "metrics.json").write_text("{}")
    (tmp_path / "runs" / "again").symlink_to(tmp_path / "runs")
    status, out, err = fsck(tmp_path)
    assert status == 1
    assert err == "4 runs, 1 findings.\n"
    assert str(study.path / "runs" / "inner") in out[0]


@pytest.mark.parametrize(("place", "words"), [("nothing", "does not exist"), ("file", "is a file"), ("", "no run")])
def test_what_is_no_place_is_refused(tmp_path, fsck, place, words):
    (tmp_path / "file").write_text("")
    status, out, err = fsck(tmp_path / place)
    assert (status, out) == (2, [])
    assert words in err


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "runs" / "reference").is_dir(), reason="needs a checkout, which has the reference runs")
def test_the_reference_is_clean(fsck):
    assert fsck(ROOT / "runs" / "reference") == (0, [], "114 runs, 0 findings.\n")


def test_a_run_that_was_trained_meanwhile_is_passed_over(run, fsck, monkeypatch):
    """A training that begins or ends while its files are read changes them in between: nothing is known of it then."""
    run.summary.unlink()
    assert "has no summary" in "".join(fsck(run.path)[1])

    def trained(*arguments):
        with run.lock():
            pass
        return read(*arguments)

    read = check._check_results
    monkeypatch.setattr(check, "_check_results", trained)
    assert fsck(run.path)[:2] == (0, [])
