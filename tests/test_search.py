"""`audit --search`: rare breaks are found that samples and drawn elements miss, and what is exact stays exact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from zoo.case import drawn
from zoo.random_networks import random_probe
from zoo.rare import RARE, cut_off

from equiwm.audit.audit import audit
from equiwm.audit.calling import own_tensors
from equiwm.audit.measure import measure
from equiwm.audit.pairs import KIND, Pairs, fits, read_pair
from equiwm.audit.preflight import preflight
from equiwm.audit.probe import Probe
from equiwm.audit.search import PAIRS
from equiwm.cli.main import run
from equiwm.errors import DataError, RunError

RIGHT, WRONG = ("exact", "precision-limited"), ("approximate", "broken")


@pytest.mark.parametrize(
    ("name", "dtype", "asked", "between"),
    [
        ("cut-off", "float32", "a distance within", (4.99, 5.01)),
        ("angle", "float64", "a direction", (29.4, 30.6)),
        pytest.param("region", "float32", "a length", (0.099, 0.101), marks=pytest.mark.slow),
        pytest.param("list", "float64", "a distance from the centroid", (2.99, 3.01), marks=pytest.mark.slow),
    ],
)
def test_a_rare_break_is_found_and_bracketed(name, dtype, asked, between):
    probe = RARE[name](getattr(torch, dtype))
    assert audit(probe).verdict == "exact"  # what samples and drawn elements do not see
    result = audit(probe, search=True)
    found = result.search
    assert (result.verdict, found.verdict) == ("broken", "broken")
    assert found.residual > 1e3 * found.rounding
    assert found.pairs <= PAIRS
    assert found.bracket is not None
    assert found.bracket.what.startswith(asked)
    low, high = between
    assert low < found.bracket.low <= found.bracket.high < high
    assert found.bracket.jump > 0.01
    assert "jumps by" in found.text


def test_a_smooth_rare_break_is_climbed_and_is_no_branch():
    probe = RARE["bump"](torch.float32)
    assert audit(probe).verdict == "exact"
    result = audit(probe, search=True)
    assert result.verdict in WRONG
    assert result.search.bracket is None


@pytest.mark.parametrize("seed", range(2))
def test_exact_networks_stay_exact(seed):
    assert audit(random_probe(seed), elements=8, search=True).verdict in RIGHT


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 120))
def test_many_exact_networks_stay_exact(seed):
    result = audit(random_probe(seed, torch.float64 if seed % 3 == 0 else torch.float32), elements=8, search=True)
    assert result.verdict in RIGHT, result.search.text


def jumps_by_length(v: Tensor) -> Tensor:
    """Exact, and not continuous: what is longer than the mean is kept, the longest is doubled."""
    n = v.norm(dim=-1, keepdim=True)
    kept = v * (n > n.mean(1, keepdim=True))
    return kept + v * (n == n.amax(1, keepdim=True))


def principal(v: Tensor) -> Tensor:
    """Exact where the axes are: axes of inertia with signs by third moments, undefined where two moments agree."""
    _, axes = torch.linalg.eigh(v.mT @ v)
    return v @ (axes * (v @ axes).pow(3).sum(1, keepdim=True).sign()) / (1 + v.square().sum((1, 2), keepdim=True))


@pytest.mark.parametrize(
    "model",
    [
        jumps_by_length,
        lambda v: v / (v.norm(dim=-1, keepdim=True) + 1e-12),
        lambda v: (v.float() * v.float().norm(dim=-1, keepdim=True)).to(v),
        lambda v: v * torch.round(4 * v.norm(dim=-1, keepdim=True)),
        lambda v: (v.bfloat16() * v.bfloat16().norm(dim=-1, keepdim=True)).to(v),
    ],
    ids=["jumps", "directions", "float32 inside", "staircase of lengths", "bfloat16 inside"],
)
def test_what_jumps_or_rounds_and_is_exact_stays_exact(model):
    result = audit(Probe(model, drawn(24, 4, 3, dtype=torch.float64), "so3", "4x1o", "4x1o"), search=True)
    assert result.verdict in RIGHT, result.search.text


def test_invariants_of_principal_axes_stay_exact():
    probe = Probe(lambda v: principal(v).square().sum(1), drawn(24, 4, 3, dtype=torch.float64), "so3", "4x1o", "3x0e")
    assert audit(probe, search=True).verdict in RIGHT


def test_a_network_that_is_broken_anyway_gets_its_worst_pair():
    scale = torch.tensor([1.0, 1.0, 1.3])
    result = audit(
        Probe(lambda v: v * scale.to(v), drawn(24, 4, 3, dtype=torch.float32), "so3", "4x1o", "4x1o"), search=True
    )
    assert result.verdict == "broken"
    assert result.search.residual > result.leaves[0].residual


def test_outputs_that_are_not_finite_are_counted():
    def model(v: Tensor) -> Tensor:
        return v / (v.norm(dim=-1, keepdim=True) > 0.8)  # short vectors: 0 / 0 and x / 0

    v = drawn(24, 2, 3, dtype=torch.float32)
    result = audit(Probe(model, 2 * v / v.norm(dim=-1, keepdim=True), "so3", "2x1o", "2x1o"), search=True)
    assert result.verdict == "exact"
    assert result.search.not_finite > 0
    assert "NaN or infinite" in result.search.text


def test_numpy_functions_are_searched():
    def model(x: np.ndarray) -> np.ndarray:
        return x * np.where(np.linalg.norm(x[:, :1], axis=-1, keepdims=True) < 0.1, [1, 1, 1.3], 1.0)

    v = drawn(32, 3, 3, dtype=torch.float64, seed=4)
    probe = Probe(model, (v / v.norm(dim=-1, keepdim=True)).numpy(), "so3", "3x1o", "3x1o")
    assert audit(probe).verdict == "exact"
    assert audit(probe, search=True).verdict == "broken"


def test_no_call_is_larger_than_the_batch():
    """Memory is bounded by the number of samples, whatever is asked for."""
    seen = set()

    def model(v: Tensor) -> Tensor:
        seen.add(len(v))
        return v * v.norm(dim=-1, keepdim=True)

    audit(
        Probe(model, drawn(16, 4, 3, dtype=torch.float32), "so3", "4x1o", "4x1o"), elements=8, search=True, stress=True
    )
    assert seen == {16}


def test_a_module_is_left_as_it_was_found():
    model = torch.nn.Linear(4, 4, bias=False)
    before = {name: tensor.clone() for name, tensor in own_tensors([model]).items()}
    state = torch.get_rng_state()
    audit(Probe(lambda v: model(v.mT).mT, drawn(8, 4, 3, dtype=torch.float32), "so3", "4x1o", "4x1o"), search=True)
    assert all(torch.equal(before[name], tensor) for name, tensor in own_tensors([model]).items())
    assert torch.equal(torch.get_rng_state(), state)


# The file


def test_the_pair_is_saved_and_gives_the_residual_again(tmp_path):
    probe, path = cut_off(torch.float32), tmp_path / "worst.json"
    result = audit(probe, elements=8, search=True, pair=path)
    assert result.search.file == str(path)
    pair = read_pair(path)
    state = preflight(probe, 1000)
    elements = probe.acting.sample(2, 0)
    measured = measure(state.runner, probe.samples, elements, torch.float64, batch=state.batch, seed=0)
    pairs = Pairs(state.runner, state.batch, torch.float64, measured)
    fits(pairs, pair)
    (off,) = pairs([pair])
    assert float(torch.cat([each.flatten() for each in off.relative]).max()) == pytest.approx(result.search.residual)
    # The same without any of ours: the points, turned by the matrix.
    kept = json.loads(path.read_text())
    points = torch.tensor(kept["inputs"][0]["values"], dtype=torch.float64).reshape(1, 4, 3)
    turn = torch.tensor(kept["linear"], dtype=torch.float64)
    off_by = probe.model(points) @ turn.mT - probe.model(points @ turn.mT)
    assert float(off_by.abs().max()) > 0.01


def test_what_is_not_ours_is_left_alone(tmp_path):
    path = tmp_path / "notes.json"
    path.write_text('{"kind": "shopping"}')
    with pytest.raises(RunError, match="holds no pair"):
        audit(cut_off(torch.float32), elements=8, search=True, pair=path)
    assert path.read_text() == '{"kind": "shopping"}'
    path.write_text(f'{{"kind": "{KIND}"}}')
    audit(cut_off(torch.float32), elements=8, search=True, pair=path)
    assert read_pair(path).index >= 0


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "pair of an audit", "schema": 1}', "[1]"])
def test_a_file_that_holds_no_pair_is_refused(tmp_path, text):
    path = tmp_path / "pair.json"
    path.write_text(text)
    with pytest.raises(RunError):
        read_pair(path)


def test_a_pair_of_another_probe_is_refused(tmp_path):
    path = tmp_path / "pair.json"
    audit(cut_off(torch.float32), elements=8, search=True, pair=path)
    probe = Probe(lambda v: v, drawn(2, 3, 3, dtype=torch.float32), "so3", "3x1o", "3x1o")
    state = preflight(probe, 0)
    with pytest.raises(DataError):
        fits(Pairs(state.runner, state.batch, torch.float64, []), read_pair(path))


PROBE = """
import sys
sys.path.insert(0, {tests!r})
import torch
from zoo.rare import cut_off

def probe():
    return cut_off(torch.float32)

def exact():
    made = cut_off(torch.float32, at=1e9)
    return made
"""


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PROBE.format(tests=str(Path(__file__).parent)))
    assert run(["audit", "mine.py:exact", "--search", "--elements", "8"]) == 0
    assert "search: 4096 pairs" in " ".join(capsys.readouterr().out.split())
    assert not Path("mine-exact.pair.json").exists()
    assert run(["audit", "mine.py:probe", "--search", "--elements", "8", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["search"]["file"] == "mine-probe.pair.json"
    assert said["search"]["bracket"]["low"] == pytest.approx(5, abs=1e-3)
    assert read_pair(Path("mine-probe.pair.json")).index == said["search"]["sample"]
    Path("mine-probe.pair.json").write_text("mine")
    assert run(["audit", "mine.py:probe", "--search", "--elements", "8"]) == 2
    assert capsys.readouterr().err.count("\n") <= 2
    assert Path("mine-probe.pair.json").read_text() == "mine"
