"""The front page and the pages that a reader follows: every command and snippet is run, in order, in one folder a page.

They are run at small sizes, all but one that draws for long. The front page's commands keep their own exit status, and
what it quotes is compared with what they print; those of the other pages train so little that a verdict which fails is
no failure there. `pytest -m slow tests/test_readme.py` runs the front page as it stands, at its own sizes and in
processes of their own.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import served
import typer

from equiwm.claims.reproduce.registry import BESIDE, resolve_size
from equiwm.cli.app import app
from equiwm.config import preset_names
from equiwm.report.document import REPRODUCTION, make_report

CHECKOUT = Path(__file__).resolve().parents[1]
REFERENCE = CHECKOUT / "runs" / "reference"
PAGES = ("README.md", "docs/reproduction.md", "docs/tour.md", "docs/python.md")
SHOWN = ("docs/measurements.md", "docs/data.md", "docs/policies.md", "docs/large-data.md")
"""Pages whose commands have to exist, but take too long to be run here."""
MOST_BYTES = 9000
"""Of the front page."""
FACTOR = 30.0
"""How much a printed number that is rounding may differ from what another machine prints."""


def page(name: str) -> str:
    """A page of the documents."""
    return (CHECKOUT / name).read_text()


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


INSTALLS = ("python3 -m venv", "pip install")
ELSEWHERE = ("python -m pytest", "ruff ")
"""What continuous integration runs, with this test inside it."""

pytestmark = pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").is_file(), reason="needs a checkout")


def shell(text: str) -> str:
    """A block without comments, and without what installs or is run elsewhere; a first line keeps what it ends in."""
    kept = []
    joined = text.replace("\\\n", " ")  # a command that goes on in the next line
    for line in re.sub(r"\s+# .*$|^# .*$", "", joined, flags=re.MULTILINE).splitlines():
        command = line.rpartition("&& ")[2].removeprefix(".venv/bin/") if line.startswith(INSTALLS) else line
        if not command.startswith((*INSTALLS, *ELSEWHERE, ".venv/bin/pip")):
            kept.append(command)
    return "\n".join(kept)


def command_lines() -> list[list[str]]:
    """Every `equiwm ...` of the shell blocks, those of the measurements and of recorded data too, in words."""
    found = []
    for language, text in (block for name in (*PAGES, *SHOWN) for block in blocks(page(name))):
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
            assert value in preset_names() or value.endswith(".yaml")


def test_every_command_of_the_tool_is_shown():
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {words[0] for words in command_lines()} == commands


@dataclass
class Page:
    """What of a page was run so far, in a folder of its own."""

    name: str
    folder: Path
    environment: dict[str, str]
    done: list[subprocess.CompletedProcess[str]] = field(default_factory=list)

    def run(self, number: int) -> subprocess.CompletedProcess[str]:
        """A block of the page, after those before it."""
        for language, text, _ in snippets(self.name)[len(self.done) : number + 1]:
            assert all(each.returncode == 0 for each in self.done), "a block before it has failed"
            line = ["bash", "-euo", "pipefail", "-c", shell(text)] if language == "sh" else [sys.executable, "-c", text]
            self.done.append(
                subprocess.run(line, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
            )
        return self.done[number]


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Each page, with a folder in which `equiwm` is small, and with seed 0 of the reference runs."""
    with served.serving(tmp_path_factory.mktemp("server")) as address:

        def prepared(name: str) -> Page:
            folder = tmp_path_factory.mktemp("page")
            verdicts = {} if name == "README.md" else {"EQUIWM_VERDICTS": "pass"}
            return Page(
                name, folder, outfitted(folder, lambda program: served.write_program(program, address), verdicts)
            )

        yield cache(prepared)


def outfitted(folder: Path, write: Callable[[Path], None], more: dict[str, str]) -> dict[str, str]:
    """Fill a page's folder, with a program `equiwm` as the one that writes it says: the environment of its blocks."""
    (folder / "bin").mkdir()
    write(folder / "bin" / "equiwm")
    shutil.copytree(REFERENCE, folder / "runs" / "reference", ignore=shutil.ignore_patterns("*-s[1-9]", "figures"))
    shutil.copytree(CHECKOUT / "examples", folder / "examples")
    np.savez(folder / "log.npz", **a_log())
    return {**os.environ, "PATH": f"{folder / 'bin'}:/usr/bin:/bin", "OMP_NUM_THREADS": "1", **more}


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


def snippets(name: str) -> list[tuple[str, str, str]]:
    """Language, content, and the quotation below it, of every block of a page that is run."""
    quoted = r"(?:\n*<!-- output -->\n(.*?)<!-- /output -->)?"
    found = re.findall(rf"^```(\w+)\n(.*?)^```$\n{quoted}", page(name), re.MULTILINE | re.DOTALL)
    return [(language, text, quote) for language, text, quote in found if language in ("sh", "python")]


def heading(block: tuple[str, str, str]) -> str:
    """A block's first line of note, for the names of tests."""
    lines = (shell(block[1]) if block[0] == "sh" else block[1]).splitlines()
    said = [line for line in lines if not line.startswith(("import ", "from ", "cat ", "cd ")) and line.strip()]
    return said[0][:50] if said else "nothing"


