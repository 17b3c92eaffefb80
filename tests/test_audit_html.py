"""The page of an audit, its figures, and what a notebook shows."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from equiwm import Probe
from equiwm.audit.audit import MOST_CHANNELS_TOLD, audit
from equiwm.audit.figure import MOST_ROWS, pictures_of
from equiwm.audit.html import cell, page
from equiwm.audit.result import AuditResult, FindingResult, LayerResult
from equiwm.cli.main import run

PROBES = """
import torch
from equiwm import Probe

def exact():
    return Probe(lambda x: 2 * x, None, "so3", "3x1o", "3x1o")

def broken():
    return Probe(lambda x: x.clamp(-1, 1), None, "so3", "3x1o", "3x1o")
"""


class Deep(nn.Module):
    """Vectors through many layers, of which one adds a constant."""

    def __init__(self, depth: int, at: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(depth))
        self.at = at

    def forward(self, x: Tensor) -> Tensor:
        for k, layer in enumerate(self.layers):
            x = layer(x.mT).mT
            if k == self.at:
                x = x + torch.tensor([0.0, 0.0, 0.1]).to(x)
        return x


@pytest.fixture(scope="module")
def broken() -> AuditResult:
    torch.manual_seed(0)
    return audit(Probe(Deep(3, 1), None, "so3", "4x1o", "4x1o"), elements=8)


def sources(text: str) -> list[str]:
    """The drawings of a page."""
    return [base64.b64decode(data).decode() for data in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", text)]


def test_the_page_says_all(broken):
    text = page(broken, "my_probe.py:probe")
    assert text.startswith("<!DOCTYPE html>")
    assert "<h1>my_probe.py:probe: broken</h1>" in text
    assert broken.sentence in text
    assert [each.text for each in broken.causes if each.text not in text] == []
    assert text.count("<table") == 2 + ("motions apart" in text)
    for drawing in sources(text):
        assert ElementTree.fromstring(drawing).tag.endswith("svg")
    assert len(sources(text)) == text.count("<img") == 2
    captions = re.findall(r'alt="([^"]+)"', text)
    assert captions == [each.caption for each in pictures_of(broken)]
    assert "the first that does not is layers.2" in captions[1]


def test_nothing_is_loaded_from_anywhere(broken):
    text = page(broken, "it")
    assert "default-src 'none'" in unescape(text)
    addresses = {found for found in re.findall(r"""(?:src|href)=["']([^"']+)""", text) if not found.startswith("data:")}
    assert addresses == set()
    assert re.findall(r"""(?:xlink:href|src)="(?!#|data:)""", "".join(sources(text))) == []


def test_the_same_audit_gives_the_same_page(broken):
    assert page(broken, "it") == page(broken, "it")


def test_what_others_name_is_escaped(broken):
    evil = '<script>alert("x")</script>\x1b[2J$\\frac'
    leaf = replace(broken.leaves[0], name=evil)
    layer = replace(broken.layers[0], name=evil)
    result = replace(broken, sentence=evil, leaves=[leaf], layers=[layer], findings=[FindingResult(evil, evil)])
    for text in (page(result, evil), cell(result)):
        assert "<script>alert" not in text
        assert "\x1b" not in text
        assert len(sources(text)) == 2


def test_a_notebook_shows_the_verdict_and_figures(broken):
    text = broken._repr_html_()
    assert text.startswith("<div>")
    assert "<strong>BROKEN</strong>" in text
    assert len(sources(text)) == 2
    assert "<html" not in text
    assert "<script" not in text


def test_channels_are_told_apart():
    """A hundred channels, of which one is broken: it is among those that are told and drawn."""

    def model(x: Tensor) -> Tensor:
        return torch.cat([x[:, :70], x[:, 70:71].clamp(-1, 1), x[:, 71:]], 1)

    result = audit(Probe(model, None, "so3", "100x1o", "100x1o"), elements=4)
    (leaf,) = (each for each in result.leaves if each.name == "output")
    assert len(leaf.by_channel) == MOST_CHANNELS_TOLD
    (wrong,) = (each for each in leaf.by_channel if each.verdict == "broken")
    assert wrong.name == "1o #70"
    assert wrong.residual == pytest.approx(leaf.residual)
    (picture,) = (each for each in pictures_of(result) if "channels" in each.caption)
    assert f"Residual of {MOST_ROWS} of {2 * MOST_CHANNELS_TOLD} channels" in picture.caption
    assert "1o #70" in picture.caption


@pytest.mark.parametrize("residuals", [[0.0, 0.0], [float("nan"), float("inf")], [1e-300, 1e300]])
def test_figures_of_odd_numbers(broken, residuals):
    leaf = broken.leaves[0]
    channels = [replace(leaf.by_channel[0], residual=value, rounding=value) for value in residuals]
    layers = [LayerResult(f"l{k}", "Linear", value, None) for k, value in enumerate(residuals)]
    result = replace(broken, leaves=[replace(leaf, by_channel=channels)], layers=layers)
    for picture in pictures_of(result):
        ElementTree.fromstring(picture.data)


def test_of_many_layers_those_around_the_break_are_drawn(broken):
    layers = [LayerResult(f"layer{k}", "Linear", 1e-15 if k < 70 else 0.1, None) for k in range(90)]
    picture = pictures_of(replace(broken, layers=layers))[1]
    assert f"Residual of {MOST_ROWS} of 90 layers" in picture.caption
    assert "layer70" in picture.caption
    assert not pictures_of(replace(broken, layers=[]))[1:]


# The command


@pytest.fixture
def probes(tmp_path, monkeypatch):
    (tmp_path / "probes.py").write_text(PROBES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "status"), [("exact", 0), ("broken", 1)])
def test_the_command_writes_a_page(probes, capsys, name, status):
    Path("page.html").write_text("what was there")
    arguments = ["audit", f"probes.py:{name}", "--elements", "4", "--html", "page.html"]
    assert run(arguments) == status
    text = Path("page.html").read_text()
    assert f"probes.py:{name}: {name}" in text
    said = capsys.readouterr()
    assert "page: page.html" in said.err
    assert said.out.startswith(name.upper())
    assert sorted(each for each in os.listdir(probes) if each != "__pycache__") == ["page.html", "probes.py"]


def test_nothing_but_a_plain_file_is_replaced(probes, capsys):
    """And that is found before the work."""
    (probes / "folder").mkdir()
    (probes / "link.html").symlink_to(probes / "probes.py")
    for place in ("folder", "link.html", "nowhere/page.html"):
        assert run(["audit", "missing.py:probe", "--html", place]) == 2
        said = capsys.readouterr().err
        assert f"cannot write {place}" in said
        assert said.count("\n") <= 2
    assert (probes / "probes.py").read_text() == PROBES


def test_no_page_replaces_a_file_of_a_run(probes, trained, copy_run, capsys):
    folder = copy_run("vn-2d")
    before = (folder / "metrics.json").read_bytes()
    assert run(["audit", "probes.py:exact", "--elements", "4", "--html", str(folder / "metrics.json")]) == 2
    assert "no document replaces" in capsys.readouterr().err
    assert (folder / "metrics.json").read_bytes() == before
