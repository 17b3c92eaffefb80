"""Pages as people meet them: on a phone and a wide screen, light and dark, by keyboard and by ear."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import browser, find

from equiwm.cli.main import run as command

WIDTHS = (390, 768, 1280, 1920)
CONTRAST = 4.5
LOOK = (Path(__file__).parent / "look.js").read_text().replace("CONTRAST)", f"{CONTRAST})")


class Structure(HTMLParser):
    """Elements with their attributes, and the levels of headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def audit_page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    (folder / "probe.py").write_text(
        "import torch\nfrom equiwm import Probe\n"
        'probe = Probe(lambda x: x.clamp(-0.2, 0.2), inputs=torch.randn(16, 3), group="o3", takes="1o", gives="1o")\n'
    )
    assert command(["audit", f"{folder / 'probe.py'}:probe", "--html", str(folder / "audit.html")]) == 1
    return folder / "audit.html"


def check_structure(text: str, figures: int) -> None:
    page = Structure(text)
    assert page.of("html")[0]["lang"] == "en"
    assert len(page.of("main")) == len(page.of("h1")) == len(page.of("title")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert all(deeper <= level + 1 for level, deeper in pairwise(levels))
    assert len(page.of("img")) == figures
    assert all(len(image["alt"] or "") > 20 for image in page.of("img"))
    regions = [each for each in page.of("div") if each.get("class") == "scroll"]
    assert len(regions) == len(page.of("table")) > 0
    assert all(each["tabindex"] == "0" and each["role"] == "region" and each["aria-label"] for each in regions)
    assert all(each.get("scope") in ("col", "row") for each in page.of("th"))
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    links = [str(each["href"]) for each in page.of("a")]
    assert all(link[1:] in identities for link in links if link.startswith("#"))


def test_a_report_is_a_page_for_everybody(make, tmp_path, capsys):
    make.pair()
    page = tmp_path / "report.html"
    assert command(["report", str(make.folder), "--format", "html", "--out", str(page)]) == 0
    text = page.read_text()
    check_structure(text, figures=2)
    assert "prefers-color-scheme: dark" in text
    assert [each for each in Structure(text).of("nav") if each.get("aria-label")]


def test_a_folder_refers_to_its_figures_and_draws_again_only_what_has_changed(make, tmp_path):
    make.pair()
    folder = tmp_path / "page"
    arguments = ["report", str(make.folder), "--format", "html", "--out", f"{folder}/"]
    assert command(arguments) == 0
    text = (folder / "index.html").read_text()
    check_structure(text, figures=2)
    sources = [str(image["src"]) for image in Structure(text).of("img")]
    assert sorted(sources) == ["figures/ood_factors.svg", "figures/vn-2d/sweep_so2_float32.svg"]
    kept, changed = (folder / source for source in sorted(sources))
    drawn = changed.read_bytes()
    stamp = kept.stat().st_mtime_ns
    changed.write_bytes(b"<svg>drawn anew</svg>")
    changed.with_suffix(".csv").write_text("other\n")
    assert command(arguments) == 0
    assert (kept.stat().st_mtime_ns, changed.read_bytes()) == (stamp, drawn)
    kept.write_bytes(b"<svg>edited</svg>")
    assert command(arguments) == 0
    assert kept.read_bytes() != b"<svg>edited</svg>"  # its record names another file


def test_an_audit_is_a_page_for_everybody(audit_page):
    check_structure(audit_page.read_text(), figures=1)


needs_chromium = pytest.mark.skipif(find() is None, reason="needs Chromium")


@needs_chromium
@pytest.mark.slow
def test_pages_in_chromium(everything, audit_page, tmp_path):
    """No page scrolls sideways, no text is faint, no figure is without words, and all is reached by keys."""
    everywhere = [str(everything), str(everything / "ablate-augmentation")]
    assert command(["report", *everywhere, "--format", "html", "--out", str(tmp_path / "one.html")]) == 0
    assert command(["report", *everywhere, "--format", "html", "--out", str(tmp_path / "web")]) == 0
    with browser(tmp_path / "profile") as page:
        for path in (tmp_path / "one.html", tmp_path / "web" / "index.html", audit_page):
            page.open(path)
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    page.show(width, scheme)
                    look = page.run(LOOK)
                    where = f"{path.name} at {width} px, {scheme}: {look}"
                    assert look["images"] > 0, where
                    assert look["wide"] <= 0, where
                    assert look["low"] == [], where
                    assert look["broken"] == [], where
                    assert look["silent"] == look["unreached"] == look["unnamed"] == 0, where
        page.open(tmp_path / "one.html")
        page.show(1280, "light")
        page.press("Tab", 9)
        assert page.run("document.activeElement.textContent") == "Skip to the tables"
        heads = "[...document.querySelectorAll('thead button')]"
        reached = False
        for _ in range(60):
            page.press("Tab", 9)
            if reached := page.run(f"document.activeElement === {heads}[0]"):
                break
        assert reached
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        rows = page.run(f"{heads}[0].closest('table').tBodies[0].rows.length")
        for order in ("ascending", "descending"):
            page.press("Enter", 13)
            assert page.run(f"{heads}[0].parentElement.getAttribute('aria-sort')") == order
        assert page.run(f"{heads}[0].closest('table').tBodies[0].rows.length") == rows
