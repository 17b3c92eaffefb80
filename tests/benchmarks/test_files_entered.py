"""How many files of the package one command goes through: what a reader has to walk to follow it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

TARGETS = {"sweep-group": 25, "train": 30, "closed-loop": 40}
"""Files entered, as it was hoped for; a way through that no one has found."""

TRACER = """
import json, sys, threading
from pathlib import Path

import equiwm

ROOT = str(Path(equiwm.__file__).parent)
files, functions, opened = {}, set(), {"yaml": 0, "metrics.json": 0, "network": 0}

def enter(frame, event, argument):
    code = frame.f_code
    # What runs once when a module or a class is made is no step of the command.
    if event == "call" and code.co_filename.startswith(ROOT) and code.co_name != "<module>" and code.co_flags & 0x2:
        files.setdefault(code.co_filename[len(ROOT) + 1:], set()).add(code.co_qualname)
        functions.add((code.co_filename, code.co_qualname))
        opened["yaml"] += code.co_name == "read_yaml"
        opened["network"] += code.co_name == "build_model"
        opened["metrics.json"] += code.co_name == "read_metrics"

from equiwm.cli.main import run

sys.setprofile(enter)
status = run(sys.argv[1:])
sys.setprofile(None)
found = {"status": status, "files": {key: sorted(value) for key, value in sorted(files.items())}, "opened": opened}
print(json.dumps({**found, "functions": len(functions)}), file=sys.stderr)
"""


def entered(*arguments: str) -> dict:
    """Runs one command line in a process of its own: files entered, and how often some were read."""
    done = subprocess.run([sys.executable, "-c", TRACER, *arguments, "-q"], capture_output=True, text=True, check=True)
    return json.loads(done.stderr.splitlines()[-1])


def show(board, command: str, found: dict) -> None:
    files = found["files"]
    print("\n" + "\n".join(f"  {name}: {', '.join(functions)}" for name, functions in files.items()))
    board.note(
        f"files of the package that `{command}` goes through",
        f"{len(files)} files, {found['functions']} functions",
        asked=f"{TARGETS[command]} files",
    )


@pytest.mark.parametrize(
    ("command", "preset", "options"),
    [
        ("sweep-group", "vn-2d", ("--bins", "4", "--transitions", "40")),
        ("closed-loop", "vn-2d-forward", ("--tasks", "2", "--orbit", "90", "--set", "planning.steps=4", "--jobs", "1")),
    ],
)
def test_measuring(board, copy_run, command, preset, options):
    path: Path = copy_run(preset)
    found = entered(command, str(path), *options)
    show(board, command, found)
    assert found["status"] == 0


def test_sweeping_parses_the_configuration_once_and_reads_no_results_back(copy_run):
    found = entered("sweep-group", str(copy_run()), "--bins", "4", "--transitions", "40")
    assert found["opened"] == {"yaml": 1, "network": 1, "metrics.json": 1}  # once, to add to what stands there


def test_training(board, tmp_path, tiny):
    found = entered("train", "--out", str(tmp_path), *tiny)
    show(board, "train", found)
    assert found["status"] == 0
