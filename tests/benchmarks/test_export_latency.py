"""What an exported model costs in a robot's loop: one observation at a time, one core (docs/export.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from equiwm.export import write
from equiwm.export.loaded import load_export
from equiwm.export.record import Figures
from equiwm.loading import load_run

REFERENCE = Path(__file__).resolve().parents[2] / "runs" / "reference" / "runs"
PRESETS = ("vn-2d", "mlp-2d", "vn-3d", "vn-2d-forward")
QUICK = ("planning.samples=64", "planning.elites=8", "planning.iterations=2", "planning.horizon=10")
"""A plan at 100 Hz, from a warm start."""


def _milliseconds(call: Callable[[], object], repeats: int) -> str:
    """Median CPU time: wall clock says nothing on a loaded machine, and CPU time too grows beside others."""
    for _ in range(3):
        call()
    spent = np.empty(repeats)
    for k in range(repeats):
        began = time.process_time()
        call()
        spent[k] = time.process_time() - began
    return f"{1e3 * float(np.median(spent)):.3g}"


@pytest.mark.benchmark
@pytest.mark.parametrize("preset", PRESETS)
def test_latency(board, tmp_path, monkeypatch, preset):
    """Programs of torch.export, called operator by operator from Python, take twice as long as the network itself."""
    monkeypatch.setattr(write, "audited_figures", lambda probe, seed: Figures("exact", 0.0, 0.0, "float32"))
    subject = load_run(REFERENCE / preset)
    data = subject.world.transitions(8, seed=0)
    x, action, goal = data.observation[:1].numpy(), data.action[:1].numpy(), data.observation[1]
    for format in ("safetensors", "torch-export", "onnx"):
        if format == "onnx" and not find_spec("onnxruntime"):
            continue
        write.export_model(subject, tmp_path / format, format)
        whole, quick = load_export(tmp_path / format), load_export(tmp_path / format, settings=QUICK)
        warm = quick.plan(x[0], goal)
        found = (
            _milliseconds(lambda model=whole: model.predict(model.encode(x), action), 200),
            _milliseconds(lambda model=whole: model.plan(x[0], goal), 5),
            _milliseconds(lambda model=quick, warm=warm: model.plan(x[0], goal, start=warm), 11),
        )
        what = f"{preset} as {format}, batch 1: predict / plan / quick plan"
        board.note(what, " / ".join(found) + " ms", asked="1 / 50 / 10 ms")
