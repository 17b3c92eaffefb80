"""The manual: pages that are whole, reachable and current, and that build without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

import equiwm
from equiwm.cli.app import app

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
GENERATED = ("commands.md", "worlds.md")
"""Pages that a command writes whole."""
TYPER = [sys.executable, "-m", "typer", "equiwm.cli.app", "utils", "docs", "--name", "equiwm", "--title", "Commands"]

pytestmark = pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").is_file(), reason="needs a checkout")


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page, as Markdown makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *PAGES], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            wrong.append(target)
    assert wrong == []


def test_every_page_is_in_the_menu_and_has_a_next_step():
    menu = re.findall(r": (\S+\.md)$", (CHECKOUT / "mkdocs.yml").read_text(), re.M)
    assert sorted(menu) == [page.name for page in PAGES]
    without = [
        page.name for page in PAGES if not re.search(r"^Next: .*\]\(", page.read_text().rstrip().split("\n")[-1])
    ]
    assert set(without) <= set(GENERATED)


def test_the_commands_are_those_of_the_tool(tmp_path):
    """`typer equiwm.cli.app utils docs --name equiwm --title Commands --output docs/commands.md` writes the page."""
    subprocess.run([*TYPER, "--output", str(tmp_path / "commands.md")], check=True, capture_output=True, cwd=tmp_path)
    assert (DOCS / "commands.md").read_text() == (tmp_path / "commands.md").read_text()
    for command in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"## `equiwm {command}`" in (DOCS / "commands.md").read_text()


def test_every_public_name_is_in_the_api():
    text = (DOCS / "api.md").read_text()
    assert {name for name in equiwm.__all__ if f"| `equiwm.{name}` |" not in text} == set()
    explained = re.findall(r"^::: (\S+)$", text, re.M)
    assert {name for name in equiwm.__all__ if not any(each.endswith(f".{name}") for each in explained)} == set()


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    """`mkdocs build --strict`; what pages link to in the repository is carried along."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    program = shutil.which("mkdocs", path=str(Path(sys.executable).parent)) or "mkdocs"
    command = [program, "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"})
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    assert (tmp_path / "site" / "repository" / "examples" / "egnn_probe.py").is_file()
    settings = yaml.safe_load((CHECKOUT / "mkdocs.yml").read_text())
    assert settings["strict"] is True
    assert "equiwm.audit.probe.Probe" in (tmp_path / "site" / "api" / "index.html").read_text()
