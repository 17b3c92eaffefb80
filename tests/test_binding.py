"""Weights, configuration, history and results belong together, or are refused by name."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from equiwm.cli.main import run as command_line
from equiwm.config import load
from equiwm.disk import files
from equiwm.disk.files import write_atomic
from equiwm.errors import ConfigError, EquiwmError, RunError
from equiwm.layout.history import read_history
from equiwm.loading import load_run, save_subject
from equiwm.runs import Run
from equiwm.tensors import read_tensors
from equiwm.training.run import NoProgress, prepare_run, train_run

SETTINGS = (
    *("training.transitions=64", "training.epochs=3", "training.batch=32"),
    *("model.latent=4", "model.encoder_widths=[4]", "model.predictor_widths=[4]"),
)
CONFIG = load("mlp-2d", None, SETTINGS)
CPU = torch.device("cpu")


class Keeping(NoProgress):
    """Keeps a copy of `resume.pt` and `history.csv` as they stood after two epochs, where a kill would leave them."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def epoch(self, done: int, total: int, loss: float) -> None:
        if done == 2:
            for file in (self.run.resume_point, self.run.history_path):
                shutil.copy(file, self.run.path.parent / f"{self.run.name}-{file.name}")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> Path:
    """Two seeds of a tiny run, and what a kill after the second epoch leaves of each."""
    folder = tmp_path_factory.mktemp("seeds")
    for seed in (0, 1):
        run = prepare_run(CONFIG, folder, f"s{seed}", seed=seed, resume=False, command=["equiwm", "train"])
        train_run(run, device=CPU, progress=Keeping(run))
    return folder


@pytest.fixture
def complete(seeds, tmp_path) -> Run:
    return Run(Path(shutil.copytree(seeds / "s0", tmp_path / "s0")))


@pytest.fixture
def killed(seeds, complete) -> Run:
    """The same run, killed after the second epoch."""
    for file in (complete.checkpoint, complete.metrics_path):
        file.unlink()
    for file in (complete.resume_point, complete.history_path):
        shutil.copy(seeds / f"s0-{file.name}", file)
    return complete


def refused(action: Callable[[], object], kind: type[EquiwmError] = RunError) -> str:
    with pytest.raises(kind) as caught:
        action()
    text = str(caught.value)
    assert text.count("\n") <= 1
    return text


def resume(run: Run, seed: int = 0) -> None:
    train_run(prepare_run(run.config, run.path.parent, run.name, seed=seed, resume=True), device=CPU)


def edit(run: Run, change: Callable[[dict], object]) -> None:
    data = yaml.safe_load(run.config_path.read_text())
    change(data)
    run.config_path.write_text(yaml.safe_dump(data))


def rewritten(path: Path, change: Callable[[dict], object]) -> None:
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


# Configuration


def test_a_checkpoint_of_another_seed_is_refused_by_every_reader(seeds, complete, snapshot):
    shutil.copy(seeds / "s1" / "checkpoint.pt", complete.checkpoint)
    before = snapshot(complete.path)
    for action in (lambda: load_run(complete.path), lambda: resume(Run(complete.path))):
        said = refused(action)
        assert f"{complete.checkpoint} does not belong to {complete.config_path}" in said
        assert "seed (was 1, now 0)" in said
    assert snapshot(complete.path) == before


def test_weights_of_an_edited_configuration_are_refused(complete, killed):
    edit(killed, lambda data: data["training"].update(lr=0.5))
    said = refused(lambda: resume(Run(killed.path)))
    assert str(killed.resume_point) in said
    assert "training.lr (was None, now 0.5)" in said


def test_a_checkpoint_under_an_edited_configuration_is_refused(complete):
    edit(complete, lambda data: data["world"].update(wedge=[0.0, 45.0]))
    assert "world.wedge" in refused(lambda: load_run(complete.path))


def test_name_place_and_description_bind_nothing(complete, tmp_path):
    edit(complete, lambda data: data.update(description="my best run", name="elsewhere"))
    moved = complete.path.rename(tmp_path / "moved")
    assert load_run(moved).seed == 0


def test_a_setting_of_a_later_version_changes_nothing(complete, monkeypatch):
    """What is bound is what stands in the file, not what the defaults of another version make of it."""
    before = complete.binding(None, None)
    monkeypatch.setattr("equiwm.config.parse", lambda data: pytest.fail("parsed"))
    assert Run(complete.path).binding(None, None) == before


def test_a_saved_subject_is_bound_too(complete, seeds, tmp_path):
    saved = save_subject(load_run(complete.path), tmp_path / "saved", "one")
    assert load_run(saved.path).checkpoint_sha256 == saved.checkpoint_sha256()
    shutil.copy(seeds / "s1" / "checkpoint.pt", saved.checkpoint)
    assert "seed (was 1, now 0)" in refused(lambda: load_run(saved.path))


