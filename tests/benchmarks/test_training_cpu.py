"""What it costs that nothing of a training is lost: CPU time of `train` against the commit before files were bound."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).resolve().parents[2]
BEFORE = "90bf182"
TIMES, EPOCHS = 3, 30
MOST = 1.02


def cpu_seconds(tree: Path, folder: Path) -> float:
    """Of `train` with the default preset, shortened."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [
            *(sys.executable, "-c", "from equiwm.cli.main import main; main()"),
            *("train", "--quiet", "--out", str(folder), "--set", f"training.epochs={EPOCHS}"),
        ],
        check=True,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_training_costs_no_more_than_it_did(board, tmp_path):
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", BEFORE], check=False, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the history does not reach {BEFORE}")
    old = tmp_path / "old"
    old.mkdir()
    subprocess.run(["tar", "-x", "-C", str(old)], input=archive.stdout, check=True)
    pairs = [
        (cpu_seconds(ROOT, tmp_path / f"now{time}"), cpu_seconds(old, tmp_path / f"then{time}"))
        for time in range(TIMES)
    ]
    what = f"`train` of {EPOCHS} epochs, now / before files were bound to one another ({BEFORE})"
    board.pairs(what, pairs, asked=f"{MOST}x", unit="command")
