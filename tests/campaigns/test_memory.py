"""Commands with a real limit to their memory, from none at all to what they take: one line, and nothing is lost."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from campaigns.bits import bits
from campaigns.commands import LOOP, TRAIN, Commands

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to RLIMIT_AS")

FEW = ["--elements", "4", "--samples", "4"]
LINES = {
    "train": ([*TRAIN, "--name", "two"], ["--resume"]),
    "report": (["report", "runs", "--out", "table.md"], []),
    "audit": (["audit", "runs/one", *FEW], []),
    "closed-loop": (["closed-loop", *LOOP], []),
}
LEAST, MOST = 2**14, 2**28
NATIVE = (-11, -6)
"""Libraries in C that do not ask whether they got the memory they wanted: Chipmunk under pymunk, for one."""


def _campaign(commands: Commands, folder: Path, name: str, factor: float) -> None:
    arguments, again = LINES[name]
    start, whole, work = folder / "start", folder / "whole", folder / "work"
    start.mkdir()
    assert commands.run(start, TRAIN).status == 0
    shutil.copytree(start, whole)
    expected = commands.run(whole, arguments, drawing=False)
    assert expected.status in (0, 1), expected
    met: Counter[str] = Counter()
    spare = float(LEAST)
    done = None
    while spare < MOST and (done is None or done.status != expected.status):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(start, work)
        done = commands.run(work, arguments, spare=int(spare), drawing=False)
        where = f"{name} with {spare / 2**20:.2f} MB: {done}"
        met["passed" if done.status == expected.status else f"status {done.status}"] += 1
        assert done.status in (2, expected.status, *NATIVE), where
        assert done.status != 2 or (len(done.lines) == 1 and done.lines[0].startswith("error: ")), where
        assert name != "audit" or done.status != expected.status or done.out == expected.out, where
        gone_on = commands.run(work, [*arguments, *again], drawing=False)
        assert gone_on.status == expected.status, f"{where}\nagain: {gone_on}"
        assert bits(work) == bits(whole), where
        spare *= factor
    print(f"\n{name}: {dict(met)}")
    assert met["status 2"] >= 3
    assert met["passed"] == 1


@pytest.mark.parametrize("name", ["train", "audit"])
def test_some_limits(commands, tmp_path, name):
    _campaign(commands, tmp_path, name, 6.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_many_limits(commands, tmp_path, name):
    _campaign(commands, tmp_path, name, 1.1)