@pytest.mark.parametrize("binding", [None, 3, {}, {"config_sha256": 1, "config": "", "epoch": 1}])
def test_weights_that_do_not_say_where_they_belong_are_refused(complete, binding):
    rewritten(complete.checkpoint, lambda state: state.update(binding=binding))
    assert "does not say which run" in refused(lambda: load_run(complete.path))


@pytest.mark.parametrize("schema", [-3, 0, True, "2", 99])
def test_other_schemas_of_weights_are_refused(complete, schema):
    rewritten(complete.checkpoint, lambda state: state.update(schema=schema))
    said = refused(lambda: load_run(complete.path))
    assert ("update equiwm" if schema == 99 else "not written by equiwm") in said


def test_an_old_checkpoint_is_taken_unless_results_say_otherwise(complete, seeds):
    def as_before(state: dict) -> None:
        state["schema"] = 1
        del state["binding"]

    rewritten(complete.checkpoint, as_before)
    assert "not the checkpoint that the results" in refused(lambda: load_run(complete.path))
    complete.metrics_path.unlink()
    assert load_run(complete.path).seed == 0


@pytest.mark.parametrize(("key", "value"), [("seed", -1), ("seed", 2**64), ("schema", -3), ("schema", 0)])
def test_numbers_that_are_none_are_refused(complete, key, value):
    edit(complete, lambda data: data.update({key: value}))
    said = refused(lambda: Run.open(complete.path), ConfigError)
    assert f"{key}: got {value}, expected" in said


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_no_run_is_made_with_such_a_seed(tmp_path, seed):
    with pytest.raises(ConfigError, match=f"seed: got {seed}, expected 0 to"):
        Run.create(tmp_path, "one", CONFIG.as_dict(), seed=seed)
    assert os.listdir(tmp_path) == []


# History


def test_a_killed_run_goes_on_to_the_same_bits(seeds, killed):
    resume(killed)
    for name in ("history.csv", "checkpoint.pt"):
        assert (killed.path / name).read_bytes() == (seeds / "s0" / name).read_bytes()


def test_a_row_more_than_the_weights_have_epochs_is_no_hole(seeds, killed):
    """History is written before resume.pt."""
    shutil.copy(seeds / "s0" / "history.csv", killed.history_path)
    resume(killed)
    assert [row["epoch"] for row in killed.history()] == [1, 2, 3]


def lines(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [rows[0], rows[2]], "no row for epoch 1"),
        (lambda rows: rows[:2], "no row for epoch 2"),
        (lambda rows: rows[:1], "no row for epoch 1 and 1 others"),
        (lambda rows: [*rows, rows[2]], "epoch 2 twice or out of order"),
        (lambda rows: [rows[0], rows[2], rows[1]], "epoch 1 twice or out of order"),
        (lambda rows: [f"{row.strip()},{row.split(',')[1]}\n" for row in rows], "column 'loss' twice"),
        (lambda rows: [rows[0], rows[1], rows[2].replace(".", ".1", 1)], "is not the history of"),
    ],
)
def test_a_history_that_is_not_the_one_is_refused(killed, snapshot, change, words):
    lines(killed.history_path, change)
    before = snapshot(killed.path)
    said = refused(lambda: resume(killed))
    assert words in said
    assert "estore" in said
    assert snapshot(killed.path) == before


def test_a_swapped_history_is_refused(seeds, killed):
    shutil.copy(seeds / "s1-history.csv", killed.history_path)
    assert "is not the history of" in refused(lambda: resume(killed))


def test_how_lines_end_binds_nothing(seeds, killed):
    killed.history_path.write_bytes(killed.history_path.read_bytes().replace(b"\n", b"\r\n"))
    resume(killed)
    assert killed.history_path.read_bytes() == (seeds / "s0" / "history.csv").read_bytes()


def test_a_complete_run_with_another_history_is_measured_with_a_word(seeds, complete):
    assert not load_run(complete.path).notice
    shutil.copy(seeds / "s1" / "history.csv", complete.history_path)
    assert "is not the history of" in (load_run(complete.path).notice or "")


@pytest.mark.parametrize("key", ["epoch", "seconds"])
@pytest.mark.parametrize("value", [-1, 99, True, None, float("nan")])
def test_a_resume_point_stands_at_an_epoch_of_its_training(killed, key, value):
    rewritten(killed.resume_point, lambda state: state.update({key: value}))
    assert str(killed.resume_point) in refused(lambda: resume(killed))


# Tensors


def _cast(dtype: torch.dtype) -> Callable[[dict[str, Tensor], str], object]:
    return lambda part, name: part.update({name: part[name].to(dtype)})


