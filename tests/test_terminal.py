"""What a terminal of 80 columns shows: every command, no line wider, no word or number broken, nothing left out."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from small import LOOP

from equiwm.cli.main import run as command
from equiwm.cli.output import print_tables, say
from equiwm.report.document import make_report
from equiwm.tables.table import Table

WIDTH = 80
REFERENCE = Path(__file__).resolve().parents[1] / "runs" / "reference"
PROBE = """
import torch
from equiwm import Probe
probe = Probe(lambda x: x.clamp(-0.2, 0.2), inputs=torch.randn(16, 3), group="o3", takes="1o", gives="1o")
"""
COMMANDS = (
    "train --preset vn-2d --name new TINY",
    "train --preset vn-2d --name two --seeds 2 TINY",
    "train --preset vn-2d --name new",
    "train --preset vn-2dd",
    "presets",
    "presets vn-2d",
    "report runs",
    "report runs/vn-2d",
    "report runs --tables train,one-stop",
    "fsck runs",
    "audit probe.py:probe --layers --symmetries",
    "check-world vn-2d --states 4",
    "discover vn-2d",
    "collect cart.yaml --episodes 3 --out episodes --format npz --quiet",
    "collect cart.yaml --episodes 3 --out runs --format npz",
    "check-data log.npz --guess",
    "check-data log.npz --group so2 --reps reps.yaml",
    "ablate sofd",
    "reproduce small:ROLLOUT --seeds 1 --jobs 1 --name small --quiet",
    "reproduce D",
    "compare runs/vn-2d-forward:LOOP runs/mlp-2d-forward:LOOP --episodes 2 --jobs 1 --quiet",
)
MEASURING = (
    "verify-equivariance runs/vn-2d --baseline runs/mlp-2d --quiet",
    "sweep-group runs/vn-2d --baseline runs/mlp-2d --bins 6 --transitions 40 --quiet",
    "sweep-group runs/vn-2d-forward --success --tasks 2 --bins 3 --baseline runs/mlp-2d-forward --jobs 1 --quiet",
    "rollout runs/vn-2d --horizons 1,2,4 --quiet",
    "closed-loop runs/vn-2d-forward --tasks 1 --orbit 90 --baseline runs/mlp-2d-forward --quiet",
    "export runs/vn-2d --out exported",
    "ablate small:ABLATIONS.soft --seeds 1 --jobs 1 --quiet",
)
CART = {
    "state": {
        "place": {"from": "observation", "entries": [0, 1], "rep": "1o"},
        "velocity": {"from": "observation", "entries": [2, 3], "rep": "1o"},
    },
    "action": {
        "push": {"from": "action", "entries": [0, 1], "rep": "1o"},
        "brake": {"from": "action", "entries": [2], "rep": "0e"},
    },
}
REPS = """
dimension: 2
episodes: {index: episode}
state: {position: {from: position, rep: 1o}, velocity: {from: velocity, rep: 1o}}
action: {action: {from: action, rep: 1o}}
"""
FIGURE = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, words: list[str], width: int = WIDTH) -> tuple[int, str, str]:
    """Exit status, stdout and stderr, without the escapes that colour them."""
    monkeypatch.setenv("COLUMNS", str(width))
    out, err = Terminal(), Terminal()
    with monkeypatch.context() as streams:
        streams.setattr(sys, "stdout", out)
        streams.setattr(sys, "stderr", err)
        status = command(words)
    plain = (re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", each.getvalue()).replace("\r", "\n") for each in (out, err))
    return (status, *plain)


@pytest.fixture(scope="module")
def place(trained, tmp_path_factory) -> Path:
    import shutil

    folder = tmp_path_factory.mktemp("terminal")
    shutil.copytree(trained, folder / "runs")
    (folder / "probe.py").write_text(PROBE)
    world = {"name": "gym", "env": "carts:Settable-v0", "reps": CART, "episode_steps": 6}
    (folder / "cart.yaml").write_text(json.dumps({"world": world}))
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(60, 2)) for name in ("position", "velocity", "action")}
    np.savez(folder / "log.npz", episode=np.repeat(np.arange(6), 10), **rows)
    (folder / "reps.yaml").write_text(REPS)
    return folder


@pytest.mark.parametrize(
    "words",
    [*COMMANDS, *(pytest.param(words, marks=pytest.mark.slow) for words in MEASURING)],
    ids=lambda words: words.replace(" ", "_")[:40],
)
def test_every_command_fits_on_80_columns(place, tiny, monkeypatch, words):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent / "outside")])
    words = words.replace("LOOP", ",".join(LOOP))
    arguments = [part for word in words.split() for part in (tiny if word == "TINY" else [word])]
    status, out, err = shown(monkeypatch, arguments)
    assert status in (0, 1, 2)
    assert out or err
    for line in (out + err).splitlines():
        assert len(line) <= WIDTH or "equiwm " in line, line  # a command stays in one piece, to be copied


@pytest.mark.parametrize("places", [("runs",), ("runs/vn-2d",)], ids=["folder", "run"])
def test_no_number_is_broken(place, monkeypatch, places):
    """Every number of the Markdown is on the terminal, as a word of its own."""
    monkeypatch.chdir(place)
    _, out, _ = shown(monkeypatch, ["report", *places])
    tables = [table for chapter in make_report([Path(each) for each in places]).chapters for table in chapter.tables]
    pieces = set(out.split())
    missing = [w for t in tables for row in t.rows for cell in row for w in cell.split() if FIGURE.fullmatch(w)]
    assert missing
    assert [word for word in missing if word not in pieces] == []


def test_rows_of_a_long_table_are_paragraphs(monkeypatch):
    headings = ("row", *(f"quantity number {k}" for k in range(9)))
    rows = [(f"A{j}", *(f"{k}.{j}e-07 [1.1, 9.9]" for k in range(9))) for j in range(30)]
    monkeypatch.setenv("COLUMNS", "80")
    for table, parts in ((Table("t", headings, rows), 0), (Table("t", headings, rows[:3]), 1)):
        stream = Terminal()
        print_tables([table], stream)
        printed = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
        assert ("(continued)" in printed) == bool(parts)
        assert all(len(line) <= 80 for line in printed.splitlines())
        assert {word for row in table.rows for cell in row for word in cell.split()} <= set(printed.split())
        if not parts:
            paragraph = printed[printed.index("  A7\n") : printed.index("  A8\n")]
            assert "quantity number 4: 4.7e-07 [1.1, 9.9]" in " ".join(paragraph.split())


def test_what_is_said_is_wrapped_between_words_and_a_command_stays_whole(monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stderr", stream)
    say("a sentence with 1.234567e-07 and other numbers 7.654321e-08 in it")
    resume = "go on with: equiwm train --preset vn-2d --set training.epochs=2 --resume"
    say(resume)
    lines = stream.getvalue().splitlines()
    assert all(len(line) <= 40 for line in lines[:-1])
    assert {"1.234567e-07", "7.654321e-08"} <= set(stream.getvalue().split())
    assert lines[-1] == resume


# Studies and single runs


def test_a_study_is_one_entry_among_other_runs(everything, monkeypatch, capsys):
    report = make_report([everything])
    (table,) = next(chapter.tables for chapter in report.chapters if chapter.section == "studies-here")
    (row,) = table.rows
    assert row[:2] == ("ablate-augmentation", "Is it 100% & enough?")
    assert row[3] == f"equiwm report {everything / 'ablate-augmentation'}"
    assert not [each for chapter in report.chapters for each in chapter.tables if "field in 2D" in each.title]
    opened = make_report([everything, everything / "ablate-augmentation"])
    titles = [each.title for chapter in opened.chapters for each in chapter.tables]
    assert any("field in 2D" in title for title in titles)
    assert "Studies in these folders" not in titles


def test_the_reference_does_not_swamp():
    if not REFERENCE.is_dir():
        pytest.skip("needs a checkout, which has the reference runs")
    report = make_report([REFERENCE.parent])
    row = next(
        row
        for chapter in report.chapters
        if chapter.section == "studies-here"
        for row in chapter.tables[0].rows
        if row[0] == "reference"
    )
    assert re.fullmatch(r"\d+ of \d+ statements hold", row[2])
    assert row[3].startswith("equiwm report ")
    assert sum(len(chapter.tables) for chapter in make_report([REFERENCE]).chapters) > 50


def test_a_single_run_begins_with_its_summary_and_ends_with_what_is_next(everything):
    chapters = make_report([everything / "vn-2d"]).chapters
    (summary,), (following,) = chapters[0].tables, chapters[-1].tables
    told = dict(summary.rows)
    assert told["preset"] == "vn-2d"
    assert told["verify-equivariance so2/float32"].startswith("exact; after training: 1.00e-07")
    assert told["rollout so2/float32"] == "OOD factor at 4: 1.00000; residual at 4: 2.00e-07"
    assert [row[0].split()[1] for row in following.rows] == ["sweep-group", "report", "export"]
    assert following.rows[0][0].split()[2] == "--success"


def test_what_is_next_is_what_has_not_been_measured(make):
    run = make.pair()
    rows = make_report([run.path]).chapters[-1].tables[0].rows
    measures = ["verify-equivariance", "rollout", "closed-loop", "sweep-group"]
    assert [row[0].split()[1] for row in rows] == [*measures, "report", "export"]
    assert all(str(run.path) in row[0] for row in rows)
    assert make_report([make.folder]).chapters[0].section != "summary"
