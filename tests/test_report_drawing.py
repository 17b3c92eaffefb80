"""Figures of a report: the same bytes by one process and by two, and drawn again only where something has changed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import VN, Maker, closed_loop, rollout, sweep
from processes import session_of

from equiwm.claims.view import Drawing
from equiwm.cli.main import run as command
from equiwm.errors import GroupError, MachineError
from equiwm.figures import canvas as canvas_module
from equiwm.figures import record as record_module
from equiwm.figures.medium import SCREEN
from equiwm.report.parallel import Order, draw_all
from equiwm.runs import Run


@pytest.fixture
def drawn(monkeypatch) -> list[str]:
    """Titles of what is drawn from here on, in this process."""
    found: list[str] = []
    own = canvas_module._rendered

    def counted(figure, kinds):
        found.append(" ".join(panel.get_title() for panel in figure.axes))
        return own(figure, kinds)

    monkeypatch.setattr(canvas_module, "_rendered", counted)
    return found


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def page(runs: Path, out: Path, *more: str) -> int:
    return command(["report", str(runs), "--format", "html", "--out", f"{out}/", *more])


def test_one_process_and_two_write_the_same_bytes(make, tmp_path):
    model = make.pair()
    beside = {"name": "mlp-2d", "preset": "mlp-2d", "train_seed": 0, "checkpoint_sha256": "0"}
    model.record("rollout", "so2/float32", rollout(1.0, VN), {**rollout(8.0, VN), **beside})
    model.record("closed_loop", "equivariant/pose", closed_loop(1.0, VN), {**closed_loop(2.0, VN), **beside})
    for jobs in ("1", "2"):
        assert page(make.folder, tmp_path / f"page{jobs}", "--jobs", jobs) == 0
        assert command(["report", str(make.folder), "--figures", str(tmp_path / f"all{jobs}"), "--jobs", jobs]) == 0
    for name in ("page", "all"):
        one, two = (written(tmp_path / f"{name}{jobs}") for jobs in "12")
        assert list(one) == list(two)
        assert [path for path in one if one[path] != two[path]] == []
        assert sum(path.endswith(".svg") for path in one) == 4


def test_only_what_changed_is_drawn_again(everything, tmp_path, drawn, monkeypatch):
    out = tmp_path / "page"
    assert page(everything, out) == 0
    before, first = written(out), len(drawn)
    assert first == 1 + 3
    assert page(everything, out) == 0
    assert len(drawn) == first
    assert written(out) == before

    model = Run(everything / "vn-2d")
    beside = {"name": "mlp-2d", "preset": "mlp-2d", "train_seed": 0, "checkpoint_sha256": "0"}
    model.record("sweep_group", "so2/float32", sweep(1.5, VN), {**sweep(12.0, VN), **beside})
    assert page(everything, out) == 0
    assert len(drawn) == first + 2  # the sweep, and the figure of all factors
    changed = written(out)
    assert {path for path in before if before[path] != changed[path]} == {
        "index.html",
        *(f"figures/{name}.{kind}" for name in ("ood_factors", "vn-2d/sweep_so2_float32") for kind in ("csv", "svg")),
        *(f"figures/{name}.drawn.json" for name in ("ood_factors", "vn-2d/sweep_so2_float32")),
    }

    monkeypatch.setattr(record_module, "_DRAWING", ("figures",))  # other code draws
    record_module.drawing_code.cache_clear()
    try:
        assert page(everything, out) == 0
    finally:
        record_module.drawing_code.cache_clear()
    assert len(drawn) == 2 * first + 2


def test_a_figure_that_is_not_what_was_drawn_is_drawn_again(make, tmp_path, drawn):
    make.pair()
    out = tmp_path / "page"
    assert page(make.folder, out) == 0
    before = written(out)
    svg = out / "figures" / "vn-2d" / "sweep_so2_float32.svg"
    record = svg.with_suffix(".drawn.json")
    for damage in (
        lambda: svg.write_bytes(svg.read_bytes()[:-100]),
        lambda: svg.write_text(svg.read_text().replace("#0072b2", "#ff0000")),
        lambda: svg.write_text("<svg>SOMEBODY'S</svg>"),
        svg.unlink,
        record.unlink,
        lambda: record.write_text("{"),
        lambda: record.write_text("[" * 60_000),
        lambda: record.write_text('{"csv": 1, "code": null, "files": []}'),
    ):
        damage()
        drawn.clear()
        assert page(make.folder, out) == 0
        assert len(drawn) == 1
        assert written(out) == before


def test_a_link_in_the_place_of_a_figure_is_refused_and_not_followed(make, tmp_path, capsys):
    make.pair()
    out, mine = tmp_path / "page", tmp_path / "mine.svg"
    assert page(make.folder, out) == 0
    svg = out / "figures" / "vn-2d" / "sweep_so2_float32.svg"
    mine.write_bytes(svg.read_bytes())
    svg.unlink()
    svg.symlink_to(mine)
    mine.write_text("mine</svg>")
    capsys.readouterr()
    assert page(make.folder, out) == 2
    assert "which is never replaced" in capsys.readouterr().err
    assert mine.read_text() == "mine</svg>"


def test_a_figure_of_a_run_that_ends_in_its_middle_is_drawn_anew(make, tmp_path, drawn):
    make.pair()
    figures = make.folder / "vn-2d" / "figures"
    figures.mkdir()
    (figures / "sweep_so2_float32.svg").write_text("<svg>whole</svg>\n")
    assert page(make.folder, tmp_path / "whole") == 0
    assert len(drawn) == 1  # the figure of all factors
    (figures / "sweep_so2_float32.svg").write_text("<svg>who")
    assert page(make.folder, tmp_path / "half") == 0
    assert len(drawn) == 3


def test_formulas_are_shared_within_the_canvas_alone_and_are_those_of_matplotlib():
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser

    own = MathTextParser._parse_cached  # of which the canvas depends: matplotlib without it draws more slowly
    text, fonts = r"$\mathdefault{10^{-7}}$", (FontProperties(size=10), FontProperties(size=8))
    alone = [MathTextParser("path").parse(text, 72, font)[:3] for font in fonts]
    with canvas_module.canvas(2.0, 2.0):
        shared = [MathTextParser("path").parse(text, 72, font) for font in fonts]
        again = [MathTextParser("path").parse(text, 72, font) for font in fonts]
        pixels = MathTextParser("agg").parse(text, 72, fonts[0])
    assert [each[:3] for each in shared] == alone
    assert all(one is other for one, other in zip(shared, again, strict=True))
    assert type(pixels) is not type(shared[0])
    with canvas_module.canvas(2.0, 2.0, style={"mathtext.default": "it"}):
        assert MathTextParser("path").parse(text, 72, fonts[0]) is not shared[0]
    assert MathTextParser._parse_cached is own


# What goes wrong in a process


def order(draw: Callable[[Path], Path], place: Path, name: str = "a") -> Order:
    return Order(Drawing(name, draw), place, SCREEN)


def test_a_fault_in_a_process_is_one_typed_line(tmp_path):
    def fails(folder: Path) -> Path:
        raise ValueError("no such colour")

    def refuses(folder: Path) -> Path:
        raise GroupError("no such group")

    def full(folder: Path) -> Path:
        raise OSError(28, "No space left on device")

    def dies(folder: Path) -> Path:
        os._exit(1)

    def good(folder: Path) -> Path:
        return folder / "good.png"

    place = tmp_path / "vn-2d"
    assert draw_all([order(good, place), order(good, tmp_path)], 2) == [place / "good.png", tmp_path / "good.png"]
    for draw, kind, words in (
        (refuses, GroupError, "^no such group$"),
        (full, MachineError, "the disk is full"),
        (dies, MachineError, "a process that draws figures died"),
    ):
        with pytest.raises(kind, match=words) as told:
            draw_all([order(draw, place), order(good, place, "b")], 2)
        assert "\n" not in str(told.value)
    for jobs in (1, 2):  # a fault of ours, which the command tells as one
        with pytest.raises(ValueError, match=r"^no such colour$"):
            draw_all([order(fails, place), order(good, place, "b")], jobs)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_folder_that_cannot_be_made_is_one_line(everything, tmp_path, capsys, jobs):
    place = tmp_path / "page" / "figures" / "vn-2d"
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    assert page(everything, tmp_path / "page", "--jobs", jobs) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("error: ")] == [line for line in told if "cannot make" in line]
    assert len(told) == 1
    assert place.read_text() == "mine"
    assert not list(tmp_path.rglob(".*.tmp"))


def test_figures_of_others_are_drawn_here(tmp_path):
    """What draws them may be known by a name that no other process imports."""
    here = []

    def theirs(folder: Path) -> Path:
        here.append(os.getpid())
        return folder

    orders = [Order(Drawing(name, theirs), tmp_path, SCREEN, ours=False) for name in "abc"]
    draw_all(orders, 2)
    assert here == [os.getpid()] * 3


def test_ctrl_c_leaves_whole_files_and_no_process(tmp_path):
    runs, out = Maker(tmp_path / "runs"), tmp_path / "page"
    for k in range(12):
        made = runs("vn-2d", name=f"try-{k}")
        for group in ("so2", "o2"):
            made.record("sweep_group", f"{group}/float32", sweep(1.0 + k, VN, group))
    words = ["-m", "equiwm", "report", str(tmp_path / "runs"), "--format", "html", "--out", f"{out}/", "--jobs", "2"]
    process = subprocess.Popen([sys.executable, *words], start_new_session=True, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not list(out.rglob("*.drawn.json")) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not (out / "index.html").exists()
    until = time.monotonic() + 10
    while session_of(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert session_of(process.pid) == []
    files = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in files if path.name.startswith(".")]
    assert all(path.read_bytes().rstrip().endswith(b"</svg>") for path in files if path.suffix == ".svg")
    done = len(list(out.rglob("*.svg")))
    assert 0 < done < 24
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.drawn.json")}
    assert page(tmp_path / "runs", out, "--jobs", "1") == 0
    assert len(list(out.rglob("*.svg"))) == 24
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # what was drawn was not drawn again
    shutil.rmtree(out)