DAMAGES: dict[str, tuple[Callable[[dict[str, Tensor], str], object], str]] = {
    "int32": (_cast(torch.int32), "is int32, expected float32"),
    "bool": (_cast(torch.bool), "is bool, expected float32"),
    "half": (_cast(torch.float16), "is float16, expected float32"),
    "double": (_cast(torch.float64), "is float64, expected float32"),
    "complex": (_cast(torch.complex64), "is complex64, expected float32"),
    "missing": (lambda part, name: part.pop(name), "it has no tensor"),
    "too many": (lambda part, name: part.update(more=part[name]), "a tensor 'more' too many"),
    "shape": (lambda part, name: part.update({name: part[name][:1]}), "has shape"),
    "no tensor": (lambda part, name: part.update({name: 3}), "no named tensors"),
    "not finite": (lambda part, name: part[name].view(-1)[:1].fill_(float("inf")), "not finite"),
    "a claim": (lambda part, name: part.update({name: torch.zeros(1).expand(10**12)}), "damaged"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("part", ["model", "target"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_tensors_are_the_modules_or_refused_by_name(complete, damage, part, dtype):
    change, words = DAMAGES[damage]
    name = next(iter(torch.load(complete.checkpoint, weights_only=True)[part]))
    rewritten(complete.checkpoint, lambda state: change(state[part], name))
    assert words in refused(lambda: load_run(complete.path, dtype))


@pytest.mark.parametrize("part", ["model", "target"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_resume_point_is_checked_alike(killed, damage, part):
    change, words = DAMAGES[damage]
    name = next(iter(torch.load(killed.resume_point, weights_only=True)[part]))
    rewritten(killed.resume_point, lambda state: change(state[part], name))
    assert words in refused(lambda: resume(killed))


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda tensor: tensor.half(), "in float16"), (lambda tensor: tensor * float("nan"), "is no number")],
)
def test_an_optimiser_is_checked(killed, change, words):
    def damaged(state: dict) -> None:
        kept = state["optimizers"][0]["state"][0]
        kept.update({name: change(tensor) for name, tensor in kept.items() if isinstance(tensor, Tensor)})

    rewritten(killed.resume_point, damaged)
    assert words in refused(lambda: resume(killed))


# Archives


def test_a_packed_archive_is_refused_before_it_is_opened(tmp_path):
    """77 kB that are 80 MB: a second of unpacking, were it begun."""
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(80_000_000))
    assert path.stat().st_size < 100_000
    started = time.process_time()
    assert "damaged" in refused(lambda: read_tensors(path))
    assert time.process_time() - started < 0.1


def test_parts_that_overlap_are_refused(tmp_path):
    path = tmp_path / "overlap.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data/0", bytes(10_000))
        entry = archive.infolist()[0]
        for index in range(1, 500):
            copy = zipfile.ZipInfo(f"archive/data/{index}")
            copy.header_offset, copy.CRC = entry.header_offset, entry.CRC
            copy.file_size = copy.compress_size = entry.file_size
            archive.filelist.append(copy)
    assert "damaged" in refused(lambda: read_tensors(path))


def test_a_file_that_is_too_large_for_its_model_is_refused(complete):
    with complete.checkpoint.open("r+b") as file:
        file.truncate(2**33)
    assert "bytes, expected at most" in refused(lambda: load_run(complete.path))


def test_no_report_hashes_what_can_be_no_weights(complete, capsys):
    """A sparse file takes no space, and hours to read."""
    os.truncate(complete.checkpoint, 2**42)
    began = time.process_time()
    command_line(["report", str(complete.path)])
    assert "bytes, expected at most" in capsys.readouterr().err
    assert command_line(["fsck", str(complete.path), "--quiet"]) == 1
    assert "bytes, expected at most" in capsys.readouterr().out
    assert time.process_time() - began < 10


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_only_regular_files_are_read(complete, kind):
    complete.checkpoint.unlink()
    os.mkfifo(complete.checkpoint) if kind == "fifo" else complete.checkpoint.mkdir()
    assert "no regular file" in refused(lambda: read_tensors(complete.checkpoint))


def test_what_may_not_be_read_is_not_called_damaged(complete, monkeypatch):
    opened = os.open

    def forbidden(path, *arguments, **options):
        if str(path).endswith(".pt"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", forbidden)
    said = refused(lambda: load_run(complete.path))
    assert said == f"cannot read {complete.checkpoint}: Permission denied."


def test_a_disk_that_fails_while_a_file_is_read_has_not_damaged_it(complete, monkeypatch):
    """zipfile makes of it a file that is no archive."""

    def failing(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("zipfile._EndRecData", failing)
    said = refused(lambda: load_run(complete.path))
    assert said == f"cannot read {complete.checkpoint}: Input/output error."


def test_a_link_to_no_resume_point_costs_no_row(killed):
    killed.resume_point.unlink()
    killed.resume_point.symlink_to("nowhere")
    before = killed.history_path.read_text()
    assert "no such file" in refused(lambda: resume(killed))
    assert killed.history_path.read_text() == before


# What a kill leaves


def test_folders_are_synced_after_a_rename(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(files.os, "replace", lambda *names: (calls.append("rename"), os.rename(*names)))
    synced = os.fsync

    def fsync(number: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file")
        synced(number)

    monkeypatch.setattr(files.os, "fsync", fsync)
    write_atomic(tmp_path / "x", "text")
    assert calls == ["file", "rename", "folder"]
    calls.clear()
    Run.create(tmp_path / "runs", "one", CONFIG.as_dict(), seed=0)
    assert calls[-1] == "folder"


def test_resuming_a_complete_run_finishes_what_a_kill_prevented(seeds, complete, capsys):
    complete.summary.unlink(missing_ok=True)
    shutil.copy(seeds / "s0-resume.pt", complete.resume_point)
    arguments = [part for setting in SETTINGS for part in ("--set", setting)]
    command = ["train", "--preset", "mlp-2d", *arguments, "--name", "s0", "--out", str(complete.path.parent)]
    assert command_line([*command, "--resume"]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert complete.summary.is_file()
    assert complete.summary_svg.is_file()
    assert not complete.resume_point.exists()


def test_a_foreign_resume_point_beside_a_checkpoint_is_nobodys_to_remove(seeds, complete):
    shutil.copy(seeds / "s1-resume.pt", complete.resume_point)
    prepare_run(CONFIG, complete.path.parent, "s0", seed=0, resume=True)
    assert complete.resume_point.exists()


# Results


def test_a_training_names_the_checkpoint_it_came_to(complete):
    assert complete.metrics()["train"]["checkpoint_sha256"] == complete.checkpoint_sha256()


@pytest.fixture
def measured(complete) -> Run:
    arguments = ["sweep-group", str(complete.path), "--bins", "4", "--transitions", "40", "--quiet"]
    assert command_line(arguments) == 0
    return complete


def shown(capsys, folder: Path, *options: str) -> str:
    capsys.readouterr()
    assert command_line(["report", str(folder), *options]) == 0
    return capsys.readouterr().out


NOTE = "Measured on other weights than the run has"


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_results_of_other_weights_are_marked_wherever_they_are_shown(measured, capsys, with_checkpoint):
    forms = [("--format", form) for form in ("markdown", "html", "latex")]
    assert all(NOTE not in shown(capsys, measured.path, *form) for form in forms)
    data = json.loads(measured.metrics_path.read_text())
    for entry in (data["sweep_group"], *data["sweep_group"]["variants"].values()):
        entry["checkpoint_sha256"] = "0" * 64
    measured.metrics_path.write_text(json.dumps(data))
    if not with_checkpoint:
        measured.checkpoint.unlink()
    for form in forms:
        assert NOTE in shown(capsys, measured.path, *form)
    assert ",other\n" in shown(capsys, measured.path, "--format", "csv")
    (run,) = json.loads(shown(capsys, measured.path, "--json"))["runs"]
    assert run["other_weights"] == ["sweep_group so2/float32"]
    if with_checkpoint:
        command_line(["verify-equivariance", str(measured.path), "--samples", "2", "--quiet"])
        assert "Measured on other weights" in measured.summary.read_text()


def test_a_baseline_of_other_weights_is_marked(seeds, measured, capsys):
    other = Path(shutil.copytree(seeds / "s1", measured.path.parent / "s1"))
    arguments = ["--bins", "4", "--transitions", "40", "--quiet", "--baseline", str(other)]
    assert command_line(["sweep-group", str(measured.path), *arguments]) == 0
    assert NOTE not in shown(capsys, measured.path.parent)
    data = json.loads(measured.metrics_path.read_text())
    for entry in (data["sweep_group"], *data["sweep_group"]["variants"].values()):
        entry["baseline"]["checkpoint_sha256"] = "0" * 64
    measured.metrics_path.write_text(json.dumps(data))
    assert "s1 so2/float32 (beside s0)" in shown(capsys, measured.path.parent)


@pytest.mark.parametrize("kind", ["fifo", "folder", "huge"])
def test_a_history_is_a_file_of_bounded_size(complete, kind):
    path = complete.history_path
    if kind == "huge":
        os.truncate(path, 2**33)
    else:
        path.unlink()
        os.mkfifo(path) if kind == "fifo" else path.mkdir()
    assert f"cannot read {path}: it" in refused(lambda: read_history(path))
