"""What the figures of a report cost: against matplotlib's own way to save them, and against a report that has them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from made_runs import MLP, VN, Maker, closed_loop, rollout, sweep

from equiwm.claims.registry import find
from equiwm.claims.sweep.figure import sweep_figure
from equiwm.figures import canvas as canvas_module
from equiwm.figures.medium import PAGE, drawn_for
from equiwm.report.document import make_report
from equiwm.report.folder import write_html

pytestmark = pytest.mark.benchmark


def _as_matplotlib_does(figure, kinds: Sequence[str]) -> dict[str, bytes]:
    """`savefig` with a tight box lays out, draws to know the box, and draws."""
    files = {}
    for kind in kinds:
        with io.BytesIO() as file:
            figure.savefig(file, format=kind, metadata=canvas_module._METADATA[kind], bbox_inches="tight")
            files[kind] = file.getvalue()
    return files


def test_a_figure(board, tmp_path, monkeypatch):
    kept = {"name": "mlp-2d", "preset": "mlp-2d", "train_seed": 0, "checkpoint_sha256": "0"}
    run = Maker(tmp_path)("vn-2d")
    run.record("sweep_group", "so2/float32", sweep(1.0, VN, bins=36), {**sweep(9.0, MLP, bins=36), **kept})
    sides = find("sweep_group").read(run.metrics()["sweep_group"]).sides("vn-2d")
    own, sizes = canvas_module._rendered, []

    def draw(rendered, name: str) -> None:
        monkeypatch.setattr(canvas_module, "_rendered", rendered)
        with drawn_for(PAGE):
            sizes.append(sweep_figure(sides, tmp_path / name).stat().st_size)

    ratio = board.ratio(
        "a figure of a sweep as SVG: matplotlib's tight savefig / ours",
        lambda: draw(_as_matplotlib_does, "theirs"),
        lambda: draw(own, "ours"),
        repeats=8,
        asked="1.3x",
        unit="figure",
    )
    assert max(sizes) < 1.01 * min(sizes)
    assert ratio > 1.3


def test_a_report_that_has_its_figures(board, tmp_path):
    make = Maker(tmp_path / "runs")
    for k in range(4):
        run = make("vn-2d", name=f"try-{k}")
        kept = {"name": f"mlp-{k}", "preset": "mlp-2d", "train_seed": 0, "checkpoint_sha256": "0"}
        run.record("sweep_group", "so2/float32", sweep(1.0, VN), {**sweep(9.0, MLP), **kept})
        run.record("rollout", "so2/float32", rollout(1.0, VN), {**rollout(8.0, MLP), **kept})
        run.record("closed_loop", "equivariant/pose", closed_loop(1.0, VN), {**closed_loop(2.0, MLP), **kept})
    made, count = make_report([tmp_path / "runs"]), iter(range(1000))

    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        write_html(made, folder, [])

    ratio = board.ratio(
        "a page of 13 figures: drawn / those that are there taken",
        lambda: write(tmp_path / f"page-{next(count)}"),
        lambda: write(tmp_path / "page"),
        repeats=4,
        asked="5x",
        unit="page",
    )
    assert ratio > 5.0
