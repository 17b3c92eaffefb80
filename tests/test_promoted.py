"""Every operation in float64: precision and breaks are told apart by experiment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equiwm.audit.audit import audit
from equiwm.audit.probe import Probe
from equiwm.audit.promoted import InFloat64, NotPromoted

GENERATOR = torch.Generator().manual_seed(0)
VECTORS = torch.randn(32, 8, 3, generator=GENERATOR)
MIX, BACK, GATE = (torch.randn(8, 8, generator=GENERATOR) / 3 for _ in range(3))


def neurons(v: Tensor) -> Tensor:
    """Exact under rotations, and closing over weights of float32."""
    mixed = MIX.to(v.dtype) @ v
    return BACK.to(v.dtype) @ (mixed * torch.sigmoid(mixed.norm(dim=-1) @ GATE.to(v.dtype))[..., None])


def verdict_of(model, **given):
    return audit(Probe(model, VECTORS, "so3", "8x1o", "8x1o", **given), elements=16)


@pytest.mark.parametrize("step", [1e-2, 1e-3, 1e-4])
def test_positions_on_a_grid_are_a_break_and_no_precision(step):
    result = verdict_of(lambda v: neurons(torch.round(v / step) * step))
    assert result.verdict == "approximate", result.sentence
    assert "values on a grid" in [cause.name for cause in result.causes]


def test_a_fast_wave_along_the_axes_is_a_break_and_no_precision():
    assert verdict_of(lambda v: neurons(v) + 1e-6 * torch.sin(1e7 * v)).verdict == "approximate"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [0.0, 2e-5, 1e-2])
def test_a_break_below_the_rounding_of_what_is_computed_in_less_is_seen(dtype, size):
    stretch = torch.tensor([1.0, 1.0, 1.0 + size], dtype=torch.float64)

    def model(v: Tensor) -> Tensor:
        return neurons((v * stretch).to(dtype)).to(v.dtype)

    assert verdict_of(model).verdict == ("approximate" if size else "precision-limited")


def test_autocast_inside_is_precision():
    inner = nn.Linear(8, 8, bias=False)

    def model(v: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return inner(v.float().mT).mT.to(v.dtype)

    assert verdict_of(model).verdict == "precision-limited"


def test_a_function_that_refuses_float64_is_run_in_it_all_the_same():
    weight = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    right = verdict_of(lambda v: weight @ v)
    assert (right.verdict, right.float64) == ("exact", True)
    assert right.leaves[0].residual < 1e-13
    assert "float64 by promotion" in [finding.name for finding in right.findings]
    wrong = verdict_of(lambda v: weight @ (v * torch.tensor([1.0, 1.0, 1.00001])))
    assert wrong.verdict == "approximate", wrong.sentence


def test_what_leaves_torch_is_not_decides_it():
    def model(v: Tensor) -> Tensor:
        return torch.from_numpy(MIX.numpy() @ v.detach().numpy().astype(np.float32)).to(v.dtype)

    assert verdict_of(model).verdict == "precision-limited"
    with pytest.raises(NotPromoted, match="numpy"), InFloat64(VECTORS):
        model(VECTORS)
    with pytest.raises(NotPromoted, match="numpy arrays"), InFloat64(VECTORS.numpy()):
        pass
    with pytest.raises(NotPromoted, match="bits"), InFloat64(VECTORS):
        VECTORS.view(torch.int32)


def test_what_is_written_in_place_is_written():
    buffer, made = torch.zeros(2), []
    with InFloat64(None):
        buffer += torch.tensor([1.0, 1.0]) / 3
        made.append(torch.zeros(2).add_(torch.tensor(1.0) / 3))
    assert torch.equal(buffer, torch.full((2,), 1.0) / 3)
    assert made[0].dtype == torch.float64


def test_what_is_written_into_a_view_of_less_precision_is_written():
    kept = torch.zeros(32, 8, 3)

    def right(v: Tensor) -> Tensor:
        for place in range(8):
            kept[:, place] = neurons(v)[:, place].float()
        return kept.to(v.dtype) + neurons(v)

    def wrong(v: Tensor) -> Tensor:
        kept.zero_()
        kept[..., 0] = 0.1 * v[..., 0].float()
        return neurons(v.float()).to(v.dtype) + kept.to(v.dtype)

    assert verdict_of(right).verdict == "precision-limited"
    assert verdict_of(wrong).verdict == "broken"


def test_a_network_that_does_otherwise_in_float64_is_not_decides_it():
    def model(v: Tensor) -> Tensor:
        short = v.float()
        if short.dtype == torch.float32:
            short = short * torch.tensor([1.0, 1.0, 1.01])
        return (short * short.norm(dim=-1, keepdim=True)).to(v.dtype)

    result = verdict_of(model)
    assert result.verdict == "approximate", result.sentence
    assert result.leaves[0].residual > 1e-3


@pytest.mark.parametrize("short", [torch.float16, torch.float32])
@pytest.mark.parametrize("size", [0.0, 0.03])
def test_a_factor_in_less_precision_beside_one_in_full(short, size):
    """Small steps of float64 move the second factor alone, and see no rounding."""
    stretch = torch.tensor([1.0, 1.0, 1.0 + size], dtype=torch.float64)

    def times(v: Tensor) -> Tensor:
        return (v * stretch).to(short).to(v.dtype) * v.norm(dim=-1, keepdim=True)

    def plus(v: Tensor) -> Tensor:
        return v + 0.1 * (MIX.to(short) @ (v * stretch).to(short)).to(v.dtype)

    for model in (times, plus):
        result = verdict_of(model)
        assert (result.verdict == "precision-limited") == (size == 0.0), result.sentence


def test_gradients_inside_are_promoted():
    def model(v: Tensor) -> Tensor:
        with torch.enable_grad():
            given = v.float().detach().requires_grad_(True)
            energy = torch.exp(-torch.cdist(given, given).square()).sum()
            return torch.autograd.grad(energy, given)[0].to(v.dtype)

    assert verdict_of(model).verdict == "precision-limited"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_part_that_is_rounding_alone_is_nothing(dtype):
    """The antisymmetric part of a symmetric tensor that is computed in float32."""
    weight = torch.rand(8, 1, generator=torch.Generator().manual_seed(2))

    def model(v: Tensor) -> Tensor:
        return ((weight * v.float()).mT @ v.float()).to(v.dtype)

    result = audit(Probe(model, VECTORS.to(dtype), "so3", "8x1o", "1o*1o"), elements=16)
    assert result.verdict == "precision-limited", result.sentence


def test_chaos_is_no_grid():
    """Exact in exact arithmetic: one rounding grows by 60 a step."""

    def model(v: Tensor) -> Tensor:
        for _ in range(12):
            length = v.norm(dim=-1, keepdim=True)
            v = v * torch.sin(20 * length + 1) * 3 / (1 + length)
        return v

    causes = [cause.name for cause in verdict_of(model).causes]
    assert "amplified rounding" in causes
    assert "values on a grid" not in causes
