"""Speed of the cloud encoders: forward and backward, interleaved in one process, as ratios.

`pytest -m benchmark -s tests/benchmarks/test_encoders.py`. It asserts nothing about time: ratios hold on a quiet
machine, and a busy one is no regression.
"""

from __future__ import annotations

import time
from importlib.util import find_spec

import pytest
import torch

from equiwm.config import load
from equiwm.models.factory import build_model
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep, vectors

BATCH, POINTS, ROUNDS = 128, 24, 60
ENCODERS = {
    "vn, linear (vn-3d)": ("vn-3d", ()),
    "vn, one layer (vn-3d-paper)": ("vn-3d-paper", ()),
    "vn, two layers of 64": ("vn-3d-paper", ("model.encoder_widths=[64, 64]",)),
    "vn, set": ("vn-3d-paper", ("model.encoder=vn_set",)),
    "frame averaging": ("frame-3d", ()),
    "e3nn": ("e3nn-3d", ()),
    "mlp": ("mlp-3d", ()),
}


def encoder(preset: str, assignments: tuple[str, ...]) -> Layer:
    rep = Rep(((POINTS, "p"),), 3)
    return build_model(load(preset, None, assignments).model, rep, vectors(1, 3), seed=0).encoder


@pytest.mark.benchmark
def test_cloud_encoders_forward_and_backward(board):
    """All in turn, so that all meet the same noise; e3nn where it is installed."""
    peers = [name for name in ENCODERS if name != "e3nn" or find_spec("e3nn")]
    encoders = {name: encoder(*ENCODERS[name]) for name in peers}
    observation = torch.randn(BATCH, POINTS, 3)
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(ROUNDS):
        for name, built in encoders.items():
            began = time.process_time()
            built.zero_grad()
            built(observation).square().mean().backward()
            seconds[name].append(time.process_time() - began)
    kept = {name: times[ROUNDS // 10 :] for name, times in seconds.items()}
    for name in (name for name in peers if name not in ("e3nn", "mlp")):
        for peer in (peer for peer in ("e3nn", "mlp") if peer in kept):
            pairs = list(zip(kept[peer], kept[name], strict=True))
            board.pairs(f"cloud encoder forward + backward, {peer} / {name}", pairs, unit="batch")
