"""The command line: what each command prints and writes, how it exits, and how it refuses what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import typer
import yaml

from equiwm.cli.app import PANELS, app
from equiwm.cli.main import run
from equiwm.cli.options import parse_seeds
from equiwm.config import preset_names
from equiwm.errors import ConfigError
from equiwm.runs import Run

COMMANDS = tuple(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
QUICK_SWEEP = ("--bins", "4", "--transitions", "40")
QUICK_VERIFY = ("--samples", "4")


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    status: int
    out: str
    err: str


@pytest.fixture
def equiwm(capsys) -> Callable[..., Outcome]:
    """Runs one command line in this process."""

    def call(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


def assignments(*settings: str) -> list[str]:
    """`--set` arguments of the section training."""
    return [part for setting in settings for part in ("--set", f"training.{setting}")]


def strict(text: str) -> object:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def assert_refused(outcome: Outcome, *words: str) -> None:
    """Status 2, at most two lines on stderr, nothing on stdout, no traceback."""
    assert outcome.status == 2, outcome
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert 1 <= len(lines) <= 2, outcome.err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in outcome.err, outcome.err


def assert_valid_markdown(text: str) -> int:
    """Every table has a heading, a rule and rows of one width. Gives the number of tables."""
    tables = 0
    lines = text.splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] if line.startswith("|") else [] for line in lines]
    for index, cells in enumerate(rows):
        starts = cells and (index == 0 or not rows[index - 1])
        if starts:
            tables += 1
            assert all(re.fullmatch(r" ?-{3,}:? ?", cell) for cell in rows[index + 1]), lines[index + 1]
            assert index == 0 or lines[index - 1] == "", "a table needs an empty line before it"
        elif cells:
            assert len(cells) == len(rows[index - 1]), lines[index]
    assert "\x1b" not in text
    return tables


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(equiwm, command):
    outcome = equiwm(command, "--help")
    assert outcome.status == 0
    assert "Example" in outcome.out
    assert f"equiwm {command}" in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loses_no_words_in_brackets(equiwm, command, monkeypatch):
    """Rich takes `[word]` for markup, unless it is escaped."""
    monkeypatch.setenv("COLUMNS", "200")
    shown = " ".join(re.sub(r"[│\s]+", " ", equiwm(command, "--help").out).split())
    for option in typer.main.get_command(app).commands[command].params:  # type: ignore[attr-defined]
        words = getattr(option, "help", None) or ""
        assert " ".join(words.replace("\\[", "[").split()) in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_help_on_80_columns_cuts_nothing(equiwm, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = equiwm(command, "--help").out
    assert "…" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_help_lists_the_commands(equiwm):
    outcome = equiwm("--help")
    assert outcome.status == 0
    for command in COMMANDS:
        assert command in outcome.out


def test_help_has_a_panel_for_each_user_and_a_line_for_each_command(equiwm, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = equiwm("--help").out.splitlines()
    for panel in PANELS:
        assert sum(line.startswith(f"╭─ {panel} ") for line in lines) == 1
    assert not any(line.startswith("╭─ Commands ") for line in lines)  # a command that no panel was chosen for
    shown = [line.strip("│ ") for line in lines[next(k for k, line in enumerate(lines) if PANELS[0] in line) :]]
    entries = [line for line in shown if line and line[0] not in "╭╰"]
    assert sorted(line.split()[0] for line in entries) == sorted(COMMANDS)  # no line that goes on with the one above
    assert all(line.endswith((".", "?")) for line in entries)


def test_without_a_command_the_help_is_shown(equiwm):
    outcome = equiwm()
    assert outcome.status == 2
    assert PANELS[0] in outcome.out + outcome.err


def test_the_version_is_shown(equiwm):
    outcome = equiwm("--version")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"equiwm {version('equiwm')} (torch ")


def test_commands_and_presets_are_completed():
    """As a shell asks: with the words so far in the environment."""
    asked = {**os.environ, "_EQUIWM_COMPLETE": "complete_bash", "COMP_CWORD": "1", "COMP_WORDS": "equiwm che"}
    told = subprocess.run(command(), env=asked, check=True, capture_output=True, text=True)
    assert sorted(told.stdout.split()) == ["check-data", "check-world"]
    asked |= {"COMP_CWORD": "3", "COMP_WORDS": "equiwm train --preset vn-field"}
    told = subprocess.run(command(), env=asked, check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["vn-field-2d", "vn-field-3d"]


# Presets


def test_presets_are_listed_a_line_each(equiwm):
    outcome = equiwm("presets")
    assert outcome.status == 0
    assert assert_valid_markdown(outcome.out) == 1
    for name in preset_names():
        assert f"| {name} |" in outcome.out


def test_presets_as_json(equiwm):
    presets = strict(equiwm("presets", "--json").out)
    assert [entry["preset"] for entry in presets] == preset_names()
    assert all(entry["description"] for entry in presets)
    known = set(preset_names())
    assert {entry["baseline"] for entry in presets} <= {*known, None}


# Training


def test_train_writes_a_run_and_prints_it(equiwm, tiny, tmp_path):
    outcome = equiwm("train", "--out", tmp_path / "runs", *tiny)
    run_ = Run(tmp_path / "runs" / "vn-2d")
    assert outcome.status == 0
    assert assert_valid_markdown(outcome.out) == 1
    assert "74,880" in outcome.out
    assert outcome.err == f"run: {run_.path}\n"
    present = {path.name for path in run_.path.iterdir() if not path.name.startswith(".")}
    assert present == {"checkpoint.pt", "config.yaml", "history.csv", "metrics.json", "summary.txt", "summary.svg"}
    config = yaml.safe_load(run_.config_path.read_text())
    assert config["kind"] == "train"
    assert config["preset"] == "vn-2d"
    assert config["seed"] == 0
    assert set(config) >= {"world", "model", "training", "versions", "command"}
    assert config["training"]["epochs"] == 2
    text = run_.summary.read_text()
    assert "\x1b" not in text
    assert "74,880" in text
    assert "<svg" in run_.summary_svg.read_text()[:200]


def test_train_as_json(equiwm, tiny, tmp_path):
    outcome = equiwm("train", "--preset", "mlp-2d", "--out", tmp_path, "--json", *tiny)
    printed = strict(outcome.out)
    assert outcome.status == 0
    assert printed == Run(tmp_path / "mlp-2d").metrics()["train"]


def test_train_names_runs_by_preset_and_seed(equiwm, tiny, tmp_path):
    assert equiwm("train", "--seed", "3", "--out", tmp_path, *tiny).status == 0
    assert equiwm("train", "--name", "my run ü", "--out", tmp_path, *tiny).status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my run ü", "vn-2d-s3"]
    assert Run(tmp_path / "vn-2d-s3").header.seed == 3


def test_two_trainings_are_identical_but_for_times(equiwm, tiny, tmp_path, trained):
    assert equiwm("train", "--out", tmp_path, *tiny).status == 0
    first, second = (Run(folder / "vn-2d").metrics() for folder in (tmp_path, trained))
    for metrics in (first, second):
        for key in ("seconds", "steps_seconds"):
            assert metrics["train"].pop(key) >= 0
    assert first == second
    assert (tmp_path / "vn-2d" / "history.csv").read_bytes() == (trained / "vn-2d" / "history.csv").read_bytes()


def test_evaluations_are_identical(equiwm, copy_run):
    texts = []
    for name in ("a", "b"):
        path = copy_run("vn-2d", name)
        assert equiwm("verify-equivariance", path, *QUICK_VERIFY).status == 0
        assert equiwm("sweep-group", path, *QUICK_SWEEP).status == 0
        texts.append((path / "metrics.json").read_bytes())
    assert texts[0] == texts[1]


def test_settings_come_from_preset_then_file_then_set(equiwm, tiny, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("training: {lr: 0.01, ema: 0.5}\nmodel: {latent: 64}\n")
    arguments = ("--config", file, "--set", "training.lr=5e-3", "--set", "model.encoder_widths=[16]")
    assert equiwm("train", "--out", tmp_path, *tiny, *arguments).status == 0
    config = Run(tmp_path / "vn-2d").config
    assert (config.training.lr, config.training.ema) == (5e-3, 0.5)
    assert (config.model.latent, config.model.encoder_widths) == (64, (16,))


def test_a_run_that_exists_is_never_overwritten(equiwm, tiny, copy_run, snapshot):
    path = copy_run()
    before = snapshot(path.parent)
    assert_refused(equiwm("train", "--out", path.parent, *tiny), "exists", "--resume", "--name")
    assert snapshot(path.parent) == before


def test_resuming_a_complete_run_does_nothing(equiwm, tmp_path):
    settings = assignments("transitions=200", "epochs=2", "batch=64")
    assert equiwm("train", "--out", tmp_path, *settings).status == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    outcome = equiwm("train", "--out", tmp_path, "--resume", "--json", *settings)
    assert outcome.status == 0
    assert "complete; nothing to do" in outcome.err
    assert strict(outcome.out) == Run(tmp_path / "vn-2d").metrics()["train"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_resume_starts_what_is_not_there(equiwm, tiny, tmp_path):
    assert equiwm("train", "--out", tmp_path, "--resume", *tiny).status == 0
    assert Run(tmp_path / "vn-2d").state == "complete"


def test_resuming_with_another_configuration_is_refused(equiwm, tiny, copy_run, snapshot):
    path = copy_run()
    before = snapshot(path)
    outcome = equiwm("train", "--out", path.parent, "--resume", *tiny, "--set", "training.epochs=9")
    assert_refused(outcome, "configuration changed", "training.epochs (was 2, now 9)")
    assert snapshot(path) == before


def test_several_seeds(equiwm, tiny, tmp_path):
    outcome = equiwm("train", "--seeds", "0-1", "--jobs", "2", "--out", tmp_path, *tiny)
    assert outcome.status == 0
    assert assert_valid_markdown(outcome.out) == 1
    assert "median" in outcome.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vn-2d", "vn-2d-s1"]
    for seed, name in enumerate(("vn-2d", "vn-2d-s1")):
        entry = Run(tmp_path / name)
        assert entry.state == "complete"
        assert entry.header.seed == entry.metrics()["train"]["seed"] == seed
        assert entry.summary.is_file()
    again = equiwm("train", "--seeds", "0-1", "--resume", "--json", "--out", tmp_path, *tiny)
    assert again.status == 0
    assert [entry["seed"] for entry in strict(again.out)] == [0, 1]


def test_several_seeds_are_those_of_single_runs(equiwm, tiny, tmp_path, trained):
    assert equiwm("train", "--seeds", "0,2", "--out", tmp_path, *tiny).status == 0
    one, other = (torch.load(folder / "vn-2d" / "checkpoint.pt") for folder in (tmp_path, trained))
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])


def test_several_seeds_refuse_before_anything_is_written(equiwm, tiny, copy_run, snapshot):
    path = copy_run("vn-2d", "vn-2d-s1")
    before = snapshot(path.parent)
    assert_refused(equiwm("train", "--seeds", "0-2", "--out", path.parent, *tiny), "vn-2d-s1", "exists")
    assert_refused(equiwm("train", "--seeds", "3-4", "--jobs", "0", "--out", path.parent, *tiny), "--jobs: got 0")
    assert snapshot(path.parent) == before


def test_a_seed_that_diverges_fails_and_the_others_are_kept(equiwm, tmp_path):
    settings = ["transitions=100", "batch=50", "epochs=30", "optimizer=sgd", "lr=3.0"]
    arguments = assignments(*settings)
    for seeds in (["--seed", "0"], ["--seeds", "1-2"]):
        outcome = equiwm("train", "--preset", "mlp-2d", *seeds, "--out", tmp_path, *arguments)
        assert outcome.status == 1
        assert "diverged" in outcome.err
        assert "Traceback" not in outcome.err
        assert len(outcome.err.splitlines()) <= 2
    assert [Run(path).state for path in sorted(tmp_path.iterdir())] == ["incomplete"] * 3


def test_seeds_are_parsed():
    assert parse_seeds("0-2,7, 7,1") == [0, 1, 2, 7]
    for text in ("", "a", "2-1", "-1", "1-", "0,,1", "1.5", str(2**32)):
        with pytest.raises(ConfigError, match="--seeds"):
            parse_seeds(text)


# Verification


def test_verify_passes_and_records(equiwm, copy_run):
    path = copy_run()
    outcome = equiwm("verify-equivariance", path, *QUICK_VERIFY)
    assert outcome.status == 0
    assert assert_valid_markdown(outcome.out) == 2
    assert "Verdict: EXACT" in outcome.out
    double = equiwm("verify-equivariance", path, *QUICK_VERIFY, "--dtype", "float64", "--json")
    metrics = Run(path).metrics()["verify_equivariance"]
    assert set(metrics["variants"]) == {"so2/float32", "so2/float64"}
    printed = strict(double.out)
    assert printed == metrics["variants"]["so2/float64"]
    assert {key: value for key, value in metrics.items() if key != "variants"} == printed
    names = {"encoder", "predictor", "composed", "max_abs", "relative_composed", "cost_drift"}
    assert all(names <= set(printed[part]) for part in ("init", "trained", "control"))
    assert "float64" in (path / "summary.txt").read_text()


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_verify_fails_an_ordinary_network(equiwm, copy_run, arguments):
    outcome = equiwm("verify-equivariance", copy_run("mlp-2d"), *QUICK_VERIFY, *arguments)
    assert outcome.status == 1
    assert "broken" in outcome.out.lower()


def test_verify_fails_by_tolerance(equiwm, copy_run):
    assert equiwm("verify-equivariance", copy_run(), *QUICK_VERIFY, "--tolerance", "1e-12").status == 1


def test_a_study_of_optimisers(equiwm, copy_run, snapshot):
    path = copy_run()
    before = snapshot(path)
    arguments = ("verify-equivariance", path, *QUICK_VERIFY, "--optimizers", "adam,rmsprop")
    outcome = equiwm(*arguments)
    study = path.with_name("vn-2d-optimizers")
    assert outcome.status == 0, outcome
    assert assert_valid_markdown(outcome.out) == 1
    assert snapshot(path) == before
    assert Run(study).header.kind == "study"
    assert not (study / "checkpoint.pt").exists()
    rows = Run(study).metrics()["verify_equivariance"]["rows"]
    assert [row["optimizer"] for row in rows] == ["adam", "rmsprop"]
    assert all(row["passed"] and row["float64"] <= 1e-10 for row in rows)
    assert_refused(equiwm(*arguments), "exists", "--resume")
    again = equiwm(*arguments, "--resume", "--json")
    assert again.status == 0
    assert strict(again.out)["rows"] == rows
    assert_refused(equiwm(*arguments[:-1], "sgd", "--resume"), "configuration changed")
    assert_refused(equiwm("verify-equivariance", study), "is a study", "no checkpoint")
    assert_refused(equiwm("sweep-group", study), "is a study")


def test_a_study_beside_a_run_that_is_the_working_directory(equiwm, copy_run, monkeypatch):
    path = copy_run()
    monkeypatch.chdir(path)
    assert equiwm("verify-equivariance", ".", *QUICK_VERIFY, "--optimizers", "adam").status == 0
    assert path.with_name("vn-2d-optimizers").is_dir()
    assert not (path / "vn-2d-optimizers").exists()


@pytest.mark.parametrize("optimizers", ["adma", "adam,", "ALL"])
def test_unknown_optimisers(equiwm, copy_run, snapshot, optimizers):
    path = copy_run()
    before = snapshot(path.parent)
    assert_refused(equiwm("verify-equivariance", path, "--optimizers", optimizers), "unknown optimizer")
    assert_refused(equiwm("verify-equivariance", path, "--optimizers", "adam", "--jobs", "0"), "--jobs")
    assert_refused(equiwm("verify-equivariance", path, "--optimizers", "adam", "--group", "so3"), "SO(3)")
    assert snapshot(path.parent) == before


# Sweeps


def test_sweep_prints_records_and_draws(equiwm, copy_run):
    path, baseline = copy_run(), copy_run("mlp-2d")
    outcome = equiwm("sweep-group", path, *QUICK_SWEEP, "--baseline", baseline)
    assert outcome.status == 0
    assert assert_valid_markdown(outcome.out) >= 2
    entry = Run(path).metrics()["sweep_group"]
    assert [bin_["label"] for bin_ in entry["bins"]] == ["0", "90", "180", "270"]
    assert {"group", "bins", "seen", "worst_ood", "ood_factor", "flatness", "readout"} <= set(entry)
    beside = entry["baseline"]
    assert (beside["name"], beside["preset"], beside["train_seed"]) == ("mlp-2d", "mlp-2d", 0)
    assert beside["checkpoint_sha256"] == Run(baseline).checkpoint_sha256()
    assert entry["ood_factor"] < 1.001 < beside["ood_factor"]
    figures = sorted(file.name for file in (path / "figures").iterdir())
    assert figures == ["sweep_so2_float32.csv", "sweep_so2_float32.png", "sweep_so2_float32.svg"]
    assert (path / "figures" / figures[1]).read_bytes().startswith(b"\x89PNG")
    rows = (path / "figures" / figures[0]).read_text().splitlines()
    assert len(rows) == 1 + 2 * 4
    assert not (baseline / "figures").exists()


def test_a_baseline_of_the_same_name_is_told_apart(equiwm, copy_run, tmp_path):
    path, baseline = copy_run(), copy_run("mlp-2d", "elsewhere")
    baseline = baseline.rename(tmp_path / "vn-2d")
    outcome = equiwm("sweep-group", path, *QUICK_SWEEP, "--baseline", baseline)
    assert "| vn-2d | vn-2d (baseline) |" in outcome.out
    assert "| parameters | 74,880 | 167,424 |" in outcome.out
    assert "vn-2d (baseline)" in (path / "figures" / "sweep_so2_float32.csv").read_text()


def test_sweep_as_json(equiwm, copy_run):
    path = copy_run("vn-2d-forward")
    printed = strict(equiwm("sweep-group", path, *QUICK_SWEEP, "--json").out)
    stored = Run(path).metrics()["sweep_group"]
    assert printed == {key: value for key, value in stored.items() if key != "variants"}
    assert set(printed["bins"][0]["components"]) == {
        "agent_position",
        "agent_velocity",
        "block_position",
        "block_direction",
    }


def test_expect_invariant(equiwm, copy_run):
    assert equiwm("sweep-group", copy_run(), *QUICK_SWEEP, "--expect-invariant").status == 0
    outcome = equiwm("sweep-group", copy_run("mlp-2d"), *QUICK_SWEEP, "--expect-invariant")
    assert outcome.status == 1
    assert "not invariant" in outcome.err
    assert equiwm("sweep-group", copy_run("mlp-2d-forward"), *QUICK_SWEEP).status == 0


@pytest.mark.parametrize("command", [("verify-equivariance", *QUICK_VERIFY), ("sweep-group", *QUICK_SWEEP)])
def test_out_leaves_the_run_untouched(equiwm, copy_run, snapshot, tmp_path, command):
    path = copy_run()
    before = snapshot(path)
    elsewhere = tmp_path / "new" / "folder"
    assert equiwm(command[0], path, *command[1:], "--out", elsewhere).status == 0
    assert snapshot(path) == before
    section = command[0].replace("-", "_")
    assert section in json.loads((elsewhere / "metrics.json").read_text())
    assert (elsewhere / "figures").exists() == (section == "sweep_group")


def test_a_run_can_be_moved(equiwm, copy_run, tmp_path):
    """Self-contained: copied anywhere, under another name, every command still works on it."""
    path = copy_run().rename(tmp_path / "a new name, ü")
    assert equiwm("verify-equivariance", path, *QUICK_VERIFY).status == 0
    assert equiwm("sweep-group", path, *QUICK_SWEEP).status == 0
    assert "a new name, ü" in equiwm("report", path).out


# Wrong input: status 2, one or two lines, nothing written, nothing lost


WRONG_TRAININGS = {
    "unknown preset": (["--preset", "vn2d"], ["unknown preset 'vn2d'", "did you mean vn-2d"]),
    "nothing like a preset": (["--preset", "zzz"], ["unknown preset 'zzz'", "known:", "mlp-2d"]),
    "unknown key": (["--set", "training.epoch=3"], ["unknown key 'training.epoch'", "did you mean epochs"]),
    "unknown section": (["--set", "trainin.epochs=3"], ["unknown section", "did you mean training"]),
    "no section": (["--set", "epochs=3"], ["section.key=value"]),
    "no value": (["--set", "training.epochs"], ["section.key=value"]),
    "wrong type": (["--set", "training.epochs=three"], ["training.epochs", "'three'", "expected int"]),
    "a fraction for an int": (["--set", "training.epochs=1.5"], ["training.epochs", "1.5"]),
    "a truth for an int": (["--set", "training.epochs=true"], ["training.epochs", "True"]),
    "too small": (["--set", "training.epochs=0"], ["training.epochs", "at least 1"]),
    "not finite": (["--set", "training.lr=.inf"], ["training.lr", "inf"]),
    "not a number": (["--set", "training.weight_decay=.nan"], ["training.weight_decay", "nan"]),
    "not a choice": (["--set", "training.optimizer=lion"], ["training.optimizer", "muon"]),
    "a tag": (["--set", "training.lr=!!python/object:os.system x"], ["cannot read the value"]),
    "an odd latent": (["--set", "model.latent=127"], ["model.latent", "d = 2"]),
    "a contradiction": (["--set", "model.encoder=identity"], ["objective", "identity"]),
    "a batch beyond the data": (["--set", "training.batch=99999"], ["training.batch"]),
    "an empty wedge": (["--set", "world.wedge=[90, 0]"], ["world.wedge"]),
    "a short wedge": (["--set", "world.wedge=[90]"], ["world.wedge", "length 2"]),
    "unknown world": (["--set", "world.name=push"], ["unknown world 'push'", "pusht"]),
    "no such file": (["--config", "nothing.yaml"], ["no such file: nothing.yaml"]),
    "no such device": (["--device", "tpu"], ["--device", "tpu"]),
    "a negative seed": (["--seed", "-1"], ["--seed"]),
    "a huge seed": (["--seed", str(2**64)], ["--seed"]),
    "seeds and seed": (["--seeds", "0-1", "--seed", "1"], ["--seed or --seeds"]),
    "no seeds": (["--seeds", "x"], ["--seeds", "0-4"]),
    "no jobs": (["--seeds", "0-1", "--jobs", "-2"], ["--jobs"]),
    "a path for a name": (["--name", "a/b"], ["--name", "a/b"]),
    "a hidden name": (["--name", ".a"], ["--name"]),
    "unknown option": (["--epochs", "3"], ["--epochs", "equiwm train --help"]),
    "an argument too many": (["vn-2d"], ["vn-2d"]),
}


@pytest.mark.parametrize("case", WRONG_TRAININGS)
def test_wrong_trainings(equiwm, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    arguments, words = WRONG_TRAININGS[case]
    assert_refused(equiwm("train", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there(equiwm, tmp_path):
    assert_refused(equiwm("train", "--device", "cuda", "--out", tmp_path), "no cuda device", "--device cpu")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trainign: {epochs: 3}", ["unknown section 'trainign'", "did you mean training"]),
        ("training: {epoch: 3}", ["unknown key 'training.epoch'"]),
        ("training: 3", ["section 'training'"]),
        ("- training", ["sections with keys"]),
        ("training: [", ["cannot read", "YAML"]),
        ("\0", ["cannot read", "YAML"]),
    ],
)
def test_wrong_config_files(equiwm, tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text)
    outcome = equiwm("train", "--config", tmp_path / "mine.yaml", "--out", tmp_path / "runs")
    assert_refused(outcome, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_file_in_the_way(equiwm, tiny, tmp_path, copy_run, snapshot):
    path = copy_run()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "vn-2d").mkdir()
    (tmp_path / "folder" / "vn-2d" / "thesis.txt").write_text("mine")
    before = snapshot(tmp_path)
    assert_refused(equiwm("train", "--out", tmp_path / "file", *tiny), "cannot make the run", "--out")
    assert_refused(equiwm("train", "--out", tmp_path, "--name", "file", *tiny), "is a file")
    assert_refused(equiwm("train", "--out", tmp_path / "folder", *tiny), "not a run")
    assert_refused(equiwm("verify-equivariance", path, *QUICK_VERIFY, "--out", tmp_path / "file"), "cannot write")
    assert_refused(equiwm("sweep-group", path, *QUICK_SWEEP, "--out", tmp_path / "file" / "x"), "cannot write")
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(equiwm, tiny, tmp_path, copy_run):
    path = copy_run()
    path.chmod(0o555)
    tmp_path.chmod(0o555)
    try:
        assert_refused(equiwm("train", "--out", tmp_path, *tiny), "cannot make the run")
        assert_refused(equiwm("verify-equivariance", path, *QUICK_VERIFY), "cannot write")
    finally:
        tmp_path.chmod(0o755)
        path.chmod(0o755)


def break_checkpoint(path: Path, how: str) -> None:
    checkpoint = path / "checkpoint.pt"
    whole = checkpoint.read_bytes()
    if how == "truncated":
        checkpoint.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        checkpoint.write_bytes(b"")
    elif how == "text":
        checkpoint.write_text("not a checkpoint")
    elif how == "one bit flipped":
        checkpoint.write_bytes(
            whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :]
        )
    elif how == "a folder":
        checkpoint.unlink()
        checkpoint.mkdir()
    else:
        state = torch.load(checkpoint, weights_only=True)
        name = next(iter(state["model"]))
        other = {
            "a list": [1, 2],
            "foreign": {"state_dict": state["model"]},
            "other reps": {**state, "reps": {**state["reps"], "latent": "32x1o"}},
            "odd reps": {**state, "reps": 3},
            "a later schema": {**state, "schema": 99},
            "a missing layer": {**state, "model": {k: v for k, v in state["model"].items() if k != name}},
            "another shape": {**state, "model": {**state["model"], name: torch.ones(1, 1)}},
            "not finite": {**state, "model": {**state["model"], name: state["model"][name] * float("nan")}},
            "code": {**state, "extra": Path("/")},
        }[how]
        torch.save(other, checkpoint)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", ["damaged"]),
        ("empty", ["damaged"]),
        ("text", ["damaged"]),
        ("one bit flipped", ["damaged"]),
        ("a folder", ["incomplete"]),
        ("a list", ["not written by equiwm"]),
        ("foreign", ["not written by equiwm"]),
        ("other reps", ["does not fit", "32x1o"]),
        ("odd reps", ["not written by equiwm"]),
        ("a later schema", ["schema 99", "update"]),
        ("a missing layer", ["does not fit"]),
        ("another shape", ["does not fit"]),
        ("not finite", ["not finite"]),
        ("code", ["damaged or was not written by equiwm"]),
    ],
)
def test_broken_checkpoints(equiwm, copy_run, snapshot, how, words):
    path, good = copy_run("vn-2d", "broken"), copy_run()
    break_checkpoint(path, how)
    before = snapshot(path.parent)
    for arguments in (
        ("verify-equivariance", path),
        ("verify-equivariance", path, "--optimizers", "adam"),
        ("sweep-group", path),
        ("sweep-group", good, "--baseline", path),
    ):
        assert_refused(equiwm(*arguments), "broken", *words)
    assert snapshot(path.parent) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainign": {}}, ["unknown key 'trainign'"]),
        ({"training": {"epoch": 3}}, ["unknown key 'training.epoch'"]),
        ({"model": {"latent": "big"}}, ["model.latent", "'big'"]),
        ({"model": {"latent": 64}}, ["does not belong to", "another configuration"]),
        ({"world": {"name": "moon"}}, ["unknown world 'moon'"]),
        ({"seed": "one"}, ["seed", "'one'"]),
        ({"kind": "party"}, ["kind", "'party'"]),
        ({"schema": 99}, ["schema 99"]),
    ],
)
def test_broken_configs(equiwm, copy_run, snapshot, change, words):
    path = copy_run()
    config = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump({**config, **change}))
    before = snapshot(path)
    for arguments in (("verify-equivariance", path), ("sweep-group", path)):
        assert_refused(equiwm(*arguments), *words)
    assert snapshot(path) == before


def test_runs_that_are_none(equiwm, tmp_path, snapshot):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    before = snapshot(tmp_path)
    for command in ("verify-equivariance", "sweep-group"):
        assert_refused(equiwm(command, tmp_path / "nothing"), "does not exist")
        assert_refused(equiwm(command, tmp_path / "folder"), "no config.yaml")
        assert_refused(equiwm(command, tmp_path / "file"), "it is a file")
        assert_refused(equiwm(command), "RUN")
    assert snapshot(tmp_path) == before


def test_an_incomplete_run_says_how_to_finish_it(equiwm, copy_run, snapshot):
    path = copy_run()
    (path / "checkpoint.pt").unlink()
    before = snapshot(path)
    for arguments in (("verify-equivariance", path), ("sweep-group", path)):
        assert_refused(equiwm(*arguments), "incomplete", "equiwm train --preset vn-2d", "--resume")
    assert snapshot(path) == before


@pytest.mark.parametrize("command", ["verify-equivariance", "sweep-group"])
@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("so3", ["SO(3)", "2D", "--group so2"]),
        ("se3", ["SE(3)", "--group so2"]),
        ("se2", ["translations", "--group so2"]),
        ("so4", ["unknown group 'so4'", "did you mean"]),
    ],
)
def test_groups_that_do_not_fit(equiwm, copy_run, snapshot, command, group, words):
    path = copy_run()
    before = snapshot(path)
    assert_refused(equiwm(command, path, "--group", group), *words)
    assert snapshot(path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify-equivariance", "--samples", "0"),
        ("verify-equivariance", "--samples", "many"),
        ("verify-equivariance", "--dtype", "float16"),
        ("verify-equivariance", "--tolerance", "-1"),
        ("verify-equivariance", "--tolerance", "nan"),
        ("verify-equivariance", "--seed", str(2**64)),
        ("sweep-group", "--bins", "1"),
        ("sweep-group", "--transitions", "1"),
        ("sweep-group", "--seed", "-1"),
    ],
)
def test_wrong_evaluation_options(equiwm, copy_run, snapshot, arguments):
    path = copy_run()
    before = snapshot(path)
    assert_refused(equiwm(arguments[0], path, *arguments[1:]), arguments[1], "--help")
    assert snapshot(path) == before


@pytest.mark.parametrize("name", ["trian", "verify", "nothing"])
def test_unknown_commands(equiwm, name):
    assert_refused(equiwm(name), f"No such command '{name}'")


def test_damaged_metrics_are_never_overwritten(equiwm, tiny, copy_run, snapshot):
    path = copy_run()
    (path / "metrics.json").write_text("{")
    before = snapshot(path)
    assert_refused(equiwm("verify-equivariance", path, *QUICK_VERIFY), "metrics.json", "damaged")
    after = snapshot(path)
    assert {name: after[name] for name in before} == before
    (path / "metrics.json").write_text("{}")
    outcome = equiwm("report", path)
    assert outcome.status == 0


def test_a_complete_run_that_lost_its_metrics(equiwm, tmp_path):
    settings = assignments("transitions=200", "epochs=2", "batch=64")
    assert equiwm("train", "--out", tmp_path, *settings).status == 0
    (tmp_path / "vn-2d" / "metrics.json").unlink()
    outcome = equiwm("train", "--out", tmp_path, "--resume", *settings)
    assert outcome.status == 2
    assert "lost its section 'train'" in outcome.err


# How commands end


def test_an_internal_error_is_ours(equiwm, trained, monkeypatch):
    def fault(*args, **options):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("equiwm.report.document.make_report", fault)
    outcome = equiwm("report", trained)
    assert outcome.status == 3
    assert "Traceback" in outcome.err
    assert "please report it" in outcome.err


def test_an_interruption_is_130(equiwm, trained, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("equiwm.report.document.make_report", interrupt)
    outcome = equiwm("report", trained)
    assert outcome.status == 130
    assert outcome.err.splitlines() == ["interrupted."]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from equiwm.cli.main import main; main()", *map(str, arguments)]


@pytest.mark.parametrize("arguments", [("presets", "--json"), ("presets",), ("train", "--help")])
def test_a_closed_pipe_is_no_error(arguments):
    """`equiwm presets | head -1`, whether the rest fits into a buffer or not."""
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(timeout=60)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_closed_pipe_does_not_hide_a_verdict(copy_run):
    with subprocess.Popen(
        command("verify-equivariance", copy_run("mlp-2d"), *QUICK_VERIFY), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(timeout=60)
    assert process.returncode == 1


@pytest.mark.slow
def test_a_struck_grid_of_seeds_goes_on(equiwm, tmp_path):
    settings = assignments("transitions=200", "epochs=30", "batch=32")
    arguments = ("train", "--seeds", "0-2", "--jobs", "2", "--out", tmp_path, *settings)
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "vn-2d" / "resume.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    outcome = equiwm(*arguments, "--resume", "--json")
    assert outcome.status == 0, outcome
    assert [entry["seed"] for entry in strict(outcome.out)] == [0, 1, 2]


@pytest.mark.slow
def test_help_is_fast():
    started = time.perf_counter()
    subprocess.run(command("--help"), check=True, capture_output=True)
    assert time.perf_counter() - started < 1.0
