"""A run of every schema that was ever released, as its own version wrote it: it opens for ever.

`layout1-results1` and `layout1-interrupted` are of 0.1: results without `schema`, weights that do not say where they
belong. `layout1-results2` has results of schema 2. In `layout1-results2-weights2` the weights are bound as well. A
version that raises a schema adds a run of its own here, and changes none of these.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from equiwm.cli.main import run as command_line
from equiwm.layout.binding import WEIGHTS_SCHEMA
from equiwm.layout.header import SCHEMA
from equiwm.loading import load_run
from equiwm.results import door
from equiwm.runs import Run
from equiwm.training.run import train_run

KEPT = Path(__file__).parent / "data" / "runs"
COMPLETE = sorted(path.name for path in KEPT.iterdir() if path.name != "layout1-interrupted")
LATEST = f"layout{SCHEMA}-results{door.SCHEMA}-weights{WEIGHTS_SCHEMA}"


@pytest.fixture
def kept(tmp_path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "runs"))


def test_the_schemas_of_today_are_kept_and_small():
    assert LATEST in COMPLETE
    assert sum(path.stat().st_size for path in KEPT.rglob("*")) < 200_000


@pytest.mark.parametrize("name", COMPLETE)
def test_it_opens_with_its_weights(kept, name):
    subject = load_run(kept / name)
    stored = torch.load(kept / name / "checkpoint.pt", weights_only=True)["model"]
    assert all(torch.equal(tensor, stored[key]) for key, tensor in subject.model.state_dict().items())
    assert not subject.notice


@pytest.mark.parametrize("name", COMPLETE)
def test_it_is_measured_reported_and_checked(kept, name, capsys):
    path = str(kept / name)
    assert command_line(["fsck", path]) == 0
    assert command_line(["sweep-group", path, "--bins", "4", "--transitions", "40", "--quiet"]) == 0
    capsys.readouterr()
    assert command_line(["report", path]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert all(f"## {heading}" in out for heading in ("Training", "One-step", "Rollout")) or out.count("## ") >= 4
    assert command_line(["fsck", path]) == 0


def test_what_is_kept_is_what_it_says():
    first, second, bound = (KEPT / name for name in ("layout1-results1", "layout1-results2", LATEST))
    assert "schema" not in json.loads((first / "metrics.json").read_text())["train"]
    for path in (second, bound):
        assert json.loads((path / "metrics.json").read_text())["train"]["schema"] == 2
    schemas = [torch.load(path / "checkpoint.pt", weights_only=True)["schema"] for path in (first, second, bound)]
    assert schemas == [1, 1, 2]


def test_an_interrupted_training_of_the_first_version_goes_on(kept):
    run = Run.open(kept / "layout1-interrupted", needs_checkpoint=False)
    assert run.state == "incomplete"
    train_run(run, device=torch.device("cpu"))
    assert [row["epoch"] for row in run.history()] == [1, 2, 3]
    assert load_run(run.path).seed == 0


@pytest.mark.parametrize("what", ["layout", "weights", "results"])
def test_a_later_schema_says_what_to_do(kept, what, capsys):
    path = kept / LATEST
    if what == "layout":
        data = yaml.safe_load((path / "config.yaml").read_text())
        (path / "config.yaml").write_text(yaml.safe_dump({**data, "schema": SCHEMA + 1}))
    elif what == "weights":
        state = torch.load(path / "checkpoint.pt", weights_only=True)
        torch.save({**state, "schema": WEIGHTS_SCHEMA + 1}, path / "checkpoint.pt")
    else:
        metrics = json.loads((path / "metrics.json").read_text())
        metrics["train"]["schema"] = door.SCHEMA + 1
        (path / "metrics.json").write_text(json.dumps(metrics))
    assert command_line(["fsck", str(path)]) == 1
    said = capsys.readouterr().out
    assert "update equiwm" in said or "install a later equiwm" in said
