"""Every call of a command that the machine can refuse is refused once: one line, nothing lost, the same bits again."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from campaigns.bits import bits, state
from campaigns.commands import LOOP, TRAIN, VERIFY, Commands, Ended
from campaigns.faults import KINDS, said
from campaigns.waiting import PATIENCE

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are looked up in /proc")

QUIET = "--quiet"


@dataclass(frozen=True)
class Case:
    """A command, what lies in its folder, and what is said besides when it is given again.

    Attributes:
        judges: it writes nothing, and what it prints is a verdict: where it comes to one, that is the same.
    """

    arguments: Sequence[str]
    again: Sequence[str] = ()
    needs: Sequence[Sequence[str]] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    litter: bool = False
    judges: bool = False


PROBE = """
import torch
from equiwm import Probe

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(1, 4)

    def forward(self, x):
        return x * self.inner(x.square().sum(-1, keepdim=True)).sum(-1, keepdim=True)

torch.manual_seed(0)
probe = Probe(Model(), inputs=torch.randn(8, 3), group="o3", takes="1o", gives="1o")
"""
FEW = ["--elements", "4", "--samples", "4"]

CASES = {
    "train": Case(TRAIN, ["--resume"]),
    "seeds": Case([*TRAIN, "--seeds", "0-1", "--jobs", "1"], ["--resume"]),
    "ablate": Case(["ablate", "toy_study:KIND", "--name", "toy", "--jobs", "1", QUIET], ["--resume"]),
    "closed-loop": Case(["closed-loop", *LOOP], needs=[TRAIN]),
    "verify": Case(["verify-equivariance", *VERIFY], needs=[TRAIN]),
    "report": Case(["report", "runs", "--out", "runs/report.md"], needs=[TRAIN]),
    "fsck": Case(["fsck", "runs", "--repair"], needs=[TRAIN], litter=True),
    "audit": Case(["audit", "runs/one", *FEW], needs=[TRAIN], judges=True),
    "audit-probe": Case(
        ["audit", "my_probe.py:probe", "--symmetries", *FEW], files={"my_probe.py": PROBE}, judges=True
    ),
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
        for name, text in case.files.items():
            (self.start / name).write_text(text)
        if case.litter:
            from equiwm.disk.drafts import draft_of

            name = draft_of(Path("resume.pt")).name.replace(str(os.getpid()), str(2**22 + 1))
            (self.start / "runs" / "one" / name).write_text("never finished")
        self.fresh()
        done = self.run(case.arguments)
        assert done.status in (0, 1), done
        assert "Traceback" not in done.err, done
        self.status, self.out, self.expected = done.status, done.out, bits(self.work)
        assert not case.judges or self.expected == bits(self.start)
        self.watched: dict[str, str] = {}
        self.met: Counter[str] = Counter()
        self.seen: set[str] = set()

    def run(self, arguments: Sequence[str], **request: Any) -> Ended:
        """What is drawn is noise: drawing takes most of the time, and touches no file."""
        return self.commands.run(self.work, arguments, drawing=False, **request)

    def fresh(self) -> None:
        """The folder as it is before the command."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.start, self.work)

    def inject(self, kind: str, n: int) -> bool:
        """Fail the n-th call; whether there was one."""
        self.fresh()
        self.said.unlink(missing_ok=True)
        done = self.run(self.case.arguments, fault=self._fault(kind, n))
        met = said(self.said)
        if not met:
            assert done.status == self.status, f"{kind} {n}: {done}"
            return False
        where = self._ended_well(kind, n, met, done)
        left = state(self.work)
        if left in self.seen:  # what follows was seen to go well, and is a function of what lies there
            return True
        if not self.case.judges:
            self._opens(where)
        self._again(where)
        self.seen.add(left)
        return True

    def inject_in_branches(self, kind: str, numbers: Sequence[int]) -> Iterator[str]:
        """Fail these calls, before which no file has changed, each in a branch of one process.

        Yields:
            How each went wrong that did.
        """
        self.fresh()
        fault = {**self._fault(kind, 0), "branches": numbers}
        whole = self.run(self.case.arguments, seconds=PATIENCE + 5 * len(numbers), fault=fault)
        assert whole.status == self.status, whole
        assert not self.case.judges or whole.out == self.out, whole
        ended = [json.loads(line) for line in said(self.said).splitlines()]
        assert [each["n"] for each in ended] == list(numbers)
        for each in ended:
            n, met = each.pop("n"), each.pop("met")
            try:
                self._ended_well(kind, n, met, self.printed(n, each))
            except AssertionError as error:
                yield str(error)
        assert self._different() == [], "a branch has written"

    def printed(self, n: int, answer: Mapping[str, Any]) -> Ended:
        """How a branch ended, with what it printed."""
        texts = [Path(f"{self.said}.{n}.{end}").read_text(errors="replace") for end in ("out", "err")]
        return Ended(out=texts[0], err=texts[1], **answer)

    def _ended_well(self, kind: str, n: int, met: str, done: Ended) -> str:
        """What a fault may do to a command; and words for it."""
        where = f"{kind} {n}, {met}: {done}\n{done.out[-1000:]}"
        self.met[met.partition(" ")[0]] += 1
        assert not done.hung, where
        if kind == "kill":
            assert done.status == -9, where
        else:
            # What only informs (a lock's owner) or only tidies up may fail without a word.
            assert done.status in (2, self.status) or self._unreadable(done), where
            assert "Traceback" not in done.err, where
            assert done.status != 2 or len(done.lines) == 1, where
        if self.case.judges:
            assert done.status != self.status or kind == "kill" or done.out == self.out, where
        return where

    def _again(self, where: str) -> None:
        """The command given again comes to what it came to undisturbed."""
        again = self.run([*self.case.arguments, *self.case.again])
        assert again.status == self.status, f"{where}\nagain: {again}"
        assert self._different() == [], f"{where}\nagain: {again}\n{self._different()}"

    def _different(self) -> list[str]:
        """Files that are neither as undisturbed nor, where operations of torch are counted, as with those counted.

        While they are, torch takes singular vectors with singular values: the last bit of an effective rank is another.
        """
        found = bits(self.work)
        names = sorted({*self.expected, *found})
        return [
            name
            for name in names
            if found.get(name) not in (self.expected.get(name), self.watched.get(name, self.expected.get(name)))
        ]

    def operations(self) -> tuple[list[int], list[int]]:
        """Of each class of operations of torch (see `campaigns.faults`) the first and the last one.

        Returns:
            Those before which no file has changed, and the others.
        """
        self.fresh()
        self.said.unlink(missing_ok=True)
        done = self.run(self.case.arguments, fault={**self._fault("allocation", 0), "survey": True})
        assert done.status == self.status, done
        self.watched = bits(self.work)
        surveyed = json.loads(said(self.said))
        first = {each: n for n, (each, _) in reversed(list(enumerate(surveyed, 1)))}
        last = {each: n for n, (each, _) in enumerate(surveyed, 1)}
        found = sorted({*first.values(), *last.values()})
        before = [n for n in found if surveyed[n - 1][1] == 0]
        print(f"{len(surveyed)} operations of {len(first)} classes; {len(before)} of {len(found)} before any change")
        return before, found[len(before) :]

    def _fault(self, kind: str, n: int) -> dict[str, Any]:
        return {"root": str(self.work), "kind": kind, "n": n, "said": str(self.said)}

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


