"""Every call of a command that the machine can refuse is refused once: one line, nothing lost, the same bits again."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from campaigns.bits import bits
from campaigns.commands import LOOP, TRAIN, VERIFY, Commands, Ended
from campaigns.faults import KINDS, said

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are looked up in /proc")

QUIET = "--quiet"


@dataclass(frozen=True)
class Case:
    """A command, what lies in its folder, and what is said besides when it is given again."""

    arguments: Sequence[str]
    again: Sequence[str] = ()
    needs: Sequence[Sequence[str]] = ()
    litter: bool = False


CASES = {
    "train": Case(TRAIN, ["--resume"]),
    "seeds": Case([*TRAIN, "--seeds", "0-1", "--jobs", "1"], ["--resume"]),
    "ablate": Case(["ablate", "toy_study:KIND", "--name", "toy", "--jobs", "1", QUIET], ["--resume"]),
    "closed-loop": Case(["closed-loop", *LOOP], needs=[TRAIN]),
    "verify": Case(["verify-equivariance", *VERIFY], needs=[TRAIN]),
    "report": Case(["report", "runs", "--out", "runs/report.md"], needs=[TRAIN]),
    "fsck": Case(["fsck", "runs", "--repair"], needs=[TRAIN], litter=True),
}
MENDED_BY_RESUME = ("has no summary; this writes it", "was never finished", "is left from a training that is complete")
"""What fsck may find between a fault and the next command: stale files, and a summary that --resume writes."""


class Campaign:
    """One command, and what became of it undisturbed."""

    def __init__(self, commands: Commands, case: Case, folder: Path) -> None:
        self.commands, self.case, self.folder = commands, case, folder
        self.start, self.work, self.said = folder / "start", folder / "work", folder / "said"
        self.start.mkdir()
        for arguments in case.needs:
            done = commands.run(self.start, arguments)
            assert done.status == 0, done
        if case.litter:
            from equiwm.disk.drafts import draft_of

            name = draft_of(Path("resume.pt")).name.replace(str(os.getpid()), str(2**22 + 1))
            (self.start / "runs" / "one" / name).write_text("never finished")
        self.fresh()
        done = commands.run(self.work, case.arguments)
        assert done.status in (0, 1), done
        assert "Traceback" not in done.err, done
        self.status, self.expected = done.status, bits(self.work)
        self.met: Counter[str] = Counter()

    def fresh(self) -> None:
        """The folder as it is before the command."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.start, self.work)

    def inject(self, kind: str, n: int) -> bool:
        """Fail the n-th call; whether there was one."""
        self.fresh()
        self.said.unlink(missing_ok=True)
        fault = {"root": str(self.work), "kind": kind, "n": n, "said": str(self.said)}
        done = self.commands.run(self.work, self.case.arguments, fault=fault)
        met = said(self.said)
        where = f"{kind} {n}, {met}: {done}\n{done.out[-1000:]}"
        if not met:
            assert done.status == self.status, where
            return False
        self.met[met.partition(" ")[0]] += 1
        assert not done.hung, where
        if kind == "kill":
            assert done.status == -9, where
        else:
            # What only informs (a lock's owner) or only tidies up may fail without a word.
            assert done.status in (2, self.status) or self._unreadable(done), where
            assert "Traceback" not in done.err, where
            assert done.status != 2 or len(done.lines) == 1, where
        self._opens(where)
        again = self.commands.run(self.work, [*self.case.arguments, *self.case.again])
        assert again.status == self.status, f"{where}\nagain: {again}"
        found = bits(self.work)
        assert found == self.expected, f"{where}\nagain: {again}\n{_differences(self.expected, found)}"
        return True

    def _unreadable(self, done: Ended) -> bool:
        """Whether fsck has found that a file cannot be read, and nothing that does not follow from it."""
        lines = [line for line in done.out.splitlines() if "Input/output error" in line]
        return self.case.arguments[0] == "fsck" and done.status == 1 and done.out.splitlines() == lines != []

    def _opens(self, where: str) -> None:
        checked = self.commands.run(self.work, ["fsck", "runs", QUIET])
        lines = checked.out.splitlines()
        assert checked.status in (0, 1, 2), f"{where}\nfsck: {checked}"
        assert "Traceback" not in checked.err, f"{where}\nfsck: {checked}"
        if checked.status == 2:  # there is nothing yet
            assert "does not exist" in checked.err or "holds no run" in checked.err, f"{where}\nfsck: {checked}"
        wrong = [line for line in lines if not any(each in line for each in MENDED_BY_RESUME)]
        assert wrong == [], f"{where}\nfsck: {wrong}"


def _differences(expected: dict[str, str], found: dict[str, str]) -> str:
    names = sorted({*expected, *found})
    return "\n".join(f"{name}" for name in names if expected.get(name) != found.get(name))


@pytest.mark.parametrize("name", CASES)
def test_some_faults(commands, tmp_path, name):
    """A few of each kind, spread over the command."""
    campaign = Campaign(commands, CASES[name], tmp_path)
    for index, kind in enumerate(KINDS):
        campaign.inject(kind, 3 + (5 * index + len(name)) % 11)
    assert sum(campaign.met.values()) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_every_fault(commands, tmp_path, name, kind):
    """Until the command passes; of the operations of torch, which are thousands, 100 spread evenly over it."""
    campaign = Campaign(commands, CASES[name], tmp_path)
    wrong = []
    numbers = count(1)
    if kind == "allocation":
        high = 1
        while _passes(campaign, high):
            high *= 2
        numbers = iter(range(1, high, max(1, high // 100)))
    for n in numbers:
        try:
            if not campaign.inject(kind, n):
                if kind == "allocation":
                    continue
                break
        except AssertionError as error:
            wrong.append(str(error))
    total = sum(campaign.met.values())
    print(f"\n{name}, {kind}: {total} injections {dict(campaign.met)}, {len(wrong)} wrong")
    assert wrong == [], "\n\n".join(wrong[:20])


def _passes(campaign: Campaign, n: int) -> bool:
    """Whether the command has as many operations."""
    campaign.fresh()
    campaign.said.unlink(missing_ok=True)
    fault = {"root": str(campaign.work), "kind": "allocation", "n": n, "said": str(campaign.said)}
    campaign.commands.run(campaign.work, campaign.case.arguments, fault=fault)
    return bool(said(campaign.said))
