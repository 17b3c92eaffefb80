"""What an exported model costs in a robot's loop: one observation at a time, one core. The table of docs/export.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from equiwm.export import write
from equiwm.export.loaded import load_export
from equiwm.export.record import Figures
from equiwm.loading import load_run
from equiwm.tables.table import Table

REFERENCE = Path(__file__).resolve().parents[2] / "runs" / "reference" / "runs"
PRESETS = ("vn-2d", "mlp-2d", "vn-3d", "vn-2d-forward")
QUICK = ("planning.samples=64", "planning.elites=8", "planning.iterations=2", "planning.horizon=10")
"""A plan at 100 Hz, from a warm start."""


def _milliseconds(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """CPU time, median and least: wall clock says nothing on a loaded machine, and CPU time too grows beside others."""
    for _ in range(3):
        call()
    spent = np.empty(repeats)
    for k in range(repeats):
        began = time.process_time()
        call()
        spent[k] = time.process_time() - began
    return 1e3 * float(np.median(spent)), 1e3 * float(spent.min())


@pytest.mark.benchmark
def test_latency(tmp_path, monkeypatch):
    """Encode and predict under 1 ms (programs of torch.export, called operator by operator from Python, take twice as
    long as the network itself), the paper's plan in 2D under 50 ms."""
    monkeypatch.setattr(write, "_audited", lambda probe, seed: Figures("exact", 0.0, 0.0, "float32"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows, found = [], {}
    try:
        for preset in PRESETS:
            subject = load_run(REFERENCE / preset)
            data = subject.world.transitions(8, seed=0)
            for format in ("safetensors", "torch-export", "onnx"):
                write.export_model(subject, tmp_path / f"{preset}-{format}", format)
                whole = load_export(tmp_path / f"{preset}-{format}")
                quick = load_export(tmp_path / f"{preset}-{format}", settings=QUICK)
                x, action, goal = data.observation[:1].numpy(), data.action[:1].numpy(), data.observation[1]
                warm = quick.plan(x[0], goal)
                both = _milliseconds(lambda m=whole, x=x, a=action: m.predict(m.encode(x), a), 300)
                plan = _milliseconds(lambda m=whole, x=x, g=goal: m.plan(x[0], g), 7)
                soon = _milliseconds(lambda m=quick, x=x, g=goal, w=warm: m.plan(x[0], g, start=w), 15)
                found[preset, format] = both[1], plan[1]
                rows.append((preset, format, f"{both[0]:.2f}", f"{plan[0]:.0f}", f"{soon[0]:.1f}"))
    finally:
        torch.set_num_threads(threads)
    columns = ("model", "format", "encode + predict, ms", "plan, ms", "quick plan, ms")
    print("\n" + Table("Latency, batch 1, one core", columns, rows).markdown())
    assert all(both < 1.0 for (_, format), (both, _) in found.items() if format != "torch-export")
    assert found["vn-2d-forward", "safetensors"][1] < 50.0
