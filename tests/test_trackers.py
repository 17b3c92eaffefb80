"""Trackers: told of everything, refused before anything is written, and never able to lose a training."""

from __future__ import annotations

import importlib.util
import json
from importlib import metadata
from pathlib import Path

import pytest

from equiwm.cli.main import run as command
from equiwm.runs import Run

OUTSIDE = Path(__file__).parent / "outside"
EPOCHS = 4
SHORT = ("training.transitions=200", f"training.epochs={EPOCHS}", "training.batch=64")


@pytest.fixture
def train(tmp_path, monkeypatch):
    """`train(*arguments)` trains a tiny mlp-2d into `tmp_path`; modules of tests/outside are found."""
    monkeypatch.syspath_prepend(OUTSIDE)

    def call(*arguments: str) -> int:
        settings = [part for each in SHORT for part in ("--set", each)]
        return command(["train", "--preset", "mlp-2d", "--quiet", "--out", str(tmp_path), *settings, *arguments])

    return call


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]


def bits(path: Path) -> tuple[bytes, bytes]:
    return (path / "checkpoint.pt").read_bytes(), (path / "history.csv").read_bytes()


def test_a_tracker_is_told_of_everything(train, tmp_path):
    assert train("--tracker", "tracker:Lines") == 0
    run = Run.open(tmp_path / "mlp-2d")
    start, *epochs, finish = lines(run.path)
    assert start["start"]["name"] == "mlp-2d"
    assert start["start"]["training"]["epochs"] == EPOCHS
    assert [entry["epoch"] for entry in epochs] == list(range(1, EPOCHS + 1))
    assert [entry["row"] for entry in epochs] == run.history()
    assert finish["finish"]["final_loss"] == run.metrics()["train"]["final_loss"]


@pytest.mark.parametrize(
    ("name", "method", "said"), [("Faulty", "log", "the server is gone"), ("Leaving", "start", "")]
)
def test_what_a_tracker_raises_is_told_once_and_loses_nothing(name, method, said, train, tmp_path, capsys):
    assert train("--name", "alone") == 0
    capsys.readouterr()
    assert train("--tracker", f"tracker:{name}") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tracker ")]
    assert len(told) == 1
    assert f"'tracker:{name}': {method} raised" in told[0]
    assert said in told[0]
    assert "goes on without it" in told[0]
    if name == "Faulty":
        assert [entry.get("epoch") for entry in lines(tmp_path / "mlp-2d")] == [None, 1, 2]
    assert (tmp_path / "mlp-2d" / "history.csv").read_bytes() == (tmp_path / "alone" / "history.csv").read_bytes()


def test_a_tracker_changes_neither_history_nor_weights(train, tmp_path):
    assert train("--name", "alone") == 0
    assert train("--name", "other", "--tracker", "tracker:Meddling") == 0
    assert bits(tmp_path / "alone") == bits(tmp_path / "other")


def test_a_training_that_fails_is_finished_with_its_error(train, tmp_path, capsys):
    arguments = ["--set", "training.optimizer=sgd", "--set", "training.lr=1e30"]
    assert train("--tracker", "tracker:Lines", *arguments) == 1
    assert "diverged" in lines(tmp_path / "mlp-2d")[-1]["finish"]["error"]


def test_every_seed_has_a_tracker(train, tmp_path):
    assert train("--seeds", "0-1", "--tracker", "tracker:Lines") == 0
    for name in ("mlp-2d", "mlp-2d-s1"):
        assert len(lines(tmp_path / name)) == EPOCHS + 2


@pytest.mark.parametrize("seeds", [(), ("--seeds", "0-1")])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tensorbord", "unknown tracker 'tensorbord': did you mean tensorboard?"),
        ("tracker:nothing", "has no 'nothing'"),
        ("no_such_module:Tracker", "no module named 'no_such_module'"),
        ("tracker:broken", "making it raised OSError: no such server"),
        ("tracker:half", "got Half, which has no log and no finish"),
    ],
)
def test_a_tracker_that_is_none_is_refused_before_anything_is_written(name, said, seeds, train, tmp_path, capsys):
    assert train("--tracker", name, *seeds) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_said(name, train, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, name, None)
    assert train("--tracker", name) == 2
    assert f"tracker {name} needs {name}: pip install {name}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_installed_package_may_offer_one(train, tmp_path, monkeypatch):
    point = metadata.EntryPoint("lines", "tracker:Lines", "equiwm.trackers")
    real = metadata.entry_points

    def found(**wanted):
        return metadata.EntryPoints([point]) if wanted.get("group") == "equiwm.trackers" else real(**wanted)

    monkeypatch.setattr(metadata, "entry_points", found)
    assert train("--tracker", "lines") == 0
    assert len(lines(tmp_path / "mlp-2d")) == EPOCHS + 2


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard")
def test_tensorboard_has_every_epoch_once(train, tmp_path, monkeypatch):
    """An interrupted training too: what came after its resume point is written again, once."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from equiwm.training.trackers import TensorBoard

    assert train("--tracker", "tensorboard") == 0
    run = Run.open(tmp_path / "mlp-2d")
    again = TensorBoard(run.path)
    again.start({})
    for row in run.history()[2:]:
        again.log(row, int(row["epoch"]))
    again.finish({})
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "prediction", "variance", "latent_std"}
    assert [event.step for event in events.Scalars("loss")] == list(range(1, EPOCHS + 1))
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([row["loss"] for row in run.history()])
    assert command(["fsck", str(run.path)]) == 0


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs wandb")
def test_wandb_writes_an_offline_run(train, tmp_path):
    assert train("--tracker", "wandb") == 0
    run = tmp_path / "mlp-2d"
    assert len(list(run.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    assert command(["fsck", str(run)]) == 0
    assert command(["report", str(tmp_path), "--out", str(tmp_path / "report.md")]) == 0
