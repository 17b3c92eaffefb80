"""Trainings that are struck at any moment: they go on to the same bits, and nobody and nothing is left of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from campaigns.bits import bits
from campaigns.commands import TRAIN, Commands, orphans

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")

SIGNALS = {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130}
ONE = [*TRAIN, "--set", "training.epochs=12"]
GRID = [*TRAIN, "--set", "training.epochs=60", "--seeds", "0-2", "--jobs", "2"]
SEED = 12


class Kills:
    """Kills of one command, and what became of it undisturbed."""

    def __init__(self, commands: Commands, arguments: list[str], folder: Path) -> None:
        self.commands, self.arguments, self.folder = commands, arguments, folder
        whole = folder / "whole"
        whole.mkdir()
        started = time.monotonic()
        done = commands.run(whole, [*arguments, "--jobs", "1"])
        self.seconds = time.monotonic() - started
        assert done.status == 0, done
        self.expected = bits(whole)
        self.met = dict.fromkeys((*SIGNALS, "ended before", "before the first epoch"), 0)

    def strike(self, number: int, name: str, share: float, group: bool) -> None:
        """One kill, after a share of the time that the command takes; of workers, most often when they train."""
        work = self.folder / f"work{number}"
        work.mkdir()
        before = _semaphores()  # of a process killed long ago, whose number may come again
        process = self.commands.start(work, self.arguments)
        if "2" in self.arguments and number % 4:
            _until(lambda: any(work.rglob("resume.pt")))
        time.sleep(share * self.seconds)
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(process, getattr(signal, name))
        done = self.commands.wait(process)
        where = f"kill {number} ({name} at {share:.3f} of {self.seconds:.1f} s, group {group}): {done}"
        # What comes while the server still forks meets no handler; what comes at the end, a command that is done.
        assert done.status in (SIGNALS[name], -getattr(signal, name), 0), where
        self.met["ended before" if done.status == 0 else name] += 1
        self.met["before the first epoch"] += not any(work.rglob("resume.pt")) and done.status != 0
        assert "Traceback" not in done.err, where
        assert orphans(process) == [], where
        # How many processes go on with it is nothing to the bits, and starting them takes most of the time.
        jobs = [] if number % 5 == 0 else ["--jobs", "1"]
        again = self.commands.run(work, [*self.arguments, "--resume", *jobs])
        assert again.status == 0, f"{where}\nagain: {again}"
        found = bits(work)
        different = sorted(key for key in {*found, *self.expected} if found.get(key) != self.expected.get(key))
        assert different == [], f"{where}\nagain: {again}"
        assert _left(self.commands.folder / "tmp") == [], where
        if name == "SIGKILL" and group:  # loky's own tracker, which removes its semaphores, was killed as well
            return
        left = {each for each in _semaphores() - before if each.startswith(f"sem.loky-{process}-")}
        assert left == set(), where


def _semaphores() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("sem.loky-*")}


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def _left(folder: Path) -> list[str]:
    """Temporary files, but for the cache that torch makes for all its processes together."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [path.name for path in folder.iterdir() if not path.name.startswith("torchinductor_")]
        if not left:
            return []
        time.sleep(0.05)
    return left


def _campaign(commands: Commands, arguments: list[str], folder: Path, numbers: range) -> None:
    campaign = Kills(commands, arguments, folder)
    wrong = []
    for number in numbers:
        draws = np.random.default_rng((SEED, number))
        name, group = list(SIGNALS)[number % 3], bool(draws.integers(2))
        try:
            campaign.strike(number, name, float(draws.uniform()), group)
        except AssertionError as error:
            wrong.append(str(error))
    print(
        f"\n{len(numbers)} kills of a {'grid' if '2' in arguments else 'training'}: {campaign.met}, {len(wrong)} wrong"
    )
    assert wrong == [], "\n\n".join(wrong[:10])


@pytest.mark.parametrize(("arguments", "kills"), [(ONE, 6), (GRID, 1)], ids=["one", "grid"])
def test_some_kills(commands, tmp_path, arguments, kills):
    _campaign(commands, arguments, tmp_path, range(kills))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("arguments", [ONE, GRID], ids=["one", "grid"])
def test_two_hundred_kills(commands, tmp_path, arguments, part):
    """A hundred of a training, and a hundred of three trainings in two processes."""
    _campaign(commands, arguments, tmp_path, range(25 * part, 25 * part + 25))
