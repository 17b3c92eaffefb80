"""The README: every command and snippet is run, in order and in one folder, and its tables are those of the report."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer

from equiwm.cli.app import app
from equiwm.config import preset_names
from equiwm.report.document import REPRODUCTION, make_report

CHECKOUT = Path(__file__).resolve().parents[1]
README = (CHECKOUT / "README.md").read_text()
REFERENCE = CHECKOUT / "runs" / "reference"
MEASUREMENTS, DATA = ((CHECKOUT / "docs" / f"{name}.md").read_text() for name in ("measurements", "data"))


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


BLOCKS = blocks(README)
INSTALLS = ("python3 -m venv", "pip install")
ELSEWHERE = ("python -m pytest", "ruff ")
"""What continuous integration runs, with this test inside it."""

pytestmark = pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").is_file(), reason="needs a checkout")


def shell(text: str) -> str:
    """A block without comments, and without what installs or is run elsewhere; a first line keeps what it ends in."""
    kept = []
    for line in re.sub(r"\s+# .*$|^# .*$", "", text, flags=re.MULTILINE).splitlines():
        command = line.rpartition("&& ")[2].removeprefix(".venv/bin/") if line.startswith(INSTALLS) else line
        if not command.startswith((*INSTALLS, *ELSEWHERE, ".venv/bin/pip")):
            kept.append(command)
    return "\n".join(kept)


def command_lines() -> list[list[str]]:
    """Every `equiwm ...` of the shell blocks, those of the measurements and of recorded data too, in words."""
    found = []
    for language, text in (*BLOCKS, *blocks(MEASUREMENTS), *blocks(DATA)):
        if language == "sh":
            for piece in re.split(r"[;\n]|\bdo\b|&&|>", shell(text)):
                words = shlex.split(piece)
                found += [words[1:]] if words[:1] == ["equiwm"] else []
    return found


@pytest.mark.parametrize("words", dict.fromkeys(map(tuple, command_lines())), ids=" ".join)
def test_commands_have_options_and_presets_that_exist(words):
    command, *rest = words
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    options = {flag for option in known.params for flag in (*option.opts, *option.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= options
    for flag, value in pairwise(rest):
        if flag == "--preset" and not value.startswith("$"):
            assert value in preset_names()


def test_every_command_of_the_tool_is_shown():
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {words[0] for words in command_lines()} == commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder in which `equiwm` is small, with seed 0 of the reference runs."""
    place = tmp_path_factory.mktemp("reader")
    (place / "bin").mkdir()
    program = place / "bin" / "equiwm"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{CHECKOUT / "tests" / "small_equiwm.py"}" "$@"\n')
    program.chmod(0o755)
    shutil.copytree(REFERENCE, place / "runs" / "reference", ignore=shutil.ignore_patterns("*-s[1-9]", "figures"))
    np.savez(place / "log.npz", **a_log())
    return place


def a_log(episodes: int = 60, steps: int = 30) -> dict[str, np.ndarray]:
    """A mass in the plane that is pushed and drawn to the origin: the log that a reader brings."""
    rng = np.random.default_rng(0)
    position, velocity = rng.normal(size=(2, episodes, 2))
    rows = []
    for _ in range(steps):
        push = rng.normal(size=(episodes, 2))
        rows.append((position, velocity, push))
        pull = position * np.linalg.norm(velocity, axis=1, keepdims=True)
        position, velocity = position + 0.1 * velocity, 0.95 * velocity + 0.1 * (push - pull)
    columns = (np.stack(each, 1).reshape(-1, 2) for each in zip(*rows, strict=True))
    episode = np.repeat(np.arange(episodes), steps)
    return dict(zip(("position", "velocity", "action"), columns, strict=True)) | {"episode": episode}


def test_every_block_runs(folder, monkeypatch, capfd):
    """Shell blocks at small sizes, Python as it stands; a line that says what it prints prints that."""
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for language, text in BLOCKS:
        if language == "sh":
            program = ["bash", "-euo", "pipefail", "-c", shell(text)]
        elif language == "python":
            program = [sys.executable, "-c", text]
        else:
            continue
        done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        if language == "python":
            said = [word for line in text.splitlines() if (word := line.partition("# ")[2].partition(":")[0]) == "True"]
            assert done.stdout.split().count("True") == len(said), done.stdout


def between(name: str) -> str:
    """What stands between the marks of a generated part."""
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL).group(1).strip()  # type: ignore[union-attr]


def test_the_tables_are_the_report_s():
    """`equiwm report runs/reference` begins with the tables that stand in the README."""
    (chapter,) = (each for each in make_report([REFERENCE]).chapters if each.heading == REPRODUCTION)
    paper, ours, commands, _ = chapter.tables
    assert between("paper") == paper.markdown().strip()
    assert between("ours") == ours.markdown().strip()
    assert between("commands") == commands.markdown().strip()


def test_pictures_and_links_are_there():
    for target in re.findall(r"\]\(([^)#][^)]*)\)|src=\"([^\"]+)\"", README):
        path = next(filter(None, target)).partition("#")[0]
        assert path.startswith("http") or (CHECKOUT / path).exists(), path
