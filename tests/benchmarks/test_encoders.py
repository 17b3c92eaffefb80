"""Speed of the cloud encoders: forward and backward, interleaved in one process, as ratios.

`pytest -m benchmark -s tests/benchmarks/test_encoders.py`. It asserts nothing about time: ratios hold on a quiet
machine, and a busy one is no regression.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from equiwm.config import load
from equiwm.models.factory import build_model
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep, vectors

BATCH, POINTS, ROUNDS = 128, 24, 200
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
def test_cloud_encoders_forward_and_backward():
    pytest.importorskip("e3nn")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        encoders = {name: encoder(*choice) for name, choice in ENCODERS.items()}
        observation = torch.randn(BATCH, POINTS, 3)
        seconds: dict[str, list[float]] = {name: [] for name in encoders}
        for _ in range(ROUNDS):  # interleaved: the same noise for all
            for name, built in encoders.items():
                began = time.perf_counter()
                built.zero_grad()
                built(observation).square().mean().backward()
                seconds[name].append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    median = {name: float(np.median(times[ROUNDS // 10 :])) for name, times in seconds.items()}
    print()
    for name, value in median.items():
        ratios = f"e3nn / it {median['e3nn'] / value:5.1f}x, it / mlp {value / median['mlp']:5.2f}x"
        print(f"{name:30s} {1e6 * value:7.0f} us, {ratios}")