LONG = ("equiwm report runs/reference --figures",)
"""Beginnings of blocks that draw every figure of the reference: `pytest -m slow tests/test_readme.py` runs them."""
BLOCKS = [
    pytest.param(
        *(name, number),
        id=f"{name}-{number}-{heading(block)}",
        marks=[pytest.mark.slow] if block[1].startswith(LONG) else [],
    )
    for name in PAGES
    for number, block in enumerate(snippets(name))
]


@pytest.mark.parametrize(("name", "number"), BLOCKS)
def test_every_block_runs(pages, name, number):
    """Shell blocks, Python as it stands; a line that says what it prints prints that, and so does a quotation."""
    check(pages(name).run(number), *snippets(name)[number])


def check(done: subprocess.CompletedProcess[str], language: str, text: str, quoted: str) -> None:
    """A block that has been run succeeded, and printed what the page says."""
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    if language == "python":
        said = [word for line in text.splitlines() if (word := line.partition("# ")[2].partition(":")[0]) == "True"]
        assert done.stdout.split().count("True") == len(said), done.stdout
    assert not quoted or holds(words(quoted), words(done.stdout)), f"{quoted}\n is not in\n{done.stdout}"


def test_every_quotation_is_below_a_block():
    for name in PAGES:
        assert page(name).count("<!-- output -->") == sum(bool(quoted) for _, _, quoted in snippets(name)), name


@pytest.mark.slow
def test_the_front_page_as_it_stands(tmp_path):
    """At its own sizes, every command a process of its own (120 CPU seconds)."""

    def write(program: Path) -> None:
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m equiwm "$@"\n')
        program.chmod(0o755)

    front = Page("README.md", tmp_path, outfitted(tmp_path, write, {"PYTHONPATH": str(CHECKOUT)}))
    for number, block in enumerate(snippets(front.name)):
        check(front.run(number), *block)


def words(text: str) -> list[str]:
    """Words and numbers, without what only lays them out."""
    return re.sub(r"(?m)^> ?|[|*`]", " ", text).split()


def holds(printed: list[str], whole: list[str]) -> bool:
    """Whether some words stand in others, in order and without a gap, numbers that are rounding up to a factor."""
    return any(all(map(alike, printed, whole[start:])) for start in range(len(whole) - len(printed) + 1) if printed)


def alike(said: str, found: str) -> bool:
    """The same word, or two numbers: of rounding within `FACTOR`, others within 2%."""
    if said == found:
        return True
    numbers = [re.fullmatch(r"\(?(-?\d+\.?\d*(?:e[-+]\d+)?)[).,;:]*", each) for each in (said, found)]
    if None in numbers:
        return False
    one, other = (float(each[1]) for each in numbers)  # type: ignore[index]
    close = FACTOR if max(abs(one), abs(other)) < 1e-6 else 1.02
    return one * other > 0 and max(one / other, other / one) <= close


def test_quoted_numbers_are_compared():
    assert holds(
        words("> residual 4.2e-01 in float64 (rounding 5.3e-16)"), words("residual 4.2e-01 in float64 (rounding 9e-16)")
    )
    assert not holds(words("residual 4.2e-01"), words("residual 3.9e-01"))
    assert not holds(words("is NOT equivariant"), words("is equivariant"))
    assert not holds(words("(rounding 5.3e-16)"), words("(rounding 5.3e-10)"))


def test_the_front_page_is_short_and_its_rows_are_those_of_the_reproduction():
    assert len(page("README.md").encode()) <= MOST_BYTES
    rows = re.findall(r"^\| [A-Za-z]+-?\d+ \|.*$", page("README.md"), re.MULTILINE)
    assert 1 <= len(rows) <= 10
    paper = between("paper").splitlines()
    assert set(rows) <= set(paper)
    every = [
        row
        for name in ("paper", "ours")
        for row in between(name).splitlines()
        if re.match(r"\| [A-Za-z]+-?\d+ \|", row)
    ]
    held = sum("| NO |" not in row for row in every)
    assert f"{held} of {len(every)} rows hold" in " ".join(page("README.md").split())


def between(name: str) -> str:
    """What stands between the marks of a generated part."""
    return (
        re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", page("docs/reproduction.md"), re.DOTALL).group(1).strip()
    )  # type: ignore[union-attr]


def test_the_table_beside_the_paper_has_the_rows_of_today():
    """Statements and bounds as the code has them; its study is no part of the checkout."""
    size = resolve_size(None, quick=False)
    stated = [
        f"| {line.setting} | {line.source.dtype} | {line.quantity} | {line.bound.text} |".replace("|d_i|", "\\|d_i\\|")
        for claim in BESIDE
        for line in claim.statements(size)
    ]
    rows = [row.split(" | ") for row in between("beside").splitlines() if re.match(r"\| [a-z]+-\d+ \|", row)]
    assert [f"| {row[1]} | {row[2]} | {row[3]} | {row[-1]}" for row in rows] == stated


def test_the_tables_are_the_report_s():
    """`equiwm report runs/reference` begins with the tables that stand in docs/reproduction.md."""
    (chapter,) = (each for each in make_report([REFERENCE]).chapters if each.heading == REPRODUCTION)
    paper, ours, commands, _ = chapter.tables
    assert between("paper") == paper.markdown().strip()
    assert between("ours") == ours.markdown().strip()
    assert between("commands") == commands.markdown().strip()
