"""Commands that meet in one run: each ends well, or says who is there; no result is lost, mixed or half."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from campaigns.bits import bits, timeless
from campaigns.commands import LOOP, SWEEP, TRAIN, Commands, Ended


def meet(commands: Commands, folder: Path, *all_arguments: list[str]) -> list[Ended]:
    """Start several commands at once, and wait for each."""
    processes = [commands.start(folder, arguments, drawing=False) for arguments in all_arguments]
    ended = [commands.wait(process) for process in processes]
    for each in ended:
        assert "Traceback" not in each.err, each
        assert not each.hung, each
        assert each.status in (0, 1, 2), each  # 1: networks that were hardly trained pass no verdict
        assert each.status < 2 or len(each.lines) == 1, each
    return ended


def stale(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


@pytest.fixture
def trained(commands, tmp_path) -> Path:
    """A folder in which `runs/one` is trained."""
    done = commands.run(tmp_path, TRAIN)
    assert done.status == 0, done
    return tmp_path


def four_writers(commands: Commands, folder: Path) -> None:
    """Each prints its own result, and the file has them all."""
    variants = [[*SWEEP, "--json", "--bins", bins] for bins in ("4", "6", "8", "12")]
    ended = meet(commands, folder, *(["sweep-group", *arguments] for arguments in variants))
    assert [each.status for each in ended] == [0] * 4, [str(each) for each in ended]
    assert [len(json.loads(each.out)["bins"]) for each in ended] == [4, 6, 8, 12]
    ended = meet(
        commands,
        folder,
        ["sweep-group", *SWEEP, "--json"],
        ["verify-equivariance", "runs/one", "--samples", "2", "--quiet", "--json"],
        ["rollout", "runs/one", "--sequences", "8", "--quiet", "--json"],
        ["verify-equivariance", "runs/one", "--samples", "2", "--quiet", "--json", "--dtype", "float64"],
    )
    metrics = json.loads((folder / "runs" / "one" / "metrics.json").read_text())
    sections = ("sweep_group", "verify_equivariance", "rollout", "verify_equivariance")
    for each, section in zip(ended, sections, strict=True):
        printed = timeless(json.loads(each.out))
        written = metrics[section].get("variants", {}).values()
        assert any(timeless(entry) == printed for entry in written), (section, each)
    assert stale(folder) == []


def report_while_training(commands: Commands, folder: Path) -> None:
    """Every report is whole, whatever moment of the training it meets; and the training is not disturbed."""
    training = commands.start(folder, [*TRAIN, "--name", "two", "--set", "training.epochs=40"])
    for _ in range(8):
        done = commands.run(folder, ["report", "runs"])
        assert (done.status, "Traceback" in done.err) == (0, False), done
        assert "one" in done.out
        checked = commands.run(folder, ["fsck", "runs", "--quiet"])
        assert (checked.status, checked.out) == (0, ""), checked
    done = commands.wait(training)
    assert done.status == 0, done
    assert stale(folder) == []


def two_loops(commands: Commands, folder: Path) -> None:
    """The same loop twice: one of them computes; two other loops: both do. Nothing of theirs stays but results."""
    same = meet(commands, folder, *[["closed-loop", *LOOP, "--json"]] * 2)
    assert sorted(each.status for each in same) in ([0, 0], [0, 2]), [str(each) for each in same]
    results = [timeless(json.loads(each.out)) for each in same if each.status == 0]
    assert all(result == results[0] for result in results)
    others = meet(
        commands, folder, ["closed-loop", *LOOP, "--json"], ["closed-loop", *LOOP, "--json", "--orbit", "90,180"]
    )
    assert [each.status for each in others] == [0, 0], [str(each) for each in others]
    assert timeless(json.loads(others[0].out)) == results[0]
    assert not (folder / "runs" / "one" / "closed_loop").exists()
    assert stale(folder) == []


def two_trainings(commands: Commands, folder: Path) -> None:
    """Of two with one name one trains, whole, and the other one is told so."""
    arguments = [*TRAIN, "--name", "both"]
    ended = meet(commands, folder, arguments, arguments)
    assert sorted(each.status for each in ended) == [0, 2], [str(each) for each in ended]
    meet(commands, folder, *[[*TRAIN, "--name", "resumed", "--resume"]] * 2)
    meet(commands, folder, [*TRAIN, "--name", "resumed", "--resume"])
    whole = bits(folder / "runs" / "one")
    for name in ("both", "resumed"):
        found = bits(folder / "runs" / name)
        assert set(found) == {*whole}, name
        assert {key: found[key] for key in ("checkpoint.pt", "history.csv", "metrics.json")} == {
            key: whole[key] for key in ("checkpoint.pt", "history.csv", "metrics.json")
        }, name
    assert stale(folder) == []


RACES = (four_writers, report_while_training, two_loops, two_trainings)


@pytest.mark.parametrize("race", RACES)
def test_race(commands, trained, race):
    race(commands, trained)


@pytest.mark.slow
@pytest.mark.parametrize("race", RACES)
def test_race_ten_times(commands, tmp_path, race):
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = commands.run(folder, TRAIN)
        assert done.status == 0, done
        race(commands, folder)
