"""`equiwm audit`: the verdict on a terminal, exit statuses, and what a user can do wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from equiwm.cli.main import run

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "egnn_probe.py"

pytestmark = pytest.mark.skipif(not EXAMPLE.is_file(), reason="needs a checkout")


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """The example in a folder of its own, from which the command is given."""
    shutil.copy2(EXAMPLE, tmp_path / "my_probe.py")
    monkeypatch.chdir(tmp_path)
    return "my_probe.py"


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("probe", 0, ["EXACT", "float64"]),
        ("axis", 1, ["BROKEN", "an axis of the laboratory", "inside layers.1, before layers.1.gate"]),
        ("constant", 1, ["BROKEN", "a constant", "before layers.2"]),
        ("clamp", 1, ["BROKEN", "component by component", "before layers.2"]),
    ],
)
def test_the_example_and_its_planted_breaks(probe, capsys, name, status, words):
    assert run(["audit", f"{probe}:{name}", "--elements", "16"]) == status
    shown = capsys.readouterr().out
    assert shown.startswith(words[0])
    assert [word for word in words if word not in shown] == []


def test_layers_symmetries_and_json(probe, capsys):
    assert run(["audit", f"{probe}:probe", "--elements", "8", "--layers", "--symmetries", "--samples", "40"]) == 0
    shown = capsys.readouterr().out
    assert "| layers.0.update | Linear |" in shown
    assert "16 scalars" in shown
    assert "| permutations of items | no | exact |" in shown
    assert run(["audit", f"{probe}:probe", "--elements", "8", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["group"], said["samples"]) == ("exact", "e3", 64)
    assert all(leaf["residual"] < 1e-10 for leaf in said["leaves"])


def test_what_is_expected_decides(probe, capsys):
    assert run(["audit", f"{probe}:axis", "--expect", "approximate", "--elements", "8"]) == 1
    assert run(["audit", f"{probe}:probe", "--expect", "exact", "--elements", "8"]) == 0


def test_runs_are_audited(trained, capsys):
    assert run(["audit", str(trained / "vn-2d"), "--elements", "8"]) == 0
    assert run(["audit", str(trained / "mlp-2d"), "--elements", "8"]) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("probe = 3", ["got int, expected a Probe"]),
        ("def probe(): raise ValueError('no weights')", ["no weights"]),
        ("import nothing_of_that_name", ["nothing_of_that_name"]),
        ("other = 1", ["has no 'probe'"]),
    ],
)
def test_a_probe_that_is_none(probe, capsys, text, words):
    Path("wrong.py").write_text(text + "\n")
    assert run(["audit", "wrong.py:probe"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") <= 2
    assert [word for word in words if word not in said] == []


def test_a_file_without_the_name_of_its_probe(probe, capsys):
    assert run(["audit", probe]) == 2
    assert f"name the probe in it, {probe}:probe" in capsys.readouterr().err


def test_files_and_groups_that_do_not_fit(probe, capsys):
    for arguments in (
        ["nowhere.py:probe"],
        [f"{probe}:probe", "--group", "so2"],
        [f"{probe}:probe", "--elements", "1"],
    ):
        assert run(["audit", *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err


MASKED = """
import torch
from equiwm import Probe, Typed

class Mask(torch.nn.Module):
    def forward(self, weights):
        return weights.masked_fill(torch.eye(weights.shape[-1], dtype=bool), float("-inf"))

class Attention(torch.nn.Module):
    def __init__(self, stretch):
        super().__init__()
        self.mask, self.stretch = Mask(), stretch

    def forward(self, points):
        apart = points[:, :, None] - points[:, None]
        weights = torch.softmax(self.mask(-apart.square().sum(-1)), -1)
        return points + (weights[..., None] * apart).sum(2) * torch.tensor([1, 1, 1 + self.stretch]).to(points)

def probe(stretch=0.0, rep="p"):
    torch.manual_seed(0)
    return Probe(Attention(stretch), torch.randn(64, 6, 3), "e3", rep, "p")

def broken():
    return probe(0.5)

def untyped():
    return probe(rep=Typed(5, axis=-1))
"""


def test_features_that_are_not_finite_are_not_judged(probe, capsys):
    """A masked attention has -inf inside; what comes out of it is finite, and is judged."""
    Path("masked.py").write_text(MASKED)
    assert run(["audit", "masked.py:probe", "--layers", "--elements", "8"]) == 0
    assert "| mask | Mask | – | – |" in capsys.readouterr().out
    assert run(["audit", "masked.py:broken", "--elements", "8"]) == 1
    shown = capsys.readouterr().out
    assert "It breaks at the whole" in shown
    assert "1 of 2 outputs had too few rows, do not vary or are not finite" in shown
    assert run(["audit", "masked.py:untyped"]) == 2
    assert "got int for a rep" in capsys.readouterr().err
