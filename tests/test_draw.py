"""Inputs drawn from reps: their shapes, what they hold, and what has to be given."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import equiwm
from equiwm import Probe, Typed, draw
from equiwm.audit.audit import audit
from equiwm.errors import DataError, RepError
from equiwm.symmetry.kinds import Kind


@pytest.mark.parametrize(
    ("takes", "group", "options", "shape"),
    [
        ("4x1o", "so3", {}, (64, 4, 3)),
        ("16xp", "e3", {}, (64, 16, 3)),
        ("1o", "so2", {}, (64, 2)),
        ("2x1o+3xp", "se3", {"batch": 5}, (5, 5, 3)),
        ("8x0e+16x1o", "so3", {}, (64, 56)),
        ("8x0e", "so3", {}, (64, 8)),
        ("1o*1o", "o3", {}, (64, 3, 3)),
        ("2x1o*1o", "o3", {}, (64, 2, 3, 3)),
        ("perm5*1o", "so3*s5", {}, (64, 5, 3)),
        ("perm5*1o", "s5", {"axes": 2}, (64, 5, 2)),
        ("4x2e", "so3", {}, (64, 20)),
        ("4x1o", "so3", {"flat": True}, (64, 12)),
        ("p", "e3", {"free": 6}, (64, 6, 3)),
        ("p", "e3", {"free": (6, 2), "batch": None}, (6, 2, 3)),
        (Typed("1o", axis=1), "so3", {"free": 7}, (64, 3, 7)),
    ],
)
def test_shapes_come_from_the_reps(takes, group, options, shape):
    made = draw(takes, group, **options)
    assert tuple(made.shape) == shape
    assert made.dtype == torch.float32
    assert torch.equal(made, draw(takes, group, **options))
    assert not torch.equal(made, draw(takes, group, seed=1, **options))
    Probe(lambda x: x, made, group, takes, takes, axes=options.get("axes", 3))  # which it fits


class Scene(NamedTuple):
    """Inputs by name."""

    cloud: object
    pose: object


def test_trees_values_and_orientations():
    takes = {"graph": {"pos": "p", "z": "same"}, "scene": Scene("3x1o", "rot+perm2*quat"), "pair": ["0e", "1o"]}
    numbers = torch.arange(6).expand(64, 6)
    made = draw(takes, "so3", free={"graph.pos": 6}, values={"graph.z": numbers}, dtype=torch.float64)
    assert made["graph"]["pos"].shape == (64, 6, 3)
    assert made["graph"]["z"] is numbers
    assert isinstance(made["scene"], Scene)
    assert [tuple(each.shape) for each in made["pair"]] == [(64, 1), (64, 3)]
    pose = made["scene"].pose
    turned = pose[:, :9].reshape(64, 3, 3)
    assert float((turned.mT @ turned - torch.eye(3)).abs().max()) < 1e-12
    assert float((pose[:, 9:].reshape(64, 2, 4).norm(dim=-1) - 1).abs().max()) < 1e-12
    given = torch.ones(64, 3)
    assert draw(("1o", "1o"), "so3", values={"[1]": given})[1] is given


class Turning(nn.Module):
    """Vectors mixed by weights, and with `bias` something that does not turn."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.mix, self.bias = nn.Linear(4, 2, bias=False), bias

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x.mT).mT + self.bias


@pytest.mark.parametrize(("bias", "verdict"), [(0.0, "exact"), (0.3, "broken")])
def test_a_probe_without_inputs_draws_them(bias, verdict):
    probe = Probe(Turning(bias), None, "so3", "4x1o", "2x1o")
    assert audit(probe, elements=8).verdict == verdict
    assert torch.equal(probe.inputs, draw("4x1o", "so3"))


class Spin(Kind):
    """A kind of one's own."""

    name = "spin"

    def dim(self, d: int) -> int:
        return 3

    def matrix(self, g: equiwm.Elements) -> Tensor:
        return g.linear


@pytest.mark.parametrize(
    ("takes", "options", "error", "words"),
    [
        ({"x": "1o", "z": "same"}, {}, DataError, "z is declared the same"),
        ("same", {}, DataError, "it is declared the same"),
        ({"x": "1o"}, {"free": {"y": 3}}, DataError, "free names 'y'; takes has x"),
        ({"x": "1o"}, {"values": {"y": 3}}, DataError, "values names 'y'"),
        ("1o", {"batch": 0}, DataError, "batch: got 0"),
        ("1o", {"batch": 2.5}, DataError, "batch: got 2.5"),
        ("1o", {"free": (3, -1)}, DataError, "free of it: got -1"),
        ("1o", {"free": (10**6, 10**6)}, DataError, "at most"),
        ("1o", {"dtype": torch.int64}, DataError, "dtype"),
        (Typed("1o", axis=5), {}, DataError, "axis 5"),
        ("1z", {}, RepError, "no kind"),
        (3, {}, RepError, "got int"),
    ],
)
def test_what_cannot_be_drawn(takes, options, error, words):
    with pytest.raises(error) as told:
        draw(takes, "so3", **options)
    assert words in str(told.value)


def test_kinds_of_ones_own():
    assert draw("2xspin", "so3", kinds=[Spin()]).shape == (64, 6)
    probe = Probe(lambda x: x, None, "so3", "spin", "spin", kinds=[Spin()])
    assert probe.inputs.shape == (64, 3)
    assert equiwm.draw is draw