@pytest.mark.parametrize("name", CASES)
def test_some_faults(commands, tmp_path, name):
    """A few of each kind, spread over the command."""
    campaign = Campaign(commands, CASES[name], tmp_path)
    for index, kind in enumerate(KINDS):
        if CASES[name].judges and kind in ("full", "once full", "kill"):  # it changes nothing on a disk
            continue
        campaign.inject(kind, 3 + (5 * index + len(name)) % 11)
    assert sum(campaign.met.values()) >= (1 if CASES[name].judges else 3)


def test_a_branch_ends_as_the_command_does(commands, tmp_path):
    campaign = Campaign(commands, CASES["audit-probe"], tmp_path)
    numbers = [2, 40, 300]
    assert list(campaign.inject_in_branches("allocation", numbers)) == []
    answers = {each["n"]: each for each in map(json.loads, said(campaign.said).splitlines())}
    branches = [campaign.printed(n, {k: v for k, v in answers[n].items() if k not in ("n", "met")}) for n in numbers]
    for n, branch in zip(numbers, branches, strict=True):
        campaign.fresh()
        alone = campaign.run(campaign.case.arguments, fault=campaign._fault("allocation", n))
        assert (branch.status, branch.out, branch.err) == (alone.status, alone.out, alone.err)
        assert said(campaign.said) == answers[n]["met"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_every_fault(commands, tmp_path, name, kind):
    """Until the command passes; of the operations of torch, the first and the last one of each class."""
    campaign = Campaign(commands, CASES[name], tmp_path)
    numbers: Iterable[int] = count(1)
    wrong = []
    if kind == "allocation":
        before, numbers = campaign.operations()
        wrong += campaign.inject_in_branches(kind, before)
    for n in numbers:
        try:
            if not campaign.inject(kind, n):
                assert kind != "allocation", n
                break
        except AssertionError as error:
            wrong.append(str(error))
    total = sum(campaign.met.values())
    print(f"\n{name}, {kind}: {total} injections {dict(campaign.met)}, {len(campaign.seen)} states, {len(wrong)} wrong")
    assert wrong == [], "\n\n".join(wrong[:20])
