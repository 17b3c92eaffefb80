"""Damaged files of a run, by every command: a message, and nothing hangs, grows, is executed, or is taken for sound."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from campaigns.bits import bits
from campaigns.commands import SWEEP, TRAIN, VERIFY, Commands, Ended
from campaigns.damage import KINDS
from equiwm.errors import EquiwmError
from equiwm.layout.header import canonical_config, read_config
from equiwm.layout.history import read_history

MEMORY, CPU = 2 * 2**30, 20
SEED = 13
COMMANDS = {
    "report": ["report", "runs"],
    "verify-equivariance": ["verify-equivariance", *VERIFY],
    "sweep-group": ["sweep-group", *SWEEP],
    "train": [*TRAIN, "--resume"],
    "fsck": ["fsck", "runs", "--quiet"],
}
MEANT = ("checkpoint.pt", "resume.pt", "history.csv", "config.yaml")
"""What must belong together."""


class Damage:
    """A run that is complete and one that is not, two strangers to them, and what lies outside."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self.commands, self.folder = commands, folder
        self.whole, self.begun, self.other = (folder / name for name in ("whole", "begun", "other"))
        for place in (self.whole, self.begun, self.other):
            place.mkdir()
        for arguments in (TRAIN, COMMANDS["verify-equivariance"], COMMANDS["sweep-group"]):
            done = commands.run(self.whole, arguments)
            assert done.status in (0, 1), done
        for name, seed, epochs in (("seed", "1", "3"), ("longer", "0", "4")):
            for stop in (False, True):
                made = self.other / f"{name}{stop}"
                made.mkdir()
                self._train(made, ["--seed", seed, "--set", f"training.epochs={epochs}"], stop)
        self.strangers = folder / "strangers"
        self.strangers.mkdir()
        for made in sorted(self.other.iterdir()):
            shutil.copytree(made / "runs" / "one", self.strangers / made.name)
        self._train(self.begun, [], True)
        self.trained = bits(self.whole / "runs" / "one")
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    def _train(self, folder: Path, extra: list[str], stop: bool) -> None:
        """Train; or stop after the second epoch, as a kill does."""
        # The third epoch's row is written, and its resume.pt is not.
        fault = {"root": str(folder), "kind": "kill", "n": 3, "said": str(self.folder / "said"), "calls": ["save"]}
        done = self.commands.run(folder, [*TRAIN, *extra], **({"fault": fault} if stop else {}))
        assert done.status == (-9 if stop else 0), done
        for draft in folder.rglob("*.tmp"):
            draft.unlink()

    def files(self, begun: bool) -> list[str]:
        """Every file of a run, as a path in it."""
        run = (self.begun if begun else self.whole) / "runs" / "one"
        return [str(path.relative_to(run)) for path in sorted(run.rglob("*")) if path.is_file()]

    def mutate(self, number: int) -> None:
        """One damaged file, and one command that meets it."""
        draws = np.random.default_rng((SEED, number))
        kind = KINDS[number % len(KINDS)]
        command = list(COMMANDS)[number // len(KINDS) % len(COMMANDS)]
        begun = command in ("train", "fsck") and bool(draws.integers(4))
        name = str(draws.choice(self.files(begun), p=self._weights(begun)))
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.begun if begun else self.whole, work)
        outside = work / "outside"
        outside.mkdir()
        (outside / "secret").write_text("SECRET\n")
        run = work / "runs" / "one"
        before = _meaning(run)
        kind(run / name, draws, self.strangers, work / "canary")
        request: dict[str, Any] = {"memory": MEMORY, "cpu": 2 * CPU}
        untouched = _listing(work)
        done = self.commands.run(work, COMMANDS[command], **request)
        self.counts[kind.__name__] += 1
        self.statuses[done.status] += 1
        where = f"{number}: {kind.__name__} of {name} ({'begun' if begun else 'complete'}), {command}: {done}"
        _require_sound(done, where)
        assert not (work / "canary").exists(), f"executed: {where}"
        assert "SECRET" not in done.out + done.err, f"a link was followed: {where}"
        after = _listing(work)
        for path, content in untouched.items():
            if not path.startswith("runs/one"):
                assert after.get(path) == content, f"{path} was changed: {where}"
        assert {path for path in after if not path.startswith("runs/")} <= {*untouched}, where
        self._require_noticed(run, before, command, done, begun, where)

    def _weights(self, begun: bool) -> np.ndarray:
        """What must belong together is drawn three times as often."""
        weights = np.array([3.0 if name in MEANT else 1.0 for name in self.files(begun)])
        return weights / weights.sum()

    def _require_noticed(
        self, run: Path, before: dict[str, Any], command: str, done: Ended, begun: bool, where: str
    ) -> None:
        """Weights, history and configuration that do not belong together are not taken."""
        if command == "report":
            return
        if command == "train" and begun and done.status == 0:
            found = bits(run)
            for name in ("checkpoint.pt", "history.csv"):
                assert found[name] == self.trained[name], f"{name} is another one: {where}"
            return
        changed = [name for name in MEANT if _meaning(run)[name] != before[name]]
        if not changed or done.status == 2:
            return
        if command == "fsck":
            assert done.status == 1, f"taken for sound, {changed}: {where}"
        else:  # no result depends on the history, and the command says so
            assert changed == ["history.csv"], f"taken for sound, {changed}: {where}"


