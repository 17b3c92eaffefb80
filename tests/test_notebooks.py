"""The notebooks: whole as they stand, and the same verdicts when they are run."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SAID = {
    "audit": [r"BROKEN: It is NOT equivariant under O3", r"cause: component by component", r"<strong>EXACT"],
    "control": [r"\| composed \| exact \|", r"\| verdict \| invariant \|"],
}
"""What each has to say, when it is read and when it is run."""


def outputs(cells: list[dict]) -> str:
    """Everything that the cells show, as one text."""
    return "\n".join(
        "".join(part if isinstance(part, str) else "".join(part))
        for cell in cells
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
        for part in (output.get("text", ""), *output.get("data", {}).values())
    )


def check(name: str, cells: list[dict]) -> None:
    shown = outputs(cells)
    assert not [each for cell in cells for each in cell.get("outputs", []) if each["output_type"] == "error"]
    for words in SAID[name]:
        assert re.search(words, shown), words
    assert shown.count("<svg") + shown.count("data:image/svg") >= 2


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == sorted(SAID)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_stands_with_its_figures(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    check(path.stem, cells)
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            ast.parse(source)
        for link in re.findall(r"\]\(([^)#]+)\)", source):
            assert (path.parent / link).is_file(), link
    assert "/tmp/" not in json.dumps([cell["source"] for cell in cells])


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(path, 4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    check(path.stem, json.loads(nbformat.writes(notebook))["cells"])
