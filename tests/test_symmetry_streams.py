"""Random streams and bins of the first six groups are those of the first version, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from equiwm.symmetry.coverage import Arc, Ball
from equiwm.symmetry.groups import GROUPS, SE3, SO3, Elements

STORED = json.loads((Path(__file__).parent / "data" / "symmetry_streams.json").read_text(encoding="utf-8"))
"""Float64 values in hexadecimal, little-endian, written by the version before groups became values."""


def same(found: torch.Tensor, stored: str) -> bool:
    """Equal to the bit where the machine computes cosines and roots as that version's did, else to a rounding."""
    expected = torch.from_numpy(np.frombuffer(bytes.fromhex(stored), dtype="<f8").copy())
    if torch.equal(*cosines()):
        return torch.equal(found.flatten(), expected)
    return torch.allclose(found.flatten(), expected, rtol=0, atol=1e-13)


def cosines() -> tuple[torch.Tensor, torch.Tensor]:
    x = np.linspace(-7, 7, 41)
    here = torch.from_numpy(np.stack([np.cos(x), np.sin(x), np.cbrt(x)])).flatten()
    return here, torch.from_numpy(np.frombuffer(bytes.fromhex(STORED["libm"]), dtype="<f8").copy())


def numbers(g: Elements) -> torch.Tensor:
    return torch.cat([g.linear.flatten(), g.translation.flatten()])


CALLS = {
    "sample(4, 0)": lambda group: group.sample(4, 0),
    "sample(3, 1000, sigma=2.5)": lambda group: group.sample(3, 1000, sigma=2.5),
    "orbit(4, 3, sigma=0.5)": lambda group: group.orbit(4, 3, sigma=0.5),
    "ball(3, 5, outer=60)": lambda group: group.ball(3, 5, outer=60.0),
    "ball(3, 5, inner=60, outer=180)": lambda group: group.ball(3, 5, inner=60.0, outer=180.0),
    "wedge(3, 7, low=20, high=110)": lambda group: group.wedge(3, 7, low=20.0, high=110.0),
    "rotation([10, 200, -33])": lambda group: group.rotation([10.0, 200.0, -33.0]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("group", ["so2", "o2", "se2", "so3", "o3", "se3"])
def test_streams(group, call):
    assert same(numbers(CALLS[call](GROUPS[group])), STORED["streams"][f"{group} {call}"])


def test_a_generator_is_drawn_from_in_the_same_order():
    rng = np.random.default_rng(11)
    drawn = torch.cat([numbers(SO3.sample(2, rng)), numbers(SE3.sample(2, rng))])
    assert same(drawn, STORED["streams"]["so3 twice from one generator"])


def test_another_stream_would_be_seen():
    assert not same(numbers(SO3.sample(4, 1)), STORED["streams"]["so3 sample(4, 0)"])


@pytest.mark.parametrize("case", STORED["bins"], ids=lambda case: f"{case['group']}-{case['wedge']}-{case['ball']}")
def test_bins(case):
    group = GROUPS[case["group"]]
    coverage = Ball(case["ball"]) if case["ball"] else Arc(*case["wedge"], d=group.d)
    bins = group.bins(case["n"], case["seed"], coverage)
    words = {"true": "full", "partial": "partial", "false": "none"}
    whole = case["wedge"] == [0.0, 360.0]  # the first version called a circle that covers itself partial
    assert len(bins) == len(case["entries"])
    for entry, (label, seen, part, angle, stored) in zip(bins, case["entries"], strict=True):
        assert (entry.label, entry.part, entry.drawn) == (label, part, label.startswith("random"))
        assert entry.from_wedge_deg == pytest.approx(angle, rel=1e-12, abs=1e-9)
        assert entry.overlap == ("full" if whole and seen == "partial" else words[seen])
        assert same(numbers(entry.element), stored)
