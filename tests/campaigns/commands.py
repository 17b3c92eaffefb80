"""Commands of a campaign, as its tests see them: started, waited for, and judged."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import session_of

from campaigns.waiting import PATIENCE

TESTS = Path(__file__).resolve().parents[1]
TINY = (
    *("training.transitions=64", "training.epochs=3", "training.batch=32"),
    *("model.latent=4", "model.encoder_widths=[4]", "model.predictor_widths=[4]"),
    *("planning.horizon=2", "planning.samples=4", "planning.iterations=1", "planning.elites=2", "planning.steps=2"),
)
SETTINGS = [part for each in TINY for part in ("--set", each)]
"""Of a training of some milliseconds, whose files are a few kilobytes."""

TRAIN = ["train", "--preset", "mlp-2d", "--name", "one", "--quiet", *SETTINGS]
VERIFY = ["runs/one", "--samples", "2", "--quiet"]
SWEEP = ["runs/one", "--bins", "4", "--transitions", "40", "--quiet"]
LOOP = ["runs/one", "--tasks", "2", "--orbit", "90", "--jobs", "1", "--quiet"]


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status (negative: a signal), what it printed, what it cost."""

    status: int
    out: str
    err: str
    hung: bool
    rss: int
    cpu: float

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()

    def __str__(self) -> str:
        return f"status {self.status}: {self.err[-2000:]}"


class Commands:
    """A server (`campaigns.server`) and what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("tmp", "home"):
            (folder / name).mkdir()
        path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
        self.environment = {
            **os.environ,
            **{"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HOME": str(folder / "home")},
            **{"TMPDIR": str(folder / "tmp"), "JOBLIB_TEMP_FOLDER": str(folder / "tmp")},
            **{"XDG_STATE_HOME": str(folder / "home"), "MPLCONFIGDIR": str(folder / "home")},
        }
        self._server = subprocess.Popen(
            [sys.executable, "-m", "campaigns.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=folder,
        )
        self._numbers = itertools.count()
        self._streams: dict[int, tuple[Path, Path]] = {}
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        return json.loads(self._server.stdout.readline())

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return self._answer()

    def start(self, folder: Path, arguments: Sequence[str], **request: Any) -> int:
        """Start a command in a folder.

        Returns:
            Its process, which leads a session of its own.
        """
        number = next(self._numbers)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        for path in (out, err):
            path.touch()  # it may be struck before it begins
        asked = {"folder": str(folder), "arguments": list(arguments), "o": str(out), "e": str(err), **request}
        process = self._ask(asked)["process"]
        self._streams[process] = (out, err)
        return process

    def wait(self, process: int, seconds: float = PATIENCE) -> Ended:
        """How it ended."""
        answer = self._ask({"wait": process, "seconds": seconds})
        out, err = self._streams.pop(process)
        texts = [path.read_text(errors="replace") for path in (out, err)]
        for path in (out, err):
            path.unlink()
        return Ended(out=texts[0], err=texts[1], **answer)

    def run(self, folder: Path, arguments: Sequence[str], seconds: float = PATIENCE, **request: Any) -> Ended:
        """Start it, and wait."""
        return self.wait(self.start(folder, arguments, **request), seconds)

    def close(self) -> None:
        """No more commands."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(20)


def orphans(leader: int, seconds: float = 10.0) -> list[int]:
    """Processes of a command that are still there after some seconds."""
    deadline = time.monotonic() + seconds
    while (left := session_of(leader)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
