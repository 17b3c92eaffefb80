"""Which layer breaks it: rows enough, no further than the break, and the same answer as a look at every layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from zoo.case import drawn

from equiwm.audit import layers
from equiwm.audit.audit import audit
from equiwm.audit.layers import THE_LAYER, Place
from equiwm.audit.probe import Probe


class Ordinary(nn.Module):
    """Dense layers on flattened vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.bend = nn.Linear(12, width), nn.Tanh()
        self.second, self.last = nn.Linear(width, width), nn.Linear(width, 12)

    def forward(self, v: Tensor) -> Tensor:
        return self.last(self.bend(self.second(self.bend(self.first(v.flatten(1))))))


@pytest.fixture(scope="module")
def probe() -> Probe:
    torch.manual_seed(0)
    return Probe(Ordinary(48).double(), drawn(16, 4, 3, dtype=torch.float64), "so3", "4x1o", "4x1o")


def named(found) -> str:
    (layer,) = (cause.text for cause in found.causes if cause.name == THE_LAYER)
    return layer


def test_the_break_is_found_without_what_runs_after_it(probe):
    brief, whole = (audit(probe, elements=8, layers=layers) for layers in (False, True))
    assert [each.name for each in brief.layers] == ["first", "bend"]
    assert [each.name for each in whole.layers] == ["first", "bend", "second", "bend (call 2)", "last", "the whole"]
    assert [each.carries for each in brief.layers] == [each.carries for each in whole.layers[:2]]
    assert named(brief).split(",")[0] == named(whole).split(",")[0]
    assert named(brief).startswith("It breaks at bend (Tanh")
    assert whole.layers[0].residual < 1e-12  # a linear map of what turns


def test_without_moved_copies_there_are_too_few_rows(probe, monkeypatch):
    """16 samples and a width of 48: a layer is judged by six rows a column."""
    monkeypatch.setattr(layers, "MOST_COPIES", 0)
    found = audit(probe, elements=8, layers=True)
    assert all(each.residual != each.residual for each in found.layers if each.name in ("first", "bend"))  # NaN
    assert not any(cause.name == THE_LAYER for cause in found.causes)


@pytest.mark.parametrize(
    ("rows", "width", "calls", "copies"),
    [(64, 8, 1, 0), (64, 48, 1, 4), (64, 300, 1, 28), (64, 400, 1, 0), (64, 48, 20, 4), (64, 48, 64, 0), (1, 4, 1, 23)],
)
def test_copies_are_as_many_as_are_needed_and_affordable(rows, width, calls, copies):
    straight = {Place("a", "Linear", "", 1, False): torch.zeros(rows, width)}
    assert layers._copies(straight, calls) == copies
