"""What is wrong with a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
