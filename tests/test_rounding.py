"""What rounding alone does to a network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from equiwm.audit.rounding import float32_rounding


def test_it_is_the_rounding_of_float32():
    network = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 8))
    found = float32_rounding(network, [torch.randn(256, 8)])
    assert 1e-8 < found < 1e-6
    assert next(network.parameters()).dtype is torch.float32


def test_it_is_zero_where_nothing_is_rounded_and_grows_where_terms_cancel():
    double, x = nn.Linear(4, 1, bias=False), torch.randn(256, 4)
    with torch.no_grad():
        double.weight.copy_(torch.tensor([[2.0, 0.0, 0.0, 0.0]]))
    assert float32_rounding(double, [x]) == 0.0
    cancelling = copy.deepcopy(double)
    with torch.no_grad():
        cancelling.weight.copy_(torch.tensor([[1e4, 0.0, 0.0, -1e4]]))
    # x and its copy differ in the fourth digit, so four digits of the result are lost
    near = torch.cat([x[:, :3], x[:, :1] * (1.0 + 1e-4 * torch.rand(256, 1))], 1)
    ordinary = float32_rounding(nn.Linear(4, 1), [x])
    assert float32_rounding(cancelling, [near]) > 100 * ordinary


def test_several_inputs():
    class Sum(nn.Module):
        def forward(self, a, b):
            return a * (1.0 / 3.0) + b

    assert float32_rounding(Sum(), [torch.randn(16, 2), torch.randn(16, 2)]) == pytest.approx(5e-8, rel=0.9)