def _require_sound(done: Ended, where: str) -> None:
    assert done.status in (0, 1, 2), where
    assert "Traceback" not in done.err, where
    assert not done.hung, f"hung: {where}"
    assert done.cpu < CPU, f"{done.cpu:.1f} CPU s: {where}"
    assert done.rss < MEMORY, f"{done.rss / 2**30:.1f} GB: {where}"
    assert "out of memory" not in done.err, where
    assert "\x1b[2J" not in done.out + done.err, f"unprintable: {where}"
    assert "\u202e" not in done.out + done.err, f"unprintable: {where}"
    assert done.status != 2 or len(done.lines) <= 3, where
    assert len(done.err) < 4000, where


def _listing(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        plain = path.is_file() and not path.is_symlink() and path.stat().st_size < 10**8
        found[str(path.relative_to(folder))] = path.read_bytes() if plain else path.lstat().st_mode
    return found


def _meaning(run: Path) -> dict[str, Any]:
    """What the files of a run say, however it is written; None for what cannot be read."""
    return {name: _read(run / name) for name in MEANT}


def _read(path: Path) -> Any:
    if not path.is_file() or path.is_symlink() or path.stat().st_size > 10**8:
        return "none" if not path.exists() else None
    try:
        if path.suffix == ".pt":
            return _plain(torch.load(path, weights_only=True))
        if path.name == "config.yaml":
            header, data = read_config(path)
            return header.kind, canonical_config(header.seed, data)
        begun = (path.parent / "resume.pt").exists()  # it stands at epoch 2; a later row is written anew
        return [row for row in read_history(path) if row["epoch"] <= 2 or not begun]
    except (EquiwmError, Exception):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def mutate_study(commands: Commands, folder: Path, numbers: range) -> list[str]:
    """Damaged files of a study whose cells are finished, by the commands that read them; gives what was wrong."""
    start, work, strangers = (folder / name for name in ("start", "work", "strangers"))
    start.mkdir()
    line = ["ablate", "toy_study:KIND", "--name", "toy", "--jobs", "1", "--quiet"]
    assert commands.run(start, line, drawing=False).status == 1
    shutil.copytree(start / "runs", strangers)
    files = sorted(path for path in (start / "runs" / "toy").rglob("*") if path.suffix in (".json", ".yaml"))
    statuses: Counter[int] = Counter()
    wrong = []
    for number in numbers:
        draws = np.random.default_rng((SEED, 3000 + number))
        kind, damaged = KINDS[number % len(KINDS)], files[int(draws.integers(len(files)))].relative_to(start)
        arguments = [[*line, "--resume"], ["fsck", "runs", "--quiet"]][number // len(KINDS) % 2]
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(start, work)
        (work / "outside").mkdir()
        (work / "outside" / "secret").write_text("SECRET\n")
        kind(work / damaged, draws, strangers, work / "canary")
        done = commands.run(work, arguments, memory=MEMORY, cpu=2 * CPU, drawing=False)
        statuses[done.status] += 1
        where = f"{number}: {kind.__name__} of {damaged}, {arguments[0]}: {done}"
        try:
            _require_sound(done, where)
            assert not (work / "canary").exists(), f"executed: {where}"
            assert (work / "outside" / "secret").read_text() == "SECRET\n", where
        except AssertionError as error:
            wrong.append(str(error))
    print(f"\n{len(numbers)} mutations of a study, statuses {dict(statuses)}, {len(wrong)} wrong")
    return wrong


def _campaign(commands: Commands, folder: Path, numbers: range) -> None:
    damage = Damage(commands, folder)
    wrong = []
    for number in numbers:
        try:
            damage.mutate(number)
        except AssertionError as error:
            wrong.append(str(error))
    print(f"\n{len(numbers)} mutations {dict(damage.counts)}, statuses {dict(damage.statuses)}, {len(wrong)} wrong")
    assert wrong == [], "\n\n".join(each[:1500] for each in wrong[:30])


def test_some_mutations(commands, tmp_path):
    _campaign(commands, tmp_path, range(32))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_two_thousand_mutations(commands, tmp_path, part):
    _campaign(commands, tmp_path, range(500 * part, 500 * part + 500))


@pytest.mark.slow
def test_two_hundred_mutations_of_a_study(commands, tmp_path):
    wrong = mutate_study(commands, tmp_path, range(200))
    assert wrong == [], "\n\n".join(each[:1500] for each in wrong[:30])
