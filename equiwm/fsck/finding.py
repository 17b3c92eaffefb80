"""What is wrong with a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from equiwm.errors import EquiwmError

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        run: the directory.
        said: one line: what is wrong, and how to mend it.
        stale: a file of ours that nothing needs, which is all that is wrong; None where there is more to it.
    """

    run: Path
    said: str
    stale: Path | None = None


class Findings:
    """What was found so far.

    Args:
        path: directory of the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[Finding] = []

    def add(self, said: str, stale: Path | None = None) -> None:
        """Another one, in one line."""
        self.said.append(Finding(self.path, " ".join(said.split("\n")), stale))

    def of(self, read: Callable[[], T]) -> T | None:
        """What is read; None where it is refused, which is a finding."""
        try:
            return read()
        except EquiwmError as error:
            self.add(str(error))
            return None
